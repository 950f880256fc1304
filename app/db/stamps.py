"""Stamps over our checkpoints, and the revocation lists they are judged by."""

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.log_models import StampRow, ValidationRow


def newest(session: Session, tsa: str | None = None) -> StampRow | None:
    """The newest stamp of an authority, or of any."""
    query = select(StampRow).order_by(StampRow.size.desc(), StampRow.at.desc()).limit(1)
    return session.scalar(query if tsa is None else query.where(StampRow.tsa == tsa))


def note_of(session: Session, size: int) -> bytes | None:
    """The bytes that were stamped as the checkpoint of this size; whoever stamps it again takes the same."""
    return session.scalar(select(StampRow.note).where(StampRow.size == size).limit(1))


def sizes(session: Session, up_to: int) -> Sequence[int]:
    """Sizes that were stamped, ascending."""
    return session.scalars(select(StampRow.size).where(StampRow.size <= up_to).distinct().order_by(StampRow.size)).all()


def of_sizes(session: Session, wanted: Collection[int]) -> Sequence[StampRow]:
    """Every stamp of these sizes."""
    query = select(StampRow).where(StampRow.size.in_(list(wanted))).order_by(StampRow.size, StampRow.number)
    return session.scalars(query).all()


def keep(session: Session, row: StampRow) -> None:
    """Store a stamp as the next of its size. The caller commits."""
    count = session.scalar(select(func.count()).select_from(StampRow).where(StampRow.size == row.size)) or 0
    row.number = count
    session.add(row)
    session.flush()


def newest_list(session: Session, tsa: str, source: str) -> ValidationRow | None:
    """The newest revocation list from there."""
    query = select(ValidationRow).where(ValidationRow.tsa == tsa, ValidationRow.source == source)
    return session.scalar(query.order_by(ValidationRow.at.desc()).limit(1))


def keep_list(session: Session, row: ValidationRow) -> bool:
    """Store a revocation list if it is new. The caller commits."""
    row.sha256 = sha256(row.data).hexdigest()
    if session.get(ValidationRow, (row.tsa, row.sha256)) is not None:
        return False
    session.add(row)
    session.flush()
    return True


def lists(session: Session, authorities: Iterable[str]) -> dict[str, bytes]:
    """Of each source the newest revocation list, by digest."""
    wanted = sorted(set(authorities))
    query = select(ValidationRow.tsa, ValidationRow.source).where(ValidationRow.tsa.in_(wanted)).distinct()
    rows = [newest_list(session, tsa, source) for tsa, source in session.execute(query).all()]
    return {row.sha256: row.data for row in rows if row is not None}
