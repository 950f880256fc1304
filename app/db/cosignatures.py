"""Cosignatures of our checkpoints: what witnesses have said, and which sizes satisfy a policy."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.log_models import CheckpointRow, CosignatureRow
from custody import witness
from custody.note import VerifierKey
from custody.policy import Policy

_STEP: Final = 16
"""Sizes looked at in one query on the way to one that satisfies a policy."""

_LOOKED_AT: Final = 4096
"""Sizes looked at in all: beyond, nobody has cosigned for a long time."""


def keep(session: Session, size: int, found: Mapping[VerifierKey, tuple[str, int]]) -> int:
    """Store verified cosignatures of a size, for each key the newest; how many were new. The caller commits."""
    new = 0
    for key, (line, time) in found.items():
        row = session.get(CosignatureRow, (size, key.full_id), with_for_update=True)
        if row is None:
            session.add(CosignatureRow(size=size, key=key.full_id, time=time, line=line.encode()))
            new += 1
        elif row.time < time:
            row.time, row.line = time, line.encode()
    session.flush()
    return new


def lines(session: Session, size: int) -> list[str]:
    """All cosignatures of a size, as lines of a note."""
    query = select(CosignatureRow.line).where(CosignatureRow.size == size).order_by(CosignatureRow.key)
    return [line.decode() for line in session.scalars(query)]


def cosigned_note(session: Session, size: int) -> bytes:
    """The note of a checkpoint of ours with all cosignatures at hand."""
    note = session.scalars(select(CheckpointRow.note).where(CheckpointRow.size == size)).one()
    return witness.merged(note, lines(session, size))


def newest_of(session: Session, keys: Iterable[str]) -> tuple[int, int] | None:
    """Size and time of the newest cosignature by any of these keys (full ids)."""
    query = select(CosignatureRow.size, CosignatureRow.time).where(CosignatureRow.key.in_(list(keys)))
    row = session.execute(query.order_by(CosignatureRow.size.desc(), CosignatureRow.time.desc()).limit(1)).one_or_none()
    return (row.size, row.time) if row else None


def newest_note_of(session: Session, key: str) -> bytes | None:
    """The note of the largest published checkpoint that a key (full id) cosigned, all cosignatures at hand in it."""
    query = select(CosignatureRow.size).join(CheckpointRow, CheckpointRow.size == CosignatureRow.size)
    found = session.scalar(query.where(CosignatureRow.key == key).order_by(CosignatureRow.size.desc()).limit(1))
    return cosigned_note(session, found) if found is not None else None


def satisfying(session: Session, policy: Policy, *, above: int, up_to: int, newest: bool) -> int | None:
    """The smallest or newest size s, above < s ≤ up_to, whose cosignatures satisfy a policy; None if there is none."""
    if policy.is_none:
        return None
    looked = 0
    for sizes in _sizes(session, above, up_to, newest=newest):
        for size in sizes:
            if policy.satisfied(set(session.scalars(select(CosignatureRow.key).where(CosignatureRow.size == size)))):
                return size
        looked += len(sizes)
        if looked >= _LOOKED_AT:
            break
    return None


def _sizes(session: Session, above: int, up_to: int, *, newest: bool) -> Iterator[list[int]]:
    """Cosigned sizes that were published too, a few at a time, from one end or the other."""
    while True:
        query = select(CosignatureRow.size).join(CheckpointRow, CheckpointRow.size == CosignatureRow.size)
        query = query.where(CosignatureRow.size > above, CosignatureRow.size <= up_to).distinct()
        order = CosignatureRow.size.desc() if newest else CosignatureRow.size
        found = list(session.scalars(query.order_by(order).limit(_STEP)))
        if not found:
            return
        yield found
        above, up_to = (above, found[-1] - 1) if newest else (found[-1], up_to)


def newest_size(session: Session) -> int:
    """Size of the newest published checkpoint; 0 if there is none."""
    return session.scalar(select(func.max(CheckpointRow.size))) or 0
