"""Uploads: bodies on their way in. Here is who may, where an upload stands, and what is committed when.

The bytes themselves are `app.services.intake`'s. Every change of an upload is conditional on its fence: a request
takes a new one when it begins to write, and whatever an older request commits afterwards finds no row to change.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from app.auth.policy import Caller, Decision, may
from app.db import ledger
from app.db.models import (
    Exchange,
    Item,
    Package,
    PackageState,
    PartialUpload,
    Upload,
    UploadPart,
    UploadState,
    UploadWay,
)
from app.db.unit_of_work import retried
from app.errors import Gone, NotEntitled, OffsetMismatch, StateConflict, UploadSuperseded
from app.services import access, partials
from app.services.places import Place, place_in, place_of
from app.services.runtime import Runtime
from custody.digest import composite
from storage import keys
from storage.interface import PartDigest
from storage.parts import part_sizes

_MOST_RANGES: Final = 100


def see(upload: str, caller: Caller, at: datetime, runtime: Runtime) -> Place:
    """Where an upload stands.

    Raises:
        NotFound: Absent, or not the caller's authority's.
        Gone: It was aborted or has expired.
    """
    place = _look(upload, caller, at, runtime)
    if (
        place.parts is None and not place.partial and place.offset == place.length
    ):  # a crash came between the last byte and its entry
        with suppress(UploadSuperseded):
            finish(place, at, runtime)
        place = _look(upload, caller, at, runtime)
    return place


@retried
def take_over(upload: str, offset: int, caller: Caller, at: datetime, runtime: Runtime) -> Place:
    """Become the one request that writes to an upload, at the offset where it stands.

    Raises:
        NotFound, Gone: As `see`.
        OffsetMismatch: The upload stands elsewhere.
        NotEntitled: Its bytes come by partial uploads.
        StateConflict: It is a partial upload that was concatenated.
    """
    with runtime.unit_of_work() as uow:
        row, partial = _mine(uow.session, upload, caller, "upload.send", lock=True)
        if row.state is not UploadState.COMPLETE:  # of an upload that has ended nobody need know where it stood
            check_alive(row, at)
        standing: Upload | PartialUpload = row if partial is None else partial
        _check_takes_bytes(row, partial)
        if standing.offset != offset:
            raise OffsetMismatch(
                f"the upload stands at {standing.offset}, the request begins at {offset}", offset=standing.offset
            )
        if row.state is UploadState.COMPLETE:
            return place_of(row, _composite(uow.session, row))
        standing.fence += 1
        row.expires_at = at + runtime.settings.upload_expiry
        place = place_of(row) if partial is None else place_in(row, partial)
        uow.commit()
    return place


@retried
def advance(place: Place, offset: int, parts: Sequence[tuple[int, PartDigest]], runtime: Runtime) -> None:
    """Make it a fact that the upload stands at `offset`; its bytes are durable in the store already.

    What arrives keeps the upload alive: one request may take longer than the time after which it would expire.

    Args:
        place: As `take_over` gave it.
        offset: Where it stands now.
        parts: Number and digest of each part that became full.
        runtime: The service.

    Raises:
        UploadSuperseded: A later request has taken over, or the upload has ended; nothing was changed.
    """
    with runtime.unit_of_work() as uow:
        expires = runtime.now() + runtime.settings.upload_expiry
        if place.partial:
            partials.advance(uow.session, place, offset=offset, parts=parts, expires=expires)
        else:
            _advance(uow.session, place, offset=offset, state=UploadState.OPEN, expires=expires)
            _add_parts(uow.session, place, parts)
        uow.commit()


@retried
def finish(place: Place, at: datetime, runtime: Runtime) -> str:
    """Publish a body whose parts are all on record, then make it a fact that the item has arrived.

    May be made again after a crash at any point: `see` and the lapse job do.

    Returns:
        The composite of the parts, hex.

    Raises:
        UploadSuperseded: A later request has taken over, or the upload has ended.
        StateConflict: The package or exchange no longer takes items.
    """
    with runtime.reading() as session:
        digests = _digests(session, place)
    key = keys.body(place.package, place.item)
    version = runtime.store.complete(place.token, digests).version
    whole = composite([part.sha256 for part in digests]).hex()
    with runtime.unit_of_work() as uow:
        session = uow.session
        package = session.scalars(select(Package).where(Package.id == place.package).with_for_update()).one()
        exchange = session.get_one(Exchange, package.exchange_id)
        _advance(session, place, offset=place.length, state=UploadState.COMPLETE, expires=place.expires)
        access.open_for(exchange, "upload.completed")
        if package.state is not PackageState.DECLARED:
            raise StateConflict(f"the package is {package.state}, no item can arrive")
        session.add(
            Item(
                package_id=place.package,
                id=place.item,
                size=place.length,
                part_size=place.part_size,
                parts=whole,
                key=key,
                version=version,
            )
        )
        ledger.append(
            session,
            chain=exchange.handle,
            event="upload.completed",
            at=at,
            origin=runtime.origin,
            subject={"item": place.item, "package": place.package},
            noted={"part_size": place.part_size, "parts": whole, "size": place.length},
        )
        uow.commit()
    return whole


@retried
def terminate(upload: str, caller: Caller, at: datetime, runtime: Runtime) -> None:
    """End an upload at the sender's wish; the item may be uploaded anew.

    A partial upload goes alone, its range may be sent anew; the last one takes its upload along.

    Raises:
        NotFound, Gone: As `see`.
        StateConflict: It is complete, and so on record.
    """
    see(upload, caller, at, runtime)
    with runtime.unit_of_work() as uow:
        session = uow.session
        row, partial = _mine(session, upload, caller, "upload.terminate", lock=True)
        if row.state is UploadState.COMPLETE:
            raise StateConflict("the upload is complete and on record, it cannot be taken back")
        check_alive(row, at)
        if row.offset == row.length or (partial is not None and partial.place is not None):
            raise StateConflict("the last byte has arrived, the upload is being completed", hint="ask where it stands")
        if partial is not None and len(partials.of(session, row.id)) > 1:
            partials.remove(session, row, partial)
        else:
            end(session, runtime, row, chain=_handle(session, row), reason="terminated", at=at)
        uow.commit()
    if partial is not None and row.state is UploadState.OPEN:
        drop_partials(runtime, [partial])
    else:
        drop(runtime, [row])


def end(session: Session, runtime: Runtime, row: Upload, *, chain: str, reason: str, at: datetime) -> None:
    """Note that an open upload has ended, all that is partial with it; the caller commits, then drops the bytes."""
    row.state = UploadState.ABORTED
    row.offset = partials.received(session, row)
    row.fence += 1
    ledger.append(
        session,
        chain=chain,
        event="upload.aborted",
        at=at,
        origin=runtime.origin,
        subject={"item": row.item_id, "package": row.package_id},
        noted={"reason": reason, "received": row.offset},
    )


def drop(runtime: Runtime, rows: Sequence[Upload]) -> None:
    """Stop whoever writes to ended uploads, and drop their bytes."""
    for row in rows:
        runtime.desk.leave(runtime.desk.enter(row.id, row.fence))
        if row.way is not UploadWay.WHOLE:
            with runtime.reading() as session:
                found = partials.of(session, row.id)
            drop_partials(runtime, found)
        runtime.store.abort(row.store_token)


def drop_partials(runtime: Runtime, rows: Sequence[PartialUpload]) -> None:
    """Stop whoever writes to partial uploads that are no more, and drop the bytes that were theirs alone."""
    for row in rows:
        runtime.desk.leave(runtime.desk.enter(row.id, row.fence + 1))
        if row.store_token:
            runtime.store.abort(row.store_token)


def part_digests(session: Session, package: str, item: str) -> bytes:
    """The raw digests of a complete body's parts, one after the other."""
    query = (
        select(UploadPart.sha256)
        .join(Upload, Upload.id == UploadPart.upload_id)
        .where(Upload.package_id == package, Upload.item_id == item, Upload.state == UploadState.COMPLETE)
        .order_by(UploadPart.number)
    )
    return b"".join(session.scalars(query))


