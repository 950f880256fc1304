"""The one writer of entries.

`append` makes the next entry of a chain inside the caller's transaction, so that a fact and its entry exist
together or not at all. Its place in the log comes later (`app.jobs.sequencer`), in the order of commits: the chain's
row is locked here, and whoever decides by a registry locks that first (`app.db.registries`).
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.orm import Session

from app.db import registries
from app.db.guard import guard_of
from app.db.log_models import Chain, ChainKind, LedgerRow, Pending, StatementRow
from app.db.records import Record, record_of, wait_for_record
from app.errors import BadInput, NotFound, Overloaded, StateConflict, StatementRefused, StatementReplayed
from custody import entry as entries
from custody import leaf
from custody.entry import Entry
from custody.errors import CustodyError
from custody.statement import Statement
from custody.text import to_time

__all__ = ["LONGEST_WAIT", "Record", "append", "hold", "open_chain", "record_of", "registry", "wait_for_record"]

LONGEST_WAIT = timedelta(seconds=10)
"""No entry is taken while one without a place in the log is older than this."""

_NONCE_SIZE = 16

_CHAINS, _LEDGER, _PENDING = Chain.__table__.c, LedgerRow.__table__.c, Pending.__table__.c
_HELD = (
    select(_CHAINS.handle, _CHAINS.kind, _CHAINS.owner, _CHAINS.next_seq, _CHAINS.head_hash, _CHAINS.head_salt)
    .where(_CHAINS.handle == bindparam("of"))
    .with_for_update(key_share=True)
)
_REPLAYED = select(_LEDGER.id).where(_LEDGER.statement_id == bindparam("of"))
_OLDEST = (
    select(_LEDGER.recorded_at)
    .join_from(Pending.__table__, LedgerRow.__table__, _PENDING.ledger_id == _LEDGER.id)
    .order_by(_PENDING.ledger_id)
    .limit(1)
)
_NEW_STATEMENT = insert(StatementRow)
_NEW_ENTRY = insert(LedgerRow).returning(_LEDGER.id)
_NEW_PENDING = insert(Pending)
_LED_ON = (
    update(Chain)
    .where(_CHAINS.handle == bindparam("of"))
    .values(next_seq=bindparam("next"), head_hash=bindparam("hash"), head_salt=bindparam("salt"))
)

hold, registry = registries.hold, registries.registry


def open_chain(session: Session, handle: str, kind: ChainKind | str, owner: str) -> None:
    """Make room for a chain; its first entry follows in the same transaction.

    Args:
        session: Of an open unit of work.
        handle: 64 hex; random for an exchange, `leaf.registry_handle` for the others.
        kind: What it tells of.
        owner: Exchange id, authority id, or `@service`.

    Raises:
        StateConflict: A chain with this handle is there.
    """
    if session.get(Chain, handle) is not None:
        raise StateConflict("a chain with this handle exists, expected a new one")
    session.add(Chain(handle=handle, kind=ChainKind(kind), owner=owner, next_seq=0))
    session.flush()


def append(
    session: Session,
    *,
    chain: str,
    event: str,
    at: datetime,
    origin: str,
    statement: Statement | None = None,
    actor: Mapping[str, str] | None = None,
    subject: Mapping[str, str] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Entry:
    """Make and store the next entry of a chain; it is a fact when the caller commits.

    Held to the statement here: kind, log, chain, event, subject, signer, detail. In a registry chain also to the
    registry's rules, signatures included. For every other chain the caller has checked the signatures and the
    signer's role, with the signer's registry locked.

    Args:
        session: Of an open unit of work.
        chain: Handle, hex.
        event: Of the vocabulary.
        at: When the service records it.
        origin: The log's.
        statement: What the party signed; None where the service speaks alone.
        actor: Who acted; by default the statement's signer, or `@service`.
        subject: What it is about; by default what the statement says.
        noted: The service's own word.

    Raises:
        NotFound: No such chain.
        StatementReplayed: The statement stands in the log already.
        StatementRefused: Statement and entry do not fit, or the registry does not allow it.
        BadInput: What is given makes no entry.
        Overloaded: The sequencer is behind by more than LONGEST_WAIT.
        ReadOnly: No witness has confirmed the log since this process began, or one has shown another.
    """
    guard_of(session).check()
    session.flush()  # what follows goes past the session's objects
    row = session.connection().execute(_HELD, {"of": chain}).one_or_none()
    if row is None:
        raise NotFound("no such chain")
    if statement is not None:
        _refuse_replay(session, statement)
    _refuse_backlog(session, at)
    entry = _build(
        session, row, event=event, at=at, origin=origin, statement=statement, actor=actor, subject=subject, noted=noted
    )
    if statement is not None:
        _check(session, row, entry, statement)
        session.connection().execute(_NEW_STATEMENT, {"id": statement.id, "envelope": statement.envelope})
    _store(session, row, entry, at=at, origin=origin)
    return entry


def _build(
    session: Session,
    row: Row[*tuple[Any, ...]],
    *,
    event: str,
    at: datetime,
    origin: str,
    statement: Statement | None,
    actor: Mapping[str, str] | None,
    subject: Mapping[str, str] | None,
    noted: Mapping[str, Any] | None,
) -> Entry:
    if actor is None:
        actor = {"authority": entries.SERVICE} if statement is None else registries.actor(session, statement)
    if subject is None and statement is not None:
        subject = entries.subject_of(statement)
    try:
        return entries.build(
            log=origin,
            chain=row.handle,
            seq=row.next_seq,
            prev=row.head_hash.hex() if row.head_hash else entries.ZERO,
            time=to_time(at),
            event=event,
            nonce=secrets.token_hex(_NONCE_SIZE),
            actor=actor,
            subject=subject,
            statement=statement,
            noted=noted,
        )
    except CustodyError as error:
        raise BadInput(f"no entry can say this: {error}") from error


def _check(session: Session, row: Row[*tuple[Any, ...]], entry: Entry, statement: Statement) -> None:
    try:
        entries.check_statement(entry, statement)
        if row.kind is ChainKind.REGISTRY:
            registries.rehearse(session, row.owner, entry, statement)
    except CustodyError as error:
        raise StatementRefused(str(error)) from error


def _store(session: Session, row: Row[*tuple[Any, ...]], entry: Entry, *, at: datetime, origin: str) -> None:
    if row.head_hash is None or row.head_salt is None:
        label = leaf.first_label(origin, bytes.fromhex(row.handle))
    else:
        label = leaf.next_label(row.head_salt, row.head_hash)
    salt = secrets.token_bytes(leaf.SALT_SIZE)
    connection = session.connection()
    stored = connection.execute(
        _NEW_ENTRY,
        {
            "chain": row.handle,
            "seq": row.next_seq,
            "body": entry.data,
            "hash": entry.hash,
            "salt": salt,
            "label": label,
            "statement_id": entry.statement_id,
            "recorded_at": at,
        },
    )
    head = {"of": row.handle, "next": row.next_seq + 1, "hash": entry.hash, "salt": salt}
    connection.execute(_LED_ON, head)
    connection.execute(_NEW_PENDING, {"ledger_id": stored.scalar_one()})


def _refuse_replay(session: Session, statement: Statement) -> None:
    there = session.connection().execute(_REPLAYED, {"of": statement.id}).scalar_one_or_none()
    if there is not None:
        raise StatementReplayed(f"statement {statement.id} stands in the log already", ledger_id=there)


def _refuse_backlog(session: Session, at: datetime) -> None:
    oldest = session.connection().execute(_OLDEST).scalar_one_or_none()
    if oldest is not None and at - oldest > LONGEST_WAIT:
        raise Overloaded(f"an entry of {to_time(oldest)} has no place in the log yet, none is taken after it")
