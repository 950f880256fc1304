"""Repeated measurements, taken in turns, and the ratio between two of them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Series:
    """The values of one measure, in the order they were taken."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> float:
        """Highest less lowest, as a part of the median: the noise of this machine."""
        return (max(self.values) - min(self.values)) / self.middle if self.middle else 0.0

    def over(self, other: "Series") -> "Series":
        """The ratio of each to the one that was taken in the same turn."""
        return Series(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        group: Heading it stands under.
        work: What was done.
        unit: Of both series.
        ours: What we need for it.
        anchor: What `by` needs for the same; none where there is nobody to compare with.
        by: Who else did it.
        goal: What is wanted, in the words of the table: `>= 1.0 x`, `>= 1500`, `<= 64`; empty for none.
        note: Whatever the reader must know to believe the figure.
    """

    group: str
    work: str
    unit: str
    ours: Series
    anchor: Series | None = None
    by: str = ""
    goal: str = ""
    note: str = ""

    def fields(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Row":
        series = {name: Series(tuple(fields[name]["values"])) for name in ("ours", "anchor") if fields[name]}
        return cls(**{**fields, "anchor": None, **series})

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None without one."""
        if not self.goal:
            return None
        sense, limit, *ratio = self.goal.split()
        value = self.ours.middle
        if ratio:
            assert self.anchor is not None
            value = self.ours.over(self.anchor).middle
        return value >= float(limit) if sense == ">=" else value <= float(limit)


@dataclass(frozen=True)
class Effort:
    """How much to do: sizes in bytes, and how often everything is repeated.

    Attributes:
        memory: Sizes of items, the first is what the others are held against.
        vast: A size that takes minutes.
        bundle: Entries of the bundle that is checked.
        chains: Open while the sequencer's latency is taken.
        leaves: Sizes of the log at which proofs are weighed, ascending.
    """

    size: int
    repeat: int
    records: int
    entries: int
    memory: tuple[int, ...]
    vast: int
    bundle: int
    chains: int
    leaves: tuple[int, ...]


def rate(work: Callable[[], object], amount: float) -> float:
    """How much of `amount` a second the work does."""
    started = perf_counter()
    work()
    return amount / (perf_counter() - started)


def in_turns(repeat: int, **contenders: Callable[[], float]) -> dict[str, Series]:
    """Each contender's values, taken alternately; a first turn warms everything up and does not count."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeat + 1):
        for name, contender in contenders.items():
            value = contender()
            if turn:
                values[name].append(value)
    return {name: Series(tuple(found)) for name, found in values.items()}