def parts_of(package: str, item: str, caller: Caller, runtime: Runtime) -> bytes:
    """The list of part digests of an item.

    Raises:
        NotFound: No such package for the caller, or the item has no complete body.
    """
    with runtime.reading() as session:
        access.package(session, package, caller, "parts.see")
        digests = part_digests(session, package, item)
    if not digests:
        raise access.absent()
    return digests


def held(place: Place, runtime: Runtime) -> list[tuple[int, int]]:
    """Ranges of the body that have come by windows; see `partials.held`."""
    with runtime.reading() as session:
        return partials.held(session, place.upload, most=_MOST_RANGES)


def _look(upload: str, caller: Caller, at: datetime, runtime: Runtime) -> Place:
    with runtime.reading() as session:
        row, partial = _mine(session, upload, caller, "upload.see")
        if row.state is not UploadState.COMPLETE:
            check_alive(row, at)
        if partial is not None:
            return place_in(row, partial)
        return place_of(row, _composite(session, row), partials.joined(session, row))


def _mine(
    session: Session, upload: str, caller: Caller, action: str, *, lock: bool = False
) -> tuple[Upload, PartialUpload | None]:
    """The upload a caller may act on, and the partial upload of it if that was named; the upload's row is locked."""
    whole = session.scalar(select(PartialUpload.upload_id).where(PartialUpload.id == upload))
    query = select(Upload).where(Upload.id == (whole or upload))
    row = session.scalar(query.with_for_update() if lock else query)
    partial = session.get(PartialUpload, upload) if whole else None
    package = session.get(Package, row.package_id) if row else None
    if row is None or package is None or (whole and partial is None):
        raise access.absent()
    decision = may(caller, action, access.package_thing(session, package))
    if decision is Decision.HIDDEN or row.authority != caller.authority:
        raise access.absent()
    if decision is Decision.DENIED:
        raise NotEntitled(f"{action} needs the role sender")
    return row, partial


