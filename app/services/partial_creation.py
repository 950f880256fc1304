"""Beginning a partial upload: a window of the item's one upload, or a piece whose place is not known yet.

A window begins on the grid and ends on it or with the body, so windows share no part, and requests to several never
meet. A piece may be of any size; it is kept aside and copied onto the grid when its upload is concatenated, so there
is a bound on how much may come that way.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.models import PartialUpload, Upload, UploadState, UploadWay
from app.db.unit_of_work import retried
from app.errors import BadRequest, StateConflict, TooLarge
from app.services import access
from app.services.places import Place, place_in
from app.services.runtime import Runtime
from app.services.upload_creation import MIN_BODY, Create, check_room, grid_of, new_upload, open_upload
from storage import keys
from storage.parts import MAX_PART, MAX_PARTS

PIECES: Final = 1024 * 1024 * 1024
"""Most bytes of one body that may come in pieces of unknown place: these are copied once more."""

_MOST_PIECES: Final = 256


@dataclass(frozen=True, kw_only=True)
class CreatePartial:
    """A wish to upload a part of an item's body beside others.

    Attributes:
        whole: The body, as for an upload that comes whole; its length is that of all pieces where it is not known.
        start: Where the window begins; None for a piece.
        length: Of this partial upload, bytes.
    """

    whole: Create
    start: int | None
    length: int

    @property
    def way(self) -> UploadWay:
        """How the bytes of the body come."""
        return UploadWay.PIECES if self.start is None else UploadWay.WINDOWS


def create_partial(command: CreatePartial, runtime: Runtime) -> tuple[Place, bool]:
    """Begin a partial upload, or find the window that is open there; whether it is new.

    Raises:
        BadRequest: A length or grid outside the bounds, a window off the grid.
        TooLarge: A body, a number of bodies, or pieces, beyond a limit.
        StateConflict: The item has a body, or an open upload of another size or kind, the window meets another one,
            or the package is no longer open.
    """
    part_size = _checked(command, runtime)
    whole = command.whole
    with runtime.reading() as session:
        access.package(session, whole.package, whole.caller, "upload.create")
        found = open_upload(session, whole, part_size, command.way)
    key, tokens, used = keys.body(whole.package, whole.item), [], set[str]()
    try:
        tokens.append("" if found else runtime.store.begin(key, part_size=part_size))
        tokens.append(runtime.store.begin(key, part_size=MAX_PART) if command.start is None else "")
        while True:
            with suppress(_Ended):
                return _begin(command, runtime, part_size, (tokens[0], tokens[1]), used)
            tokens[0] = runtime.store.begin(key, part_size=part_size)
    finally:
        for token in tokens:
            if token and token not in used:
                runtime.store.abort(token)


class _Ended(Exception):
    """The upload that was found has ended meanwhile."""


@retried
def _begin(
    command: CreatePartial, runtime: Runtime, part_size: int, tokens: tuple[str, str], used: set[str]
) -> tuple[Place, bool]:
    """Put it on record; `used` names tokens that a row may have then, also where the commit was not answered."""
    whole, (token, own_token) = command.whole, tokens
    used.clear()
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, whole.package, whole.caller, "upload.create", lock=True)
        access.open_for(found.exchange, "upload.completed")
        row = open_upload(session, whole, part_size, command.way)
        if row is None:
            if not token:
                raise _Ended
            check_room(session, found.row, whole.item)
            first = replace(whole, length=0) if command.start is None else whole
            row = new_upload(first, part_size, token, runtime, way=command.way)
            session.add(row)
            session.flush()
            used.add(token)
        session.refresh(row, with_for_update=True)
        if row.state is not UploadState.OPEN:
            raise StateConflict("the upload of this item has just ended", hint="begin again")
        partial = _known(session, row, command)
        fresh = partial is None
        if partial is None:
            partial = _new(session, row, command, own_token)
            used.add(own_token)
        row.expires_at = whole.at + runtime.settings.upload_expiry
        place = place_in(row, partial)
        uow.commit()
    return place, fresh


def _checked(command: CreatePartial, runtime: Runtime) -> int:
    """The grid of the body, once the command is seen to fit it."""
    start, length, body = command.start, command.length, command.whole.length
    if length < 1:
        raise BadRequest(f"a partial upload of {length} bytes, expected at least 1")
    if start is None:
        if length > PIECES:
            raise TooLarge(
                f"a partial upload of {length} bytes whose place is not told, expected at most {PIECES}",
                hint="send Rogatory-Start and Rogatory-Item-Length, and cut the body on its grid",
            )
        return grid_of(replace(command.whole, length=max(PIECES, MIN_BODY)), runtime)
    part_size = grid_of(command.whole, runtime)
    end = start + length
    if start % part_size or end > body or (end % part_size and end != body):
        raise BadRequest(
            f"a window from {start} to {end}, expected inside a body of {body} bytes, "
            f"both ends at multiples of {part_size} or at its end"
        )
    return part_size


def _known(session: Session, row: Upload, command: CreatePartial) -> PartialUpload | None:
    """The window that lies there; what meets it only in part is refused."""
    if command.start is None:
        return None
    met = select(PartialUpload).where(
        PartialUpload.upload_id == row.id,
        PartialUpload.start < command.start + command.length,
        PartialUpload.start + PartialUpload.length > command.start,
    )
    for each in session.scalars(met.limit(1)):
        if (each.start, each.length) != (command.start, command.length):
            raise StateConflict(
                f"the window meets another one, from {each.start} of {each.length} bytes",
                hint="windows of one upload do not overlap",
            )
        return each
    return None


def _new(session: Session, row: Upload, command: CreatePartial, token: str) -> PartialUpload:
    joined = PartialUpload.place.is_not(None)
    query = select(func.count()).select_from(PartialUpload).where(PartialUpload.upload_id == row.id)
    if row.offset or session.scalar(query.where(joined)):
        raise StateConflict("the upload is being concatenated, it takes no more partial uploads")
    most = _MOST_PIECES if command.start is None else MAX_PARTS
    if (session.scalar(query) or 0) >= most:
        raise TooLarge(f"the upload has {most} partial uploads, expected no more")
    if command.start is None:
        row.length += command.length
        if row.length > 2 * PIECES:
            raise TooLarge(f"pieces of {row.length} bytes in all, expected at most {2 * PIECES}")
    partial = PartialUpload(
        id=secrets.token_hex(16),
        upload_id=row.id,
        start=command.start,
        length=command.length,
        offset=0,
        fence=0,
        store_token=token,
        place=None,
    )
    session.add(partial)
    session.flush()
    return partial
