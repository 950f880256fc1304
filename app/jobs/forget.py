"""Forgets partial uploads whose upload has ended: their rows, once nobody can ask for an answer about them again.

An upload that is complete stands by its own row and its own parts; one that was ended stands by its row alone, and what
the store still had of it is named by nothing (`app.jobs.orphans`). What it came in is asked for by whoever repeats a
concatenation, or looks where a partial upload stood: for as long as `Upload-Expires` said, and then for as long
as any answer is kept to be given again (`idempotency_expiry`).
"""

from collections.abc import Callable

from sqlalchemy import delete, select

from app.db.models import PartialPart, PartialUpload, Upload, UploadState
from app.services.runtime import Runtime


def run(runtime: Runtime, stopping: Callable[[], bool]) -> int:
    """Forget all that is due, an upload at a time; of how many."""
    forgotten = 0
    while not stopping() and _forget_one(runtime):
        forgotten += 1
    return forgotten


def _forget_one(runtime: Runtime) -> bool:
    stale = runtime.now() - runtime.settings.idempotency_expiry
    due = (
        select(PartialUpload.upload_id)
        .join(Upload, Upload.id == PartialUpload.upload_id)
        .where(Upload.state != UploadState.OPEN, Upload.expires_at <= stale)  # neither is ever taken back
        .limit(1)
    )
    with runtime.reading() as session:
        upload = session.scalar(due)
    if upload is None:
        return False
    ended = select(PartialUpload.id).where(PartialUpload.upload_id == upload)
    with runtime.unit_of_work() as uow:
        uow.session.execute(delete(PartialPart).where(PartialPart.partial_id.in_(ended)))
        uow.session.execute(delete(PartialUpload).where(PartialUpload.upload_id == upload))
        uow.commit()
    return True