def _composite(session: Session, row: Upload) -> str | None:
    """Of the parts of a complete upload, hex."""
    complete = row.state is UploadState.COMPLETE
    return session.get_one(Item, (row.package_id, row.item_id)).parts if complete else None


def _check_takes_bytes(row: Upload, partial: PartialUpload | None) -> None:
    if partial is None and row.way is not UploadWay.WHOLE:
        raise NotEntitled("the bytes of this upload come by its partial uploads, expected one of these")
    if partial is not None and partial.place is not None:
        raise StateConflict("the partial upload was concatenated, it takes no more bytes")


def check_alive(row: Upload, at: datetime) -> None:
    """Return only if an upload has not ended.

    Raises:
        Gone: It has.
    """
    if row.state is UploadState.ABORTED:
        raise Gone("the upload was ended", hint="create it anew")
    if row.expires_at <= at:
        raise Gone("the upload has expired", hint="create it anew")


def _advance(session: Session, place: Place, *, offset: int, state: UploadState, expires: datetime) -> None:
    change = (
        update(Upload)
        .where(Upload.id == place.id, Upload.fence == place.fence, Upload.state == UploadState.OPEN)
        .values(offset=offset, state=state, expires_at=expires)
    )
    if cast("CursorResult[tuple[()]]", session.execute(change)).rowcount != 1:
        raise UploadSuperseded("a later request has taken over this upload")


def _add_parts(session: Session, place: Place, parts: Sequence[tuple[int, PartDigest]]) -> None:
    session.add_all(
        UploadPart(upload_id=place.id, number=number, size=part.size, sha256=part.sha256) for number, part in parts
    )


def _digests(session: Session, place: Place) -> list[PartDigest]:
    query = select(UploadPart).where(UploadPart.upload_id == place.id).order_by(UploadPart.number)
    found = [PartDigest(row.size, row.sha256) for row in session.scalars(query)]
    if [part.size for part in found] != part_sizes(place.length, place.part_size):
        raise UploadSuperseded("the parts on record are not those of the whole body")
    return found


def _handle(session: Session, row: Upload) -> str:
    package = session.get_one(Package, row.package_id)
    return session.get_one(Exchange, package.exchange_id).handle
