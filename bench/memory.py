"""Peak memory of every process of a hand-over at growing sizes; sparse source, a store that discards (tests/sizes)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.series import GIB, MIB, Effort, Row, Series
from tests.sizes.play import Play

_ROOM = 3


def of_processes(effort: Effort, root: Path) -> Iterator[Row]:
    """Each process's peak at each size, less its peak at the first; the goal holds for the difference."""
    yield from _peaks(effort.memory, root)


def vast(effort: Effort, root: Path) -> Iterator[Row]:
    """The same at a size that takes minutes: `make bench VAST=1`."""
    yield from _peaks((effort.memory[0], effort.vast), root)


def _peaks(sizes: tuple[int, ...], root: Path) -> Iterator[Row]:
    first, *others = sizes
    play = Play(root / "play")
    try:
        small = play.turn(first)
        for name, value in vars(small).items():
            yield Row("memory", f"{_said(name)}, {_size(first)}", "MiB", Series((value / MIB,)))
        for size in others:
            if shutil.disk_usage(root).free < _ROOM * size:
                raise OSError(f"{_size(size)} need {_size(_ROOM * size)} of free disk to be received")
            for name, growth in play.turn(size).less(small).items():
                work = f"{_said(name)}, growth from {_size(first)} to {_size(size)}"
                yield Row("memory", work, "MiB", Series((growth / MIB,)), goal="<= 64", note="store that discards")
    finally:
        play.close()


def _said(name: str) -> str:
    role, _, after = name.partition("_after_")
    return f"service after {after}" if after else f"rogatory {role}"


def _size(count: int) -> str:
    return f"{count / GIB:g} GiB" if count >= GIB else f"{count / MIB:g} MiB"
