"""Beginning an upload, or finding the one that is open: within the limits, and one for each item."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.auth.policy import Caller
from app.db.models import Item, Package, PackageState, Upload, UploadState
from app.db.unit_of_work import retried
from app.errors import BadRequest, StateConflict, TooLarge
from app.services import access
from app.services.runtime import Runtime
from app.services.uploads import Place, place_of
from storage import keys
from storage.parts import MAX_PART, MAX_PARTS, grid

MIN_BODY: Final = 32
"""A nonce of 16 bytes and the tag of an empty chunk."""

_MAX_BODIES: Final = 10_001
_MAX_OPEN: Final = 256


@dataclass(frozen=True, kw_only=True)
class Create:
    """A wish to upload the body of an item."""

    package: str
    item: str
    length: int
    part_size: int | None
    caller: Caller
    at: datetime


@retried
def create(command: Create, runtime: Runtime) -> tuple[Place, bool]:
    """Begin an upload, or find the one that is open for the item; whether it is new.

    Raises:
        BadRequest: A length or grid outside the bounds.
        TooLarge: A body, or a number of bodies, beyond a limit.
        StateConflict: The item has a body, or an open upload of another size, or the package is no longer open.
    """
    part_size = _grid(command, runtime)
    with runtime.reading() as session:
        access.package(session, command.package, command.caller, "upload.create")
    token = runtime.store.begin(keys.body(command.package, command.item), part_size=part_size)
    kept = False
    try:
        with runtime.acting() as uow:
            session = uow.session
            found = access.package(session, command.package, command.caller, "upload.create", lock=True)
            access.open_for(found.exchange, "upload.completed")
            row = _open_upload(session, command, part_size)
            kept = row is None
            if row is None:
                _check_room(session, found.row, command.item)
                row = _new(command, part_size, token, command.at + runtime.settings.upload_expiry)
                session.add(row)
            place = place_of(row)
            uow.commit()
    finally:
        if not kept:
            runtime.store.abort(token)
    return place, kept


def _grid(command: Create, runtime: Runtime) -> int:
    settings = runtime.settings
    if command.length < MIN_BODY:
        raise BadRequest(f"a body of {command.length} bytes, expected at least {MIN_BODY}")
    if command.length > settings.max_item_size:
        raise TooLarge(f"a body of {command.length} bytes, expected at most {settings.max_item_size}")
    if command.part_size is None:
        return grid(command.length, minimum=settings.min_part_size)
    size = command.part_size
    if size & (size - 1) or not settings.min_part_size <= size <= MAX_PART or size * MAX_PARTS < command.length:
        raise BadRequest(
            f"part size {size}, expected a power of two from {settings.min_part_size} to {MAX_PART} "
            f"that needs at most {MAX_PARTS} parts"
        )
    return size


def _open_upload(session: Session, command: Create, part_size: int) -> Upload | None:
    here = (Upload.package_id == command.package, Upload.item_id == command.item)
    row = session.scalar(select(Upload).where(*here, Upload.state == UploadState.OPEN))
    if row is not None and (row.length, row.part_size) != (command.length, part_size):
        raise StateConflict(
            f"an upload of {row.length} bytes in parts of {row.part_size} is open for this item",
            hint="go on with it, or terminate it first",
        )
    if row is not None and row.expires_at <= command.at:
        raise StateConflict("an upload for this item has expired and is being cleared away", hint="try again shortly")
    return row


def _check_room(session: Session, package: Package, item: str) -> None:
    if package.state is not PackageState.DECLARED:
        raise StateConflict(f"the package is {package.state}, no item can be added")
    if session.get(Item, (package.id, item)) is not None:
        raise StateConflict("the item has a complete body already", hint="item ids are never used again")
    bodies = session.scalar(select(func.count()).select_from(Item).where(Item.package_id == package.id)) or 0
    under_way = (
        session.scalar(
            select(func.count())
            .select_from(Upload)
            .where(Upload.package_id == package.id, Upload.state == UploadState.OPEN)
        )
        or 0
    )
    if bodies + under_way >= _MAX_BODIES:
        raise TooLarge(f"the package has {bodies + under_way} bodies, expected at most {_MAX_BODIES}")
    if under_way >= _MAX_OPEN:
        raise TooLarge(f"{under_way} uploads are open in this package, expected at most {_MAX_OPEN} at once")


def _new(command: Create, part_size: int, token: str, expires: datetime) -> Upload:
    return Upload(
        id=secrets.token_hex(16),
        package_id=command.package,
        item_id=command.item,
        principal=command.caller.principal,
        authority=command.caller.authority,
        length=command.length,
        part_size=part_size,
        store_token=token,
        offset=0,
        fence=0,
        state=UploadState.OPEN,
        expires_at=expires,
        created_at=command.at,
    )
