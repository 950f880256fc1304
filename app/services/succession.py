"""The steps by which what a trust file says of this log may change: its policies, and its end.

Each is an entry of the service's own chain. Who holds a trust file takes one over only if it stands in a checkpoint
that the log signed and that enough witnesses of the policy held so far have cosigned; see docs/spec/trust-file.md.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from app.db.log_models import LedgerRow
from app.db.records import Record, record_of
from app.errors import NotYetPublished
from app.services.runtime import Runtime
from custody import entry as entries
from custody import leaf

EVENTS: Final = frozenset({"log.succeeded", "policy.changed"})
POLICIES: Final = frozenset({"auditors", "witnesses"})
"""`what` of the changes that are steps; admissions of authorities are none."""

_MOST: Final = 256


@dataclass
class _Known:
    """Rows of the ledger that are steps, among those of the service's chain before `seq`."""

    seq: int = 0
    rows: list[int] = field(default_factory=list)


_known: WeakKeyDictionary[Pool, _Known] = WeakKeyDictionary()
_lock = Lock()


def steps(runtime: Runtime) -> list[Record]:
    """The records of the newest steps, in the order of the log; of those that are published."""
    with runtime.reading() as session, _lock:
        known = _known.setdefault(runtime.engine.pool, _Known())
        _look(session, known, leaf.registry_handle(runtime.origin, leaf.SERVICE).hex())
        found = []
        for row in known.rows[-_MOST:]:
            try:
                found.append(record_of(session, row))
            except NotYetPublished:
                break
        return found


def _look(session: Session, known: _Known, chain: str) -> None:
    """Read what was appended to the service's chain since."""
    query = select(LedgerRow.id, LedgerRow.seq, LedgerRow.body).where(
        LedgerRow.chain == chain, LedgerRow.seq >= known.seq
    )
    for row, seq, body in session.execute(query.order_by(LedgerRow.seq)).yield_per(1000):
        if _is_step(body):
            known.rows.append(row)
        known.seq = seq + 1


def _is_step(body: bytes) -> bool:
    if not any(event.encode() in body for event in EVENTS):
        return False
    found = entries.parse(body)
    return found.event in EVENTS and found.noted.get("what", "witnesses") in POLICIES
