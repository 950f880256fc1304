"""The steps by which what a trust file says of this log may change: its policies, and its end.

Each is an entry of the service's own chain. Who holds a trust file takes one over only if it stands in a checkpoint
that the log signed and that enough witnesses of the policy held so far have cosigned; see docs/spec/trust-file.md.
"""

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from app.auth import private_files
from app.db import ledger
from app.db.guard import guard
from app.db.log_models import LedgerRow, Pending
from app.db.log_reader import LogReader, entry_bundle
from app.db.records import Record, record_of
from app.errors import BadInput, NotYetPublished, StateConflict
from app.services.runtime import Runtime
from app.settings import Settings
from custody import entry as entries
from custody import leaf
from custody.entry import Entry
from custody.errors import CustodyError
from custody.note import VerifierKey
from custody.succession import LeavesDigest, Predecessor
from custody.tiles import WIDTH

PREDECESSOR: Final = "predecessor.json"
"""File of a state: the log that this one succeeds and what stood in it, put there before its log begins."""

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


def predecessor(settings: Settings) -> Predecessor | None:
    """The log that the one in this state succeeds, if any.

    Raises:
        FormatError: The file in the state is none.
    """
    path = settings.state / PREDECESSOR
    return _named(path.read_bytes()) if path.exists() else None


def follow(settings: Settings, data: bytes, *, begun: bool) -> None:
    """Let the log that will begin in a state succeed another.

    Args:
        settings: Of the successor.
        data: What the old log's end was written down as.
        begun: Whether the successor's log has begun.

    Raises:
        StateConflict: It has, and does not name this log.
        FormatError: The bytes do not name a log.
    """
    if predecessor(settings) == _named(data):
        return
    if begun:
        raise StateConflict(
            f"the log in {settings.state} has begun already", hint="a successor begins in a state directory of its own"
        )
    private_files.private_directory(settings.state)
    private_files.write(settings.state / PREDECESSOR, data)


def _named(data: bytes) -> Predecessor:
    return Predecessor.parse(data.partition(b"\n")[0])


def end_of(runtime: Runtime) -> Entry | None:
    """The entry by which the log has ended; none if it goes on."""
    chain = leaf.registry_handle(runtime.origin, leaf.SERVICE).hex()
    query = select(LedgerRow.body).where(LedgerRow.chain == chain).order_by(LedgerRow.seq.desc()).limit(1)
    with runtime.reading() as session:
        body = session.scalar(query)
    last = entries.parse(body) if body is not None else None
    return last if last is not None and last.event == "log.succeeded" else None


def is_ending(runtime: Runtime) -> bool:
    """Whether the log's last entry is written and has no place yet: nothing else may be before it gets one."""
    if end_of(runtime) is None:
        return False
    with runtime.reading() as session:
        return session.scalar(select(Pending.ledger_id).limit(1)) is not None


def stay_ended(runtime: Runtime) -> None:
    """Take no entry any more, if the log has ended; what is there can be read for ever."""
    end = end_of(runtime)
    if end is not None:
        guard(runtime.engine).refuse(f"the log has ended, its successor is {end.noted['origin']}")


def succeed(runtime: Runtime, *, origin: str, keys: list[str], at: datetime) -> Entry:
    """End the log: its last entry names the log that goes on with its matters, and nothing follows.

    Args:
        runtime: Of a service that does not run.
        origin: Of the successor.
        keys: Its log's vkeys.
        at: When.

    Raises:
        StateConflict: It has ended already, with another successor; or the successor is this log.
        BadInput: A key is no log's key of that origin.
        ReadOnly: No witness has confirmed the log.
    """
    end = end_of(runtime)
    if end is not None:
        if (end.noted["origin"], end.noted.get("keys")) == (origin, keys):
            return end
        raise StateConflict(f"the log has ended, its successor is {end.noted['origin']}")
    _check_successor(runtime, origin, keys)
    chain = leaf.registry_handle(runtime.origin, leaf.SERVICE).hex()
    with runtime.unit_of_work() as uow:
        noted = {"keys": keys, "origin": origin}
        entry = ledger.append(
            uow.session, chain=chain, event="log.succeeded", at=at, origin=runtime.origin, noted=noted
        )
        uow.commit()
    return entry


def _check_successor(runtime: Runtime, origin: str, keys: list[str]) -> None:
    if origin == runtime.origin:
        raise StateConflict(f"{origin} is this log", hint="a successor has another origin, and keys of its own")
    try:
        parsed = [VerifierKey.parse(text) for text in keys]
    except CustodyError as error:
        raise BadInput(f"a key of the successor: {error}") from error
    if {key.name for key in parsed} != {origin} or {key.public for key in parsed} & {
        key.public for key in runtime.log_keys
    }:
        raise BadInput(f"the successor's keys are named {origin} each, and none is a key of this log")


def as_predecessor(runtime: Runtime) -> Predecessor:
    """What the successor's first entry says of this log: its last checkpoint, and all its leaves hashed otherwise."""
    with runtime.reading() as session:
        log = LogReader(session)
        digest = LeavesDigest()
        for n in range(-(-log.size // WIDTH)):
            digest.add(entry_bundle(session, n=n, width=min(WIDTH, log.size - n * WIDTH)))
        return Predecessor(runtime.origin, log.size, log.root.hex(), digest.hex())


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
