"""The first whole reading of each sealed body: does what lies in the store have the digests the manifest claims?

The seal vouches for the parts and the size; the SHA-256 and BLAKE3 of the whole are the sender's word until a reading,
which is an entry, or the receiver, has found them so. Locks that a crash after the seal left short are lengthened here.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import select, tuple_

from app.db import ledger
from app.db.models import Exchange, Fixity, Item, Package
from app.services import packages
from app.services.runtime import Runtime
from custody.digest import Digester
from storage.interface import NotFound, StoreError, Truncated

T = TypeVar("T")
_log = logging.getLogger("rogatory.fixity")


def run(runtime: Runtime, stopping: Callable[[], bool]) -> int:
    """Read every sealed body that has not been read; how many were.

    All of them are locked first: reading takes hours, and a lock from before the seal lasts a day. A body that the
    store neither locks nor gives keeps nobody from the others; it is tried again at the next run.
    """
    for _ in _each(runtime, stopping, packages.lengthen):
        pass
    return sum(_each(runtime, stopping, partial(_check, stopping=stopping)))


def _each(runtime: Runtime, stopping: Callable[[], bool], do: Callable[[Runtime, Item, Package], T]) -> Iterator[T]:
    """What comes of each sealed body that has not been read; those at which the store fails are passed over."""
    last = ("", "")
    while not stopping():
        with runtime.reading() as session:
            query = select(Item, Package).join(Package).where(Item.role.is_not(None), Item.fixity.is_(None))
            query = query.where(tuple_(Item.package_id, Item.id) > last).order_by(Item.package_id, Item.id)
            found = session.execute(query.limit(1)).one_or_none()
        if found is None:
            return
        item, package = found
        last = (item.package_id, item.id)
        try:
            yield do(runtime, item, package)
        except StoreError as error:
            _log.error("store", extra={"facts": {"code": error.code}})


def _check(runtime: Runtime, item: Item, package: Package, stopping: Callable[[], bool]) -> bool:
    """Read a body and note what was found, unless the service stops; only of a body that is locked, or is gone."""
    with suppress(NotFound):
        packages.lengthen(runtime, item, package)
    event, noted = _read(runtime, item, stopping)
    if event:
        _note(runtime, item, event, noted)
    return bool(event)


def _read(runtime: Runtime, item: Item, stopping: Callable[[], bool]) -> tuple[str, dict[str, Any]]:
    """What to note of a body; nothing if the service stops meanwhile. A store that does not answer is no finding."""
    digester = Digester()
    try:
        for chunk in runtime.store.read(item.key, version=item.version):
            if stopping():
                return "", {}
            digester.update(chunk)
    except (NotFound, Truncated):
        return "fixity.failed", {"reason": "missing"}
    found = digester.finish()
    noted: dict[str, Any] = {"blake3": found.blake3.hex(), "sha256": found.sha256.hex(), "size": found.size}
    if (noted["sha256"], noted["blake3"], found.size) == (item.sha256, item.blake3, item.size):
        return "fixity.checked", noted
    return "fixity.failed", {"reason": "digest-mismatch", **noted}


def _note(runtime: Runtime, item: Item, event: str, noted: dict[str, Any]) -> None:
    with runtime.unit_of_work() as uow:
        session = uow.session
        row = session.scalars(
            select(Item).where(Item.package_id == item.package_id, Item.id == item.id).with_for_update()
        ).one()
        if row.fixity is not None:
            return
        row.fixity = Fixity.OK if event == "fixity.checked" else Fixity.FAILED
        package = session.get_one(Package, row.package_id)
        ledger.append(
            session,
            chain=session.get_one(Exchange, package.exchange_id).handle,
            event=event,
            at=runtime.now(),
            origin=runtime.origin,
            subject={"item": row.id, "package": row.package_id},
            noted=noted,
        )
        uow.commit()
