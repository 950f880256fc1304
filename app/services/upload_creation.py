"""Beginning an upload, or finding the one that is open: within the limits, and one for each item."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.auth.policy import Caller
from app.db.models import Item, Package, PackageState, Upload, UploadState, UploadWay
from app.db.unit_of_work import retried
from app.errors import BadRequest, StateConflict, TooLarge
from app.services import access
from app.services.places import Place, place_of
from app.services.runtime import Runtime
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
    part_size = grid_of(command, runtime)
    with runtime.reading() as session:
        access.package(session, command.package, command.caller, "upload.create")
    token = runtime.store.begin(keys.body(command.package, command.item), part_size=part_size)
    kept = False
    try:
        with runtime.acting() as uow:
            session = uow.session
            found = access.package(session, command.package, command.caller, "upload.create", lock=True)
            access.open_for(found.exchange, "upload.completed")
            row = open_upload(session, command, part_size, UploadWay.WHOLE)
            kept = row is None
            if row is None:
                check_room(session, found.row, command.item)
                row = new_upload(command, part_size, token, runtime)
                session.add(row)
            place = place_of(row)
            uow.commit()
    finally:
        if not kept:
            runtime.store.abort(token)
    return place, kept


def grid_of(command: Create, runtime: Runtime) -> int:
    """The part size a body is to have.

    Raises:
        BadRequest: A length or grid outside the bounds.
        TooLarge: A body beyond the limit.
    """
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


def open_upload(session: Session, command: Create, part_size: int, way: UploadWay) -> Upload | None:
    """The open upload of an item, if there is one.

    Raises:
        StateConflict: It comes in another way or is of another size, or it has expired.
    """
    here = (Upload.package_id == command.package, Upload.item_id == command.item)
    row = session.scalar(select(Upload).where(*here, Upload.state == UploadState.OPEN))
    if row is not None and row.way is not way:
        raise StateConflict(
            f"an upload is open for this item whose bytes come another way: {row.way}, expected {way}",
            hint="go on with it, or terminate it first",
        )
    sizes = (command.length, part_size)
    if row is not None and way is not UploadWay.PIECES and (row.length, row.part_size) != sizes:
        raise StateConflict(
            f"an upload of {row.length} bytes in parts of {row.part_size} is open for this item",
            hint="go on with it, or terminate it first",
        )
    if row is not None and row.expires_at <= command.at:
        raise StateConflict("an upload for this item has expired and is being cleared away", hint="try again shortly")
    return row


def check_room(session: Session, package: Package, item: str) -> None:
    """Check that an upload may begin for an item.

    Raises:
        StateConflict: The package takes no items, or this one has a body.
        TooLarge: Too many bodies, or uploads at once.
    """
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


def new_upload(
    command: Create, part_size: int, token: str, runtime: Runtime, *, way: UploadWay = UploadWay.WHOLE
) -> Upload:
    """The row of an upload that begins."""
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
        way=way,
        state=UploadState.OPEN,
        expires_at=command.at + runtime.settings.upload_expiry,
        created_at=command.at,
    )
