"""The schema and the reader of a table of chips: peak rates, their sources, and device names.

A table is one YAML file, or a folder of them that share sources and architectures. The one that ships with
the harness is backends/chips; the first lines of its sources.yaml explain the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from bench.backend import Limits
from bench.errors import UsageError, one_of
from bench.kernels.dtypes import DTYPES
from bench.yaml_files.source import KeyPath, Source, parse_yaml
from bench.yaml_files.validation_text import sentence

# The formats that a table may give rates for: dtypes of cases, and formats that no kernel has.
FORMATS = (*DTYPES, "float6_e2m3")

SECTIONS = ("sources", "architectures", "chips")

# `high` is not mentioned in a source; a `disputed` rate is not used as a peak.
Confidence = Literal["high", "medium", "low", "disputed"]


class _Entry(BaseModel):
    """A part of a table: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class Peak(_Entry):
    """A dense rate in TFLOP/s (TOP/s for integers), with keys of the table's sources.

    `unit` is the kind of unit that multiplies; `clock_mhz` the clock of this rate if it differs from the
    chip's.
    """

    tflops: PositiveFloat
    unit: Literal["matrix", "vector"] = "matrix"
    clock_mhz: PositiveFloat | None = None
    confidence: Confidence = "high"

    def text(self, dtype: str) -> str:
        """The rate with its qualifications and sources: 67 TFLOP/s float32, dense (…)."""
        kinds = [dtype, "dense", "vector units" if self.unit == "vector" else ""]
        return _sourced(
            f"{_rate(self.tflops, dtype)} {', '.join(filter(None, kinds))}",
            self.confidence,
            self.sources,
        )


class _Named(_Entry):
    title: str
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return pattern

    def fits(self, device_name: str) -> bool:
        """Whether the pattern matches the whole name of a device."""
        return self.pattern is not None and re.fullmatch(self.pattern, device_name) is not None


class Architecture(_Named):
    """The dense FLOPs per cycle, by dtype, of one unit in a family of chips.

    `target` is its name in compilers (sm_90, gfx942). `pattern`, if given, restricts it to the devices
    of that target whose names match. A family whose units are slowed down by policy has no rates, so
    that no peak is computed for a member that the table does not list.
    """

    unit: str
    target: str | None = None
    flops_per_cycle: dict[str, PositiveFloat]

    def limits(self, dtype: str, units: int, clock_mhz: float) -> Limits:
        """Compute the peak of a chip that is in no table; the source shows how."""
        if not self.flops_per_cycle:
            return Limits(peak_source=f"{self.title}: no peak is computed; the chip is in no table")
        flops = self.flops_per_cycle.get(dtype)
        if flops is None:
            return Limits()
        tflops = peak_from_units(units, flops, clock_mhz * 1e6)
        return Limits(
            peak_tflops=tflops,
            peak_source=(
                f"{self.title}: {_rate(tflops, dtype)} {dtype}, dense, "
                f"computed from {self.unit} count × FLOP/cycle × clock: "
                f"{units} × {flops:g} × {clock_mhz:g} MHz ({', '.join(self.sources)})"
            ),
        )


class Chip(_Named):
    """One chip that is one device, or with `per: chip` several devices to its driver.

    `names` are device names that were seen, and where; `pattern` covers others by analogy. Memory and
    bandwidth are in decimal GB (1e9 bytes); `bandwidth_sources` are the chip's `sources` unless given.
    Utilization refers to `peaks`. `vector` has slower rates of the same chip, and `marketing` totals that
    no product reaches; both are for the reader, and no utilization refers to them.
    """

    id: str
    vendor: str
    status: Literal["sold", "announced"] = "sold"
    per: Literal["device", "chip"] = "device"
    names: dict[str, str] = {}
    memory_gb: PositiveFloat | None = None
    bandwidth_gbps: PositiveFloat | None = None
    bandwidth_sources: tuple[str, ...] = ()
    bandwidth_confidence: Literal["high", "medium", "low"] = "high"
    tdp_w: PositiveFloat | None = None
    architecture: Architecture | None = None
    units: PositiveInt | None = None
    clock_mhz: PositiveFloat | None = None
    peaks: dict[str, Peak] = {}
    vector: dict[str, Peak] = {}
    marketing: dict[str, Peak] = {}

    @model_validator(mode="after")
    def _units_have_an_architecture(self) -> Chip:
        if self.units is not None and self.architecture is None:
            raise ValueError(
                "units: need `architecture`, which gives the FLOPs per cycle of a unit"
            )
        return self

    def limits(self, dtype: str) -> Limits:
        """The peaks for a dtype with their sources; None where unknown or disputed."""
        peak = self.peaks.get(dtype)
        sources = []
        if peak is not None and peak.confidence == "disputed":
            peak = None
            sources.append(f"no peak for {dtype}, as sources disagree")
        if peak is not None:
            sources.append(peak.text(dtype))
        if self.bandwidth_gbps is not None:
            sources.append(self.bandwidth_text())
        announced = " (announced)" if self.status == "announced" else ""
        return Limits(
            peak_tflops=peak.tflops if peak else None,
            peak_gbps=self.bandwidth_gbps,
            peak_source=f"{self.title}{announced}: {'; '.join(sources)}" if sources else None,
        )

    def bandwidth_text(self) -> str:
        """The memory bandwidth with its qualification and sources: 3350 GB/s (…)."""
        return _sourced(
            f"{self.bandwidth_gbps:g} GB/s",
            self.bandwidth_confidence,
            self.bandwidth_sources or self.sources,
        )


