"""The rank of this process in a parallel launch, from the variables that the launcher sets.

Known launchers are torchrun, jsrun, Flux, Cray PALS, Open MPI, MVAPICH, MPICH and Intel MPI (Hydra),
Slurm's srun, and indexed jobs of Kubernetes. These are pure functions of an environment: nothing is
started, and no communication is set up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError


@dataclass(frozen=True)
class Rank:
    """One of `size` processes (None if unknown), number `local` on its node.

    With `own_devices`, each rank sees only devices of its own, numbered from zero.
    """

    launcher: str
    number: int
    local: int
    size: int | None = None
    own_devices: bool = False

    @property
    def alone(self) -> bool:
        """Whether this is the only rank."""
        return self.size == 1


def _never(environment: Mapping[str, str]) -> bool:
    return False


def _always(environment: Mapping[str, str]) -> bool:
    return True


# Names of generic resources (gres.conf) that are devices. Others, such as shard or a scratch disk, bind
# no device to a task.
DEVICE_GRES = ("gpu", "npu", "ascend", "mlu", "dcu", "xpu", "hpu", "gcu", "tpu")


def _slurm_binds(environment: Mapping[str, str]) -> bool:
    """Tell whether Slurm shows each task devices of its own only (slurm.schedmd.com/srun.html).

    Options per task bind, unless --gpu-bind=none undoes that. SLURM_TRES_PER_TASK is also set by a plain
    --cpus-per-task (cpu=4), and binds only where it names devices (gres/gpu:1, gres/gpu:a100=1).
    """
    binding = environment.get("SLURM_GPU_BIND", "").removeprefix("verbose,").removeprefix("v,")
    if binding:
        return binding.startswith(("per_task:", "map_gpu:")) or binding == "single:1"
    if environment.get("SLURM_NTASKS_PER_GPU") == "1":
        return True
    if _counts(environment.get("SLURM_GPUS_PER_TASK", "")):
        return True
    per_task = environment.get("SLURM_TRES_PER_TASK", "").split(",")
    devices = re.compile(rf"gres[/:](?:{'|'.join(DEVICE_GRES)})(?![A-Za-z0-9_])(.*)")
    return any((match := devices.fullmatch(each)) and _counts(match[1] or "1") for each in per_task)


def _counts(amount: str) -> bool:
    """Tell whether an amount such as 2, a100:2 or :a100=2 is more than none."""
    return bool(amount) and re.search(r"(?:^|[:=])0+$", amount) is None


@dataclass(frozen=True)
class _Launcher:
    """The names of a launcher's environment variables.

    It is recognized if `number`, `local` and one of `required` are set; `local` None means rank 0 on
    the node, and an empty `required` no further condition. The first of `sizes` that is set counts.
    `own_devices` decides by the variables whether each rank sees only devices of its own.
    """

    name: str
    number: str
    local: str | None
    sizes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    own_devices: Callable[[Mapping[str, str]], bool] = _never


# The most specific first: torchrun may run inside srun, and srun inside a wrapper of MPI sets the
# variables of PMI, which have no local rank.
LAUNCHERS = (
    # docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables"
    _Launcher("torchrun", "RANK", "LOCAL_RANK", ("WORLD_SIZE",)),
    # jsrun of LSF also sets Open MPI's variables, and Flux and PALS those of PMI.
    _Launcher("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", ("JSM_NAMESPACE_SIZE",)),
    # flux-framework.readthedocs.io, flux-environment(7)
    _Launcher("Flux", "FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID", ("FLUX_JOB_SIZE",)),
    _Launcher("PALS", "PALS_RANKID", "PALS_LOCAL_RANKID", ("PMI_SIZE",)),
    # docs.open-mpi.org, "Environment variables that are set in launched processes"
    _Launcher(
        "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", ("OMPI_COMM_WORLD_SIZE",)
    ),
    _Launcher(
        "MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", ("MV2_COMM_WORLD_SIZE",)
    ),
    _Launcher("MPICH", "PMI_RANK", "MPI_LOCALRANKID", ("PMI_SIZE",)),
    # slurm.schedmd.com/srun.html, "Output environment variables". A batch script has SLURM_PROCID as
    # well but is not a step; a step may have fewer tasks than its job.
    _Launcher(
        "Slurm",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"),
        required=("SLURM_STEP_ID", "SLURM_STEPID"),
        own_devices=_slurm_binds,
    ),
    # kubernetes.io/docs/concepts/workloads/controllers/job, "Completion mode". A pod has devices of its
    # own, and does not know how many other pods there are.
    _Launcher("Kubernetes", "JOB_COMPLETION_INDEX", None, own_devices=_always),
)


def find_rank(environment: Mapping[str, str]) -> Rank | None:
    """Return the rank in the environment's variables, None if no launcher set them.

    Raises UsageError for a variable whose value is not a rank.
    """
    for launcher in LAUNCHERS:
        needed = [name for name in (launcher.number, launcher.local) if name is not None]
        complete = not launcher.required or any(name in environment for name in launcher.required)
        if complete and all(name in environment for name in needed):
            return _rank(launcher, environment)
    return None


def _rank(launcher: _Launcher, environment: Mapping[str, str]) -> Rank:
    size = next((name for name in launcher.sizes if name in environment), None)
    rank = Rank(
        launcher=launcher.name,
        number=_whole(environment, launcher.number),
        local=0 if launcher.local is None else _whole(environment, launcher.local),
        size=None if size is None else _whole(environment, size),
        own_devices=launcher.own_devices(environment),
    )
    if rank.size is not None and rank.number >= rank.size:
        raise UsageError(
            f"{launcher.number}={rank.number} in the environment, but {size}={rank.size}: "
            "the rank must be less than the size; unset both, or start through one launcher"
        )
    return rank


def _whole(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(
            f"{name}={text!r} in the environment: expected a whole number; unset it, or start "
            "through a launcher"
        )
    return int(text)


def device_of(rank: Rank, indices: list[int]) -> str:
    """Return the device that a rank measures, as a value of `--device`.

    Raises UsageError if there are more ranks than devices on the node.
    """
    if rank.own_devices:
        return str(indices[0]) if indices else "0"
    if rank.local >= len(indices):
        raise UsageError(
            f"{rank.launcher} started rank {rank.number} as number {rank.local} on this node, "
            f"counted from 0, but the backend has {len(indices)} device"
            f"{'' if len(indices) == 1 else 's'} here: start at most one rank per device of a "
            "node, or give --device if each rank sees a device of its own"
        )
    return str(indices[rank.local])


def path_of(rank: Rank, path: Path, host: str) -> Path:
    """Return the result file of a rank: NAME.csv → NAME-HOST-RANK.csv."""
    host = re.sub(r"[^A-Za-z0-9._-]", "_", host)
    return path.with_name(f"{path.stem}-{host}-{rank.number}{path.suffix}")
