"""The public log itself, from a directory of its tiles: everything about it recomputed.

Whoever has the entry bundles of a log needs to believe nobody: every leaf's form, every label's uniqueness, every tail
leaf and every root follow from them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from custody import leaf, merkle, tail, tiles
from custody.leaf import TailLeaf
from custody.report import NotChecked
from custody.words import say

_MAX_BUNDLE = tiles.WIDTH * (2 + leaf.ENTRY_LEAF_SIZE)


@dataclass(frozen=True)
class Walked:
    """What a walk along all leaves has shown: labels all different, every tail leaf right.

    Attributes:
        roots: Size → root of the tree of that size, for the sizes that were asked for.
        last_is_tail: Whether the last leaf is a tail leaf.
    """

    roots: dict[int, bytes]
    last_is_tail: bool


def walk(directory: Path, *, size: int, wanted: Iterable[int]) -> Walked:
    """Recompute the log's first `size` leaves.

    Args:
        directory: Holds `tile/entries/…` as the log serves them.
        size: How many leaves.
        wanted: Sizes whose roots are of interest, `size` is always among them.

    Raises:
        NotChecked: The mirror holds fewer leaves.
        TileMalformed, LeafMalformed: The log, or its copy, is malformed.
        LabelTwice: A fork.
        TailMismatch: A tail leaf does not commit to the labels before it.
    """
    sizes = {*wanted, size}
    tree, tails = merkle.CompactRange(), tail.TailTree()
    labels: set[bytes] = set()
    roots: dict[int, bytes] = {}
    last_is_tail = False
    for index, data in enumerate(_leaves(directory, size)):
        parsed = leaf.parse(data)
        last_is_tail = isinstance(parsed, TailLeaf)
        if isinstance(parsed, TailLeaf):
            if parsed.root != tails.root():
                raise tail.TailMismatch(f"tail leaf {index} does not commit to the labels before it")
        elif parsed.label in labels:
            raise tail.LabelTwice(f"leaf {index} bears label {parsed.label.hex()} a second time: a fork")
        else:
            labels.add(parsed.label)
            tails.add(parsed.label)
        tree.append(merkle.leaf_hash(data))
        if index + 1 in sizes:
            roots[index + 1] = tree.root()
    return Walked(roots, last_is_tail)


def _leaves(directory: Path, size: int) -> Iterator[bytes]:
    for number in range(-(-size // tiles.WIDTH)):
        needed = min(tiles.WIDTH, size - number * tiles.WIDTH)
        data, width = _bundle(directory, number, needed)
        yield from tiles.parse_entries(data, width)[:needed]


def _bundle(directory: Path, number: int, needed: int) -> tuple[bytes, int]:
    for width in range(tiles.WIDTH, needed - 1, -1):
        path = directory / tiles.entries_path(number, width)
        if path.is_file():
            with path.open("rb") as file:
                return file.read(_MAX_BUNDLE + 1), width
    raise NotChecked(say("reason.mirror-short", index=number * tiles.WIDTH))
