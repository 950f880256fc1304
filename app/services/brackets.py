"""Checkpoints around the entries of a chain: what bounds their times.

An entry is not older than the largest cosigned checkpoint without it, and not younger than the smallest with it. A
stamped checkpoint adds the word of somebody else: nothing in it is younger than the stamp.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.orm import Session

from app.db import cosignatures, stamps
from custody.policy import Policy

MOST: Final = 64
"""Entries of a chain that get their own checkpoints; those of a longer one are bounded by their neighbours'."""


def around(session: Session, policy: Policy, indices: Sequence[int], size: int) -> dict[int, bytes]:
    """Notes by size, each below the bundle's own, that bound entries at these places of the log, cosignatures included.

    Args:
        session: A reading session.
        policy: Whose quorum makes a bound.
        indices: Ascending.
        size: Of the bundle's checkpoint.
    """
    sizes: set[int] = set()
    for index in _spread(indices):
        if not any(each > index for each in sizes):
            above = cosignatures.satisfying(session, policy, above=index, up_to=size, newest=False)
        else:
            above = cosignatures.satisfying(
                session, policy, above=index, up_to=min(each for each in sizes if each > index), newest=False
            )
        below = cosignatures.satisfying(session, policy, above=0, up_to=index, newest=True)
        sizes |= {each for each in (above, below) if each is not None}
    return {each: cosignatures.cosigned_note(session, each) for each in sorted(sizes - {size})}


@dataclass(frozen=True)
class Stamped:
    """Stamped notes by size, and the files of `timestamps/` and `validation/`."""

    checkpoints: dict[int, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def stamped(session: Session, indices: Sequence[int], size: int) -> Stamped:
    """The first stamped checkpoint after each of these places, MOST of them at most, none larger than the bundle's.

    Args:
        session: A reading session.
        indices: Ascending.
        size: Of the bundle's checkpoint; that one is among them if it was stamped.
    """
    known = stamps.sizes(session, size)
    places = [bisect_right(known, index) for index in indices]
    after = sorted({known[place] for place in places if place < len(known)})
    rows = stamps.of_sizes(session, _spread(after))
    files = {f"timestamps/{row.size}-{row.number}.tsr": row.reply for row in rows}
    lists = stamps.lists(session, {row.tsa for row in rows})
    files |= {f"validation/{sha256}.der": data for sha256, data in lists.items()}
    return Stamped({row.size: row.note for row in rows}, files)


def _spread(indices: Sequence[int]) -> list[int]:
    """At most MOST of them, the first and the last among them."""
    if len(indices) <= MOST:
        return list(indices)
    step = (len(indices) - 1) / (MOST - 1)
    return [indices[round(number * step)] for number in range(MOST)]