def peak_from_units(count: int, flops_per_cycle: float, clock_hz: float) -> float:
    """Compute the peak in TFLOP/s of `count` units with this many FLOPs per cycle each."""
    return count * flops_per_cycle * clock_hz / 1e12


def _sourced(figure: str, confidence: str, sources: Iterable[str]) -> str:
    doubt = f", {confidence} confidence" if confidence != "high" else ""
    return f"{figure}{doubt} ({', '.join(sources)})"


def _rate(tflops: float, dtype: str) -> str:
    return f"{round(tflops, 2):g} {'TOP/s' if dtype.startswith('int') else 'TFLOP/s'}"


@dataclass(frozen=True)
class ChipTable:
    """Chips and architectures by id, and the sources by key."""

    chips: Mapping[str, Chip] = field(default_factory=dict)
    architectures: Mapping[str, Architecture] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


def parse_table(documents: Mapping[str, str]) -> ChipTable:
    """Parse the files of a table, given as text by name. Raises UsageError with one line per problem.

    An entry may refer to the sources and architectures of every file.
    """
    readers = [_TableReader(parse_yaml(text, name)) for name, text in documents.items()]
    sources = _joined("sources", {reader: reader.sources() for reader in readers})
    for reader in readers:
        reader.known_sources = sources
    architectures = _joined(
        "architectures",
        {reader: reader.section(Architecture, "architectures", {}) for reader in readers},
    )
    chips = _joined(
        "chips", {reader: reader.section(Chip, "chips", architectures) for reader in readers}
    )
    problems = [problem for reader in readers for problem in reader.problems]
    if problems:
        raise UsageError("\n".join(problems))
    return ChipTable(chips, architectures, {key: str(value) for key, value in sources.items()})


V = TypeVar("V")


def _joined(section: str, entries: Mapping[_TableReader, Mapping[str, V]]) -> dict[str, V]:
    """Join a section of several files; a key that two files give is a problem of the second."""
    joined: dict[str, V] = {}
    owner: dict[str, str] = {}
    for reader, own in entries.items():
        for key, entry in own.items():
            if owner.setdefault(key, reader.name) != reader.name:
                reader.complain((section, key), f"is already in {owner[key]}")
            joined[key] = entry
    return joined


E = TypeVar("E", bound=_Entry)


class _TableReader:
    """Builds the entries of one file of a table, and collects their problems."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.known_sources: dict[str, Any] = {}
        self.problems: list[str] = []
        self._sections = self.mapping((), source.data)
        for key in self._sections:
            if key not in SECTIONS:
                self.complain((key,), f"unknown key{one_of(key, SECTIONS)}")

    def sources(self) -> dict[str, Any]:
        """The file's own sources by key."""
        return self.mapping(("sources",), self._sections.get("sources", {}))

    def complain(self, path: KeyPath, text: str) -> None:
        self.problems.append(self._source.complain(path, text))

    def mapping(self, path: KeyPath, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.complain(path, f"expected a mapping, got {value!r}")
        return {}

    def section(self, model: type[E], key: str, known: Mapping[str, Architecture]) -> dict[str, E]:
        """Build the entries of one section; `known` are the architectures that chips may refer to."""
        built = {}
        for name, value in self.mapping((key,), self._sections.get(key, {})).items():
            path = (key, name)
            fields = dict(self.mapping(path, value))
            if model is Chip:
                fields["id"] = name
                self._architecture(path, fields, known)
                for group in ("peaks", "vector", "marketing"):
                    fields[group] = self._rates((*path, group), fields.get(group, {}))
            else:
                self._formats((*path, "flops_per_cycle"), fields.get("flops_per_cycle"))
            entry = self._build(model, path, fields)
            if entry is not None:
                built[name] = entry
        return built

    def _architecture(
        self, path: KeyPath, fields: dict[str, Any], known: Mapping[str, Architecture]
    ) -> None:
        name = fields.get("architecture")
        if name is not None and name not in known:
            text = f"unknown architecture {name!r}{one_of(str(name), known)}"
            self.complain((*path, "architecture"), text)
            fields.pop("units", None)  # otherwise it is reported as well, for the same mistake
        fields["architecture"] = known.get(name) if isinstance(name, str) else None

    def _rates(self, path: KeyPath, value: Any) -> dict[str, Peak]:
        rates = self.mapping(path, value)
        self._formats(path, rates)
        built = {
            dtype: self._build(Peak, (*path, dtype), self.mapping((*path, dtype), fields))
            for dtype, fields in rates.items()
        }
        return {dtype: peak for dtype, peak in built.items() if peak is not None}

    def _formats(self, path: KeyPath, value: Any) -> None:
        for dtype in value if isinstance(value, dict) else ():
            if dtype not in FORMATS:
                self.complain((*path, dtype), f"unknown dtype{one_of(str(dtype), FORMATS)}")

    def _build(self, model: type[E], path: KeyPath, fields: dict[str, Any]) -> E | None:
        try:
            entry = model.model_validate(fields)
        except ValidationError as error:
            for key, text in sentence(error, model.model_fields):
                self.complain((*path, key) if key else path, text)
            return None
        for key in ("sources", "bandwidth_sources"):
            for name in getattr(entry, key, ()):
                if name not in self.known_sources:
                    text = f"unknown source {name!r}{one_of(name, self.known_sources)}"
                    self.complain((*path, key), text)
        return entry
