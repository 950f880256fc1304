"""The record of an exchange, for its parties and auditors: page by page, or whole with everything that proves it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.auth.policy import WORKING, Caller
from app.db import ledger
from app.db.log_models import LedgerRow, LogLeaf, StatementRow
from app.db.unit_of_work import retried
from app.errors import BadRequest
from app.services import access, bundles, statements, witnessing
from app.services.exchanges import On
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime

MAX_PAGE: Final = 1000
MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
"""Of entries and statements in one page; a manifest alone may have 12 MiB."""

COSIGNED_WITHIN: Final = 5.0
"""Seconds that a bundle waits for enough cosignatures of a checkpoint that covers it; then it goes without."""
_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})\Z", re.ASCII)


@dataclass(frozen=True)
class Page:
    """Some entries of a chain in order, with their places in the log, and the statements they carry."""

    entries: Sequence[tuple[bytes, int | None]]
    statements: Sequence[bytes]
    next: str | None


@dataclass(frozen=True)
class Export:
    """A bundle or export, as a file at its beginning, with the record of the act that asked for it."""

    lodged: Lodged
    file: BinaryIO


@retried
def view(exchange: str, cursor: str | None, limit: int, caller: Caller, runtime: Runtime) -> Page:
    """A page of an exchange's entries; that they were looked at goes on record first.

    A cursor carries how long the chain was at the first page: what the looking itself adds is not paged through.

    Raises:
        BadRequest: No cursor of ours.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.exchange(session, exchange, caller, "log.view")
        length = session.scalar(select(func.count()).select_from(LedgerRow).where(LedgerRow.chain == found.chain)) or 0
        start, end = _span(cursor, length)
        stop = _stop(session, found.chain, start, min(end, start + limit))
        query = (
            select(LedgerRow.body, LogLeaf.idx, StatementRow.envelope)
            .outerjoin(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
            .outerjoin(StatementRow, StatementRow.id == LedgerRow.statement_id)
            .where(LedgerRow.chain == found.chain, LedgerRow.seq >= start, LedgerRow.seq < stop)
            .order_by(LedgerRow.seq)
        )
        rows = session.execute(query).all()
        ledger.append(
            session,
            chain=found.chain,
            event="log.viewed",
            at=runtime.now(),
            origin=runtime.origin,
            noted={"by": caller.signer(), "entries": len(rows), **caller.noted()},
        )
        uow.commit()
    return Page(
        entries=[(row.body, row.idx) for row in rows],
        statements=[row.envelope for row in rows if row.envelope is not None],
        next=f"{stop}-{end}" if stop < end else None,
    )


@retried
def export(command: On, runtime: Runtime) -> Export:
    """The whole record of an exchange, up to a checkpoint that covers the act that asks for it, cosigned if it can be.

    Raises:
        StatementRefused: The act does not hold.
        NotYetPublished: No checkpoint covers it yet; the same request finds it later.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.exchange(session, command.exchange, command.caller, "log.export", lock=True)
        said = statements.admit(session, runtime, command, event="log.exported", chain=found.chain)
        entry = said.earlier
        if entry is None:
            entry = statements.append(session, runtime, said, at=command.at, noted=command.caller.noted())
            uow.commit()
    lodged = await_record(runtime, entry, fresh=said.earlier is None)
    size = witnessing.await_quorum(runtime, lodged.record.index, COSIGNED_WITHIN)
    kind = "exchange" if said.detail["form"] == "bundle" else "export"
    asker = command.caller.authority if command.caller.roles & WORKING else ""  # auditors are handed no headers
    with runtime.reading() as session:
        file = bundles.spooled(
            lambda target: bundles.write_exchange(
                session, target, found.chain, kind=kind, authority=asker, runtime=runtime, size=size
            )
        )
    return Export(lodged, file)


def _stop(session: Session, chain: str, start: int, end: int) -> int:
    """Where a page ends that begins there: it has one entry at least, and no more than a page's bytes otherwise."""
    size = func.length(LedgerRow.body) + func.coalesce(func.length(StatementRow.envelope), 0)
    query = (
        select(size)
        .outerjoin(StatementRow, StatementRow.id == LedgerRow.statement_id)
        .where(LedgerRow.chain == chain, LedgerRow.seq >= start, LedgerRow.seq < end)
        .order_by(LedgerRow.seq)
    )
    stop, total = start, 0
    for each in session.scalars(query):
        total += each
        if total > MAX_PAGE_BYTES and stop > start:
            break
        stop += 1
    return stop


def _span(cursor: str | None, length: int) -> tuple[int, int]:
    if cursor is None:
        return 0, length
    match = _CURSOR.match(cursor)
    if match is None:
        raise BadRequest("the cursor is none of this log's, expected one from an answer")
    start, end = map(int, match.groups())
    return start, min(end, length)
