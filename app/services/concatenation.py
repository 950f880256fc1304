"""Concatenation: partial uploads become the body of their item.

Of windows the parts lie in the item's upload already: they change their owner in one transaction, which leaves what
an upload that came whole leaves with its last byte, and is finished the same way. Pieces are copied onto the grid as
if they were sent once more, from where the upload stands: a request that repeats the concatenation, after a crash or a
lost answer, goes on there, and takes over from one that is still copying.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.auth.policy import Caller
from app.db.models import Item, PartialUpload, Upload, UploadState, UploadWay
from app.db.unit_of_work import retried
from app.errors import BadRequest, Gone, StateConflict, TooLarge
from app.services import access, partial_creation, partials, uploads
from app.services.intake import Intake
from app.services.places import Place, place_of
from app.services.runtime import Runtime
from app.services.upload_creation import MIN_BODY
from storage.interface import UploadNotFound


@dataclass(frozen=True, kw_only=True)
class Concatenate:
    """A wish to make partial uploads a body.

    Attributes:
        named: Their ids in the order of their bytes; or the one of their upload, for all its windows.
    """

    package: str
    item: str
    named: Sequence[str]
    caller: Caller
    at: datetime


def concatenate(command: Concatenate, runtime: Runtime) -> Place:
    """Complete an item's body from partial uploads that are complete.

    Raises:
        NotFound: A partial upload is absent, or of another item.
        Gone: Their upload has ended.
        BadRequest: Windows that leave a gap, stand in another order, or a name that stands twice.
        StateConflict: One of them is not complete, or they are being concatenated in another order.
        TooLarge: Pieces beyond the limit.
        UploadSuperseded: The concatenation was asked for again, and goes on there.
    """
    place, dropped = _join(command, runtime)
    composite = place.parts or _finish(place, command.at, runtime)
    if place.way is UploadWay.PIECES:
        with runtime.reading() as session:
            dropped = [*dropped, *partials.of(session, place.id)]
    uploads.drop_partials(runtime, dropped)
    with runtime.reading() as session:
        row = session.get_one(Upload, place.id)
        return place_of(row, composite, partials.joined(session, row))


def _finish(place: Place, at: datetime, runtime: Runtime) -> str:
    if place.offset == place.length:
        return uploads.finish(place, at, runtime)
    intake = Intake(runtime, place, None)
    try:
        chunks: list[bytes] = []
        filled = 0
        for data in _pieces(place, runtime):
            rest = data
            while rest:
                room = intake.room(intake.offset)
                taken, rest = rest[: room - filled], rest[room - filled :]
                chunks.append(taken)
                filled += len(taken)
                if filled == room:
                    intake.put(chunks, intake.offset)
                    chunks, filled = [], 0
    finally:
        intake.leave()
    if intake.composite is None:
        raise StateConflict("the pieces end before the body they were to make")
    return intake.composite


def _pieces(place: Place, runtime: Runtime) -> Iterator[bytes]:
    """The bytes of the pieces in their order, from where the upload stands."""
    with runtime.reading() as session:
        query = select(PartialUpload).where(PartialUpload.upload_id == place.id, PartialUpload.place.is_not(None))
        rows = list(session.scalars(query.order_by(PartialUpload.place)))
    skip = place.offset
    for row in rows:
        if skip >= row.length:
            skip -= row.length
            continue
        try:
            for chunk in runtime.store.read_pieces(row.store_token, 1, row.length):
                yield chunk[skip:]
                skip = max(0, skip - len(chunk))
        except UploadNotFound as error:
            raise Gone("a partial upload is gone: the concatenation has ended elsewhere") from error


@retried
def _join(command: Concatenate, runtime: Runtime) -> tuple[Place, list[PartialUpload]]:
    """Put the order on record; where the upload stands then, and partial uploads that are not part of it."""
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, command.package, command.caller, "upload.create", lock=True)
        row, rows = _named(session, command)
        if row.state is UploadState.COMPLETE:
            return place_of(row, session.get_one(Item, (row.package_id, row.item_id)).parts), []
        uploads.check_alive(row, command.at)
        access.open_for(found.exchange, "upload.completed")
        unnamed: list[PartialUpload] = []
        if rows[0].place is None:
            unnamed = _set_order(session, row, rows)
        row.fence += 1
        row.expires_at = command.at + runtime.settings.upload_expiry
        place = place_of(row)
        uow.commit()
    return place, unnamed


def _named(session: Session, command: Concatenate) -> tuple[Upload, list[PartialUpload]]:
    """The upload that is meant, locked, and its partial uploads in the order that is wished, or known already."""
    named = list(command.named)
    if len(set(named)) != len(named) or not named:
        raise BadRequest("the partial uploads to be concatenated stand there twice, or not at all")
    of_partial = session.scalar(select(PartialUpload.upload_id).where(PartialUpload.id == named[0]))
    row = session.scalar(select(Upload).where(Upload.id == (of_partial or named[0])).with_for_update())
    if row is None or (row.package_id, row.item_id) != (command.package, command.item):
        raise access.absent()
    known = {each.id: each for each in partials.of(session, row.id)}
    if named == [row.id]:
        forgotten = row.state is not UploadState.OPEN  # whoever repeats late finds what became of it all the same
        if row.way is not UploadWay.WINDOWS or not (known or forgotten):
            raise BadRequest("the upload has no windows, expected the names of its partial uploads")
        return row, sorted(known.values(), key=lambda each: each.start or 0)
    if not known.keys() >= set(named):
        raise access.absent()
    rows = [known[each] for each in named]
    placed = sorted((each for each in known.values() if each.place is not None), key=lambda each: each.place or 0)
    if placed and placed != rows:
        raise StateConflict("these partial uploads were concatenated in another order")
    return row, rows


def _set_order(session: Session, row: Upload, rows: Sequence[PartialUpload]) -> list[PartialUpload]:
    """Check that the partial uploads make a body, and put down their order; those that are no part of it."""
    for place, each in enumerate(rows):
        if each.offset != each.length:
            raise StateConflict(
                f"a partial upload stands at {each.offset} of {each.length} bytes, expected all of them"
            )
        each.place = place
    total = sum(each.length for each in rows)
    unnamed: list[PartialUpload] = []
    if row.way is UploadWay.WINDOWS:
        end = 0
        for each in rows:
            if each.start != end:
                raise BadRequest(f"a window begins at {each.start}, the one before it ends at {end}")
            end += each.length
        if end != row.length:
            raise BadRequest(f"the windows end at {end}, expected {row.length}, the end of the body")
        session.flush()
        partials.move_parts(session, row.id)
        row.offset = row.length
    else:
        if total < MIN_BODY:
            raise BadRequest(f"a body of {total} bytes, expected at least {MIN_BODY}")
        if total > partial_creation.PIECES:
            raise TooLarge(f"pieces of {total} bytes in all, expected at most {partial_creation.PIECES}")
        unnamed = [each for each in partials.of(session, row.id) if each not in rows]
        for each in unnamed:
            session.execute(delete(PartialUpload).where(PartialUpload.id == each.id))
            session.expunge(each)
        row.length = total
    return unnamed
