"""Clears away what crashes leave in the store: uploads that no row speaks of, since their row never came or has ended.

Only what is unfinished goes; nothing that is published is ever deleted here.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from app.db.models import Upload, UploadState
from app.services.runtime import Runtime
from storage import keys

AGE: Final = timedelta(days=1)
"""Younger ones may be about to get their row; no request lasts as long."""


def run(runtime: Runtime, stopping: Callable[[], bool]) -> int:
    """Drop all uploads of the store that nobody can go on with; how many there were."""
    cleared, wanted = 0, _wanted(runtime)
    for found in runtime.store.uploads():
        if stopping():
            break
        if found.key not in wanted and runtime.now() - found.begun > AGE:
            runtime.store.abort(found.token)
            cleared += 1
    return cleared


def _wanted(runtime: Runtime) -> set[str]:
    """Keys of bodies that are on their way; read first, since what is begun later is younger than AGE."""
    with runtime.reading() as session:
        rows = session.execute(select(Upload.package_id, Upload.item_id).where(Upload.state == UploadState.OPEN))
        return {keys.body(row.package_id, row.item_id) for row in rows}
