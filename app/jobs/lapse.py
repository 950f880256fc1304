"""Ends what has run out of time: download handles, unfinished uploads, spent tokens, idempotency keys."""

import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy import delete, select

from app.db.models import Download, Exchange, Idempotency, Package, SpentToken, Upload, UploadState
from app.errors import StateConflict, UploadSuperseded
from app.services import downloads, uploads
from app.services.places import place_of
from app.services.runtime import Runtime
from storage.interface import StoreError

_log: Final = logging.getLogger("rogatory.lapse")


def run(runtime: Runtime, stopping: Callable[[], bool]) -> int:
    """Do all that is due; how many handles and uploads were ended.

    An upload whose bytes the store does not publish stays until the next round, and holds up no other.
    """
    ended, stuck = 0, set[str]()
    while not stopping() and _close_download(runtime):
        ended += 1
    while not stopping() and _end_upload(runtime, stuck):
        ended += 1
    _forget(runtime)
    return ended - len(stuck)


def _close_download(runtime: Runtime) -> bool:
    at = runtime.now()
    due = select(Download.id).where(Download.closed.is_(False), Download.expires_at <= at).limit(1)
    with runtime.reading() as session:
        if session.scalar(due) is None:
            return False
    with runtime.unit_of_work() as uow:
        query = select(Download).where(Download.closed.is_(False), Download.expires_at <= at).limit(1)
        row = uow.session.scalar(query.with_for_update(skip_locked=True))
        if row is None:
            return False
        downloads.end(uow.session, runtime, row, outcome="lapsed", at=at)
        uow.commit()
    return True


def _end_upload(runtime: Runtime, stuck: set[str]) -> bool:
    """One upload that has expired: finished if all its bytes are on record, else ended; whether there was one."""
    at = runtime.now()
    due = (Upload.state == UploadState.OPEN, Upload.expires_at <= at)
    with runtime.reading() as session:
        row = session.scalar(select(Upload).where(*due, Upload.id.not_in(stuck)).limit(1))
    if row is None:
        return False
    if row.offset == row.length:
        try:
            uploads.finish(place_of(row), at, runtime)
        except (StateConflict, UploadSuperseded):
            pass  # its package takes no items any more: it is ended like any other, unless somebody goes on with it
        except StoreError as error:
            _log.error("upload is not published", extra={"facts": {"upload": row.id, "code": error.code}})
            stuck.add(row.id)
            return True
        else:
            return True
    with runtime.unit_of_work() as uow:
        locked = uow.session.scalar(select(Upload).where(Upload.id == row.id, *due).with_for_update(skip_locked=True))
        if locked is None:
            return False
        package = uow.session.get_one(Package, locked.package_id)
        handle = uow.session.get_one(Exchange, package.exchange_id).handle
        uploads.end(uow.session, runtime, locked, chain=handle, reason="expired", at=at)
        uow.commit()
    uploads.drop(runtime, [locked])
    return True


def _forget(runtime: Runtime) -> None:
    at = runtime.now()
    stale = at - runtime.settings.idempotency_expiry
    with runtime.reading() as session:
        spent = session.scalar(select(SpentToken.jti).where(SpentToken.expires_at <= at).limit(1))
        known = session.scalar(select(Idempotency.key).where(Idempotency.created_at <= stale).limit(1))
    if spent is None and known is None:
        return
    with runtime.unit_of_work() as uow:
        uow.session.execute(delete(SpentToken).where(SpentToken.expires_at <= at))
        uow.session.execute(delete(Idempotency).where(Idempotency.created_at <= stale))
        uow.commit()
