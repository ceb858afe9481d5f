"""What moves tokens to experts and back, in torch: as parts of a layer, and as kernels of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch.implementation import Step, Tensors
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.gate import choose
from bench.kernels.moe.base import RoutedKernel
from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate


@dataclass(frozen=True)
class Order:
    """Assignments sorted by expert, and within one by token.

    `assignments` [rows] numbers them token · top_k + slot; `owners` [rows] are their experts, and
    `places` [tokens, top_k] their rows (0 where dropped).
    """

    assignments: Tensor
    owners: Tensor
    places: Tensor


def sort_by_expert(local: Tensor, capacity: int | None) -> Order:
    """Sort assignments, given each one's expert `local` [tokens, top_k].

    Without a capacity, the host reads no value back from the device.
    """
    owners, assignments = local.flatten().sort(stable=True)
    if capacity is not None:
        rank = torch.arange(len(owners), device=local.device)
        rank = rank - torch.searchsorted(owners, owners)
        kept = rank < capacity
        owners, assignments = owners[kept], assignments[kept]
    places = torch.zeros(local.numel(), dtype=torch.int64, device=local.device)
    places[assignments] = torch.arange(len(assignments), device=local.device)
    return Order(assignments, owners, places.view(local.shape))


def kept_weight(weight: Tensor, local: Tensor, capacity: int | None) -> Tensor:
    """Set the weights [tokens, top_k] of assignments beyond an expert's capacity to zero."""
    if capacity is None:
        return weight
    owners, assignments = local.flatten().sort(stable=True)
    rank = torch.arange(len(owners), device=local.device) - torch.searchsorted(owners, owners)
    kept = torch.empty_like(rank, dtype=torch.bool)
    kept[assignments] = rank < capacity
    return weight * kept.view(weight.shape)


def weighted_sum(rows: Tensor, weight: Tensor, places: Tensor) -> Tensor:
    """Compute Σ_j weight[t, j] · rows[places[t, j]], [tokens, width], in one pass over the rows."""
    return F.embedding_bag(places, rows, per_sample_weights=weight.to(rows.dtype), mode="sum")


class TorchGate:
    """The gate as the layers compute it: one product, then scores and the choice in float32."""

    def unsupported(self, case: MoeGate, device: torch.device) -> str | None:
        """Accept every case."""
        return None

    def build(self, case: MoeGate, operands: Tensors) -> Step:
        """Compute weights [tokens, top_k] and experts [tokens, top_k] int64."""

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            return {"weight": weight, "chosen": chosen}

        return step


def moved(case: RoutedKernel, operands: Tensors, weight: Tensor, local: Tensor) -> Arrivals:
    """Make the table of a kernel that moves rows, whose operands have its shape already."""
    token = operands["arrivals"] // case.top_k if case.ragged else None
    return Arrivals(weight, local, token)


class TorchDispatch:
    """A stable sort by expert, and one gather of rows."""

    def unsupported(self, case: MoeDispatch, device: torch.device) -> str | None:
        """Accept every case."""
        return None

    def build(self, case: MoeDispatch, operands: Tensors) -> Step:
        """Compute rows [assignments, width], counts [experts] and places [tokens, top_k]."""
        x, chosen = operands["x"], operands["chosen"]
        table = moved(case, operands, chosen, chosen)
        edges = torch.arange(case.local_experts + 1, device=x.device, dtype=chosen.dtype)

        def step() -> Tensors:
            order = sort_by_expert(chosen, case.capacity)
            # bincount would make the host wait for the largest value.
            ends = torch.searchsorted(order.owners, edges)
            return {
                "rows": x.index_select(0, table.tokens(order.assignments)),
                "counts": ends[1:] - ends[:-1],
                "places": order.places,
            }

        return step


class TorchCombine:
    """A gather of each token's rows, and a product with its weights."""

    def unsupported(self, case: MoeCombine, device: torch.device) -> str | None:
        """Accept every case."""
        return None

    def build(self, case: MoeCombine, operands: Tensors) -> Step:
        """Compute the sums [tokens, width]."""
        rows, weight, places = operands["rows"], operands["weight"], operands["places"]
        flat = places.flatten().to(torch.int64)
        table = moved(case, operands, weight, places)

        def step() -> Tensors:
            by_token = rows.index_select(0, flat).view(*weight.shape, case.width)
            y = torch.bmm(weight.to(rows.dtype)[:, None, :], by_token)[:, 0]
            return {"y": table.add_up(y, case.tokens)}

        return step


class BagCombine:
    """torch's embedding_bag: gather, weigh and add in one pass."""

    def unsupported(self, case: MoeCombine, device: torch.device) -> str | None:
        """Accept every case."""
        return None

    def build(self, case: MoeCombine, operands: Tensors) -> Step:
        """Compute the sums [tokens, width]."""
        rows, weight = operands["rows"], operands["weight"]
        places = operands["places"].to(torch.int64)
        table = moved(case, operands, weight, places)

        def step() -> Tensors:
            return {"y": table.add_up(weighted_sum(rows, weight, places), case.tokens)}

        return step
