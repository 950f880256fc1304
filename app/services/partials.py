"""Partial uploads, as rows: their places, their parts, and what has come by them. Who may is decided above.

Whoever changes one holds its upload's row first, by a lock or by an update of it; so nothing here can come between a
concatenation's look and its commit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import CursorResult, delete, func, insert, literal, select, update
from sqlalchemy.orm import Session

from app.db.models import PartialPart, PartialUpload, Upload, UploadPart, UploadState, UploadWay
from app.errors import UploadSuperseded
from app.services.places import NAMED, Place
from storage.interface import PartDigest


def of(session: Session, upload: str) -> list[PartialUpload]:
    """All of an upload."""
    return list(session.scalars(select(PartialUpload).where(PartialUpload.upload_id == upload)))


def joined(session: Session, row: Upload) -> list[str]:
    """Those an upload was concatenated of, in their order, as far as they are ever told; empty before."""
    if row.way is UploadWay.WHOLE:
        return []
    query = select(PartialUpload.id).where(PartialUpload.upload_id == row.id, PartialUpload.place.is_not(None))
    return list(session.scalars(query.order_by(PartialUpload.place).limit(NAMED + 1)))


def received(session: Session, row: Upload) -> int:
    """Bytes that have come to an upload, whichever way."""
    if row.way is UploadWay.WHOLE:
        return row.offset
    total = select(func.coalesce(func.sum(PartialUpload.offset), 0)).where(PartialUpload.upload_id == row.id)
    return int(session.scalar(total) or 0)


def held(session: Session, upload: str, *, most: int) -> list[tuple[int, int]]:
    """Ranges of the body that have come by windows, ascending and apart; of too many the last stands for the rest.

    Returns:
        Pairs of start and end, the end not among them; none but the first `most - 1` and the last.
    """
    query = select(func.coalesce(PartialUpload.start, 0), PartialUpload.offset).where(
        PartialUpload.upload_id == upload, PartialUpload.start.is_not(None), PartialUpload.offset > 0
    )
    found: list[tuple[int, int]] = []
    for start, count in session.execute(query.order_by(PartialUpload.start)):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], start + count)
        else:
            found.append((start, start + count))
    return found if len(found) <= most else [*found[: most - 1], found[-1]]


def advance(
    session: Session, place: Place, *, offset: int, parts: Sequence[tuple[int, PartDigest]], expires: datetime
) -> None:
    """Make it a fact that a partial upload stands at `offset`; its upload stays alive.

    Raises:
        UploadSuperseded: A later request has taken over, or the upload has ended.
    """
    alive = update(Upload).where(Upload.id == place.upload, Upload.state == UploadState.OPEN).values(expires_at=expires)
    change = (
        update(PartialUpload)
        .where(PartialUpload.id == place.id, PartialUpload.fence == place.fence, PartialUpload.place.is_(None))
        .values(offset=offset)
    )
    for each in (alive, change):
        if cast("CursorResult[tuple[()]]", session.execute(each)).rowcount != 1:
            raise UploadSuperseded("a later request has taken over this partial upload, or it has ended")
    session.add_all(
        PartialPart(partial_id=place.id, number=number, size=part.size, sha256=part.sha256) for number, part in parts
    )


def move_parts(session: Session, upload: str) -> None:
    """Make the parts of all windows the parts of their upload."""
    ours = select(PartialUpload.id).where(PartialUpload.upload_id == upload)
    rows = select(literal(upload), PartialPart.number, PartialPart.size, PartialPart.sha256)
    session.execute(
        insert(UploadPart).from_select(
            ["upload_id", "number", "size", "sha256"], rows.where(PartialPart.partial_id.in_(ours))
        )
    )
    session.execute(delete(PartialPart).where(PartialPart.partial_id.in_(ours)))


def remove(session: Session, row: Upload, partial: PartialUpload) -> None:
    """Take one out of its upload; its bytes go, or are written over by whatever comes in its place."""
    session.execute(delete(PartialPart).where(PartialPart.partial_id == partial.id))
    session.delete(partial)
    if row.way is UploadWay.PIECES:
        row.length -= partial.length
    session.flush()
