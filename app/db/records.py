"""Records: the service's answer to an act, an entry's bytes with the proof of its place in a signed checkpoint."""

from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.db.fresh import Board, board
from app.db.log_models import CheckpointRow, LedgerRow, LogLeaf
from app.db.log_reader import LogReader
from app.db.unit_of_work import reading
from app.errors import NotFound, NotYetPublished
from custody.entry import Entry
from custody.proof import TlogProof

_LOOK_AGAIN = 0.1
"""Seconds after which a waiting request looks by itself: another process may have published."""

_LOOK_ANYWAY = 0.5
"""The same, where this process published something so recently."""


@dataclass(frozen=True, slots=True)
class Record:
    """An entry with its proof.

    Attributes:
        entry: The exact bytes.
        index: Place in the log.
        proof: The tlog-proof, text.
    """

    entry: bytes
    index: int
    proof: str


def record_of(session: Session, ledger_id: int) -> Record:
    """The record of an entry in the newest checkpoint that the session sees.

    Raises:
        NotFound: No such entry.
        NotYetPublished: No signed checkpoint covers it yet.
    """
    row = session.execute(
        select(LedgerRow.body, LedgerRow.label, LedgerRow.salt, LogLeaf.idx)
        .outerjoin(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
        .where(LedgerRow.id == ledger_id)
    ).one_or_none()
    if row is None:
        raise NotFound("no such entry")
    if row.idx is None or not _is_covered(session, row.idx):
        raise NotYetPublished("no signed checkpoint covers the entry yet", ledger_id=ledger_id)
    reader = LogReader(session)
    proof = TlogProof(
        extra=row.label + row.salt, index=row.idx, path=tuple(reader.inclusion(row.idx)), note=reader.note
    )
    return Record(entry=row.body, index=row.idx, proof=proof.encode().decode())


def ledger_id_of(session: Session, entry: Entry) -> int:
    """The row of the ledger that holds an entry.

    Raises:
        NotFound: None does.
    """
    query = select(LedgerRow.id).where(LedgerRow.chain == entry.chain, LedgerRow.seq == entry.seq)
    found = session.scalar(query.where(LedgerRow.hash == entry.hash))
    if found is None:
        raise NotFound("no such entry")
    return found


def wait_for_record(engine: Engine, entry: int | Entry, timeout: float = 2.0) -> Record:
    """The record of a committed entry, as soon as a signed checkpoint covers it. Blocks its thread.

    What this process publishes is taken from memory, without a question to the database; what another one
    published is looked for in the tables.

    Args:
        engine: Where.
        entry: The entry, or the id of its row.
        timeout: Seconds to wait at most.

    Raises:
        NotFound: It was never committed.
        NotYetPublished: Not within the time; the fact stands all the same.
    """
    news = board(engine.pool)
    end = monotonic() + timeout
    while True:
        rings, left = news.bell.rings, end - monotonic()
        if isinstance(entry, Entry):
            found = _fresh(news, entry, min(left, _pause(news)))
            if found is not None:
                return found
        try:
            with reading(engine) as session:
                return record_of(session, ledger_id_of(session, entry) if isinstance(entry, Entry) else entry)
        except NotYetPublished:
            left = end - monotonic()
            if left <= 0:
                raise
            if isinstance(entry, int):
                news.bell.wait(rings, min(left, _LOOK_AGAIN))


def _pause(news: Board) -> float:
    """Seconds after which a waiting request looks by itself: looking costs more than waiting."""
    return _LOOK_ANYWAY if news.is_in_use(within=_LOOK_ANYWAY) else _LOOK_AGAIN


def _fresh(news: Board, entry: Entry, timeout: float) -> Record | None:
    batch = news.find(entry.hash, timeout)
    if batch is None:
        return None
    proof = batch.proof(entry.hash)
    return Record(entry=entry.data, index=proof.index, proof=proof.encode().decode())


def _is_covered(session: Session, index: int) -> bool:
    return session.scalar(select(CheckpointRow.size).where(CheckpointRow.size > index).limit(1)) is not None
