"""Kept stamps: each of its note's bytes, by a path that holds, the note this log's; and the lists beside them.

That one was taken away cannot be seen here: nothing speaks of it but whoever made it.
"""

from hashlib import sha256
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.log_models import CheckpointRow, StampRow, ValidationRow
from app.errors import Refusal
from app.services import stamping
from app.services.fsck.findings import Findings
from app.services.runtime import Runtime
from custody.checkpoint import open_checkpoint
from custody.timestamp import Reply, Validation

_AT_ONCE: Final = 64


def check(session: Session, runtime: Runtime, findings: Findings) -> None:
    """Judge every stamp and every list that is kept."""
    roots = _roots(runtime, findings)
    query = select(StampRow, CheckpointRow.root).outerjoin(CheckpointRow, CheckpointRow.size == StampRow.size)
    before = None
    query = query.order_by(StampRow.size, StampRow.number).execution_options(yield_per=_AT_ONCE)
    for row, root in session.execute(query):
        where = f"stamp {row.number} of {row.size}"
        same = before is not None and before.size == row.size
        findings.expect("stamps.number", where, before.number + 1 if before is not None and same else 0, row.number)
        if before is None or not same:
            with findings.guarded("stamps.note", where):
                shown, _ = open_checkpoint(row.note, origin=runtime.origin, log=runtime.log_keys)
                findings.expect("stamps.size", where, shown.size, row.size)
                findings.expect("stamps.note", where, root, shown.root)
        elif before.note != row.note:
            findings.add("stamps.note", where, "the same note for all stamps of a size", "another")
        with findings.guarded("stamps.reply", where):
            reply = Reply(row.reply)
            stamping.judge(reply, row.note, (*roots, *stamping.brought(reply)))
            findings.expect("stamps.at", where, reply.at, row.at)
        before = row
    for listed in session.scalars(select(ValidationRow).execution_options(yield_per=1)):
        where = f"revocation list {listed.sha256[:16]}"
        findings.expect("validation.sha256", where, sha256(listed.data).hexdigest(), listed.sha256)
        with findings.guarded("validation.data", where):
            [found] = Validation.parse([listed.data]).lists
            findings.expect("validation.at", where, found.last_update_utc, listed.at)


def _roots(runtime: Runtime, findings: Findings) -> tuple[bytes, ...]:
    """The roots of the settings; a file that cannot be read is a finding, and each reply's own are taken."""
    try:
        return stamping.roots(runtime)
    except Refusal as error:
        findings.add("settings", "ROGATORY_TSA_ROOTS", "root certificates, PEM", str(error))
        return ()
