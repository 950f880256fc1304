"""Checkpoints around the entries of a chain: what bounds their times.

An entry is not older than the largest cosigned checkpoint without it, and not younger than the smallest with it.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from app.db import cosignatures
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


def _spread(indices: Sequence[int]) -> list[int]:
    """At most MOST of them, the first and the last among them."""
    if len(indices) <= MOST:
        return list(indices)
    step = (len(indices) - 1) / (MOST - 1)
    return [indices[round(number * step)] for number in range(MOST)]
