"""Chains read back: every body hashed, every link, label, statement and signature, by nothing but the bytes.

Registries come first and are kept, since every other signature is judged by them; exchanges follow one at a time, so
that what is held in memory is the registries and the largest exchange.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.db.log_models import Chain, ChainKind, CheckpointRow, LedgerRow, LogLeaf, Pending, StatementRow
from app.services.fsck.findings import Findings
from custody import entry as entries
from custody import events, leaf, statement
from custody.entry import Entry
from custody.registry import FOREVER, Registry
from custody.statement import Statement
from custody.text import from_time

_AT_ONCE = 256
_WAITING = FOREVER // 2
"""Entries without a place count as later than all others, in the order in which they will get theirs."""


@dataclass(frozen=True)
class Read:
    """An entry that was read back, with its statement and its place in the log (a provisional one if it waits)."""

    entry: Entry
    statement: Statement | None
    index: int


@dataclass
class Registries:
    """All registries, replayed with every signature verified.

    Attributes:
        replays: Authority → registry; only those that replayed to their end.
        keys: Key id → (authority, holder, use), of every key that was ever registered.
        enrolled: Authority → its first entry.
    """

    replays: dict[str, Registry] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    enrolled: dict[str, Read] = field(default_factory=dict)


class _Head(NamedTuple):
    """What the next entry of a chain follows from."""

    seq: int
    hash: bytes
    salt: bytes


class ChainReader:
    """Reads chains of one snapshot and tells what does not add up.

    Args:
        session: The snapshot.
        origin: The log's.
        findings: Where to tell.
    """

    def __init__(self, session: Session, origin: str, findings: Findings) -> None:
        self._session, self._origin, self._findings = session, origin, findings
        self.rows = 0
        """Rows of the ledger that were looked at."""

    def chains(self, kind: ChainKind) -> list[Row[Any]]:
        """The chains of a kind: handle, owner, and head as it is kept."""
        query = select(Chain.handle, Chain.kind, Chain.owner, Chain.next_seq, Chain.head_hash, Chain.head_salt)
        return list(self._session.execute(query.where(Chain.kind == kind).order_by(Chain.handle)))

    def read(self, chain: Row[Any]) -> Iterator[Read]:
        """The entries of a chain from seq 0, ended by the first that cannot be read; the head is checked at the end."""
        what, where = "ledger", name(chain)
        with self._findings.guarded(what, where):
            before: _Head | None = None
            last = -1
            for row in self._rows(chain.handle):
                self.rows += 1
                place = f"{where} seq {row.seq}"
                found = self._entry(row, chain, before, place)
                last = self._place(row, last, place)
                yield Read(found, self._statement(row, found, place), last)
                before = _Head(row.seq, found.hash, row.salt)
            self._check_head(chain, before, where)

    def _rows(self, handle: str) -> Iterator[Any]:
        query = (
            select(
                LedgerRow.id,
                LedgerRow.chain,
                LedgerRow.seq,
                LedgerRow.body,
                LedgerRow.hash,
                LedgerRow.salt,
                LedgerRow.label,
                LedgerRow.statement_id,
                LedgerRow.recorded_at,
                LogLeaf.idx,
                Pending.ledger_id.label("pending"),
            )
            .outerjoin(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
            .outerjoin(Pending, Pending.ledger_id == LedgerRow.id)
            .where(LedgerRow.chain == handle)
            .order_by(LedgerRow.seq, LedgerRow.id)
        )
        with closing(self._session.execute(query.execution_options(yield_per=_AT_ONCE))) as rows:
            yield from rows

    def _entry(self, row: Row[Any], chain: Row[Any], before: _Head | None, where: str) -> Entry:
        expect, found = self._findings.expect, entries.parse(row.body)
        expect("ledger.hash", where, found.hash, row.hash)
        expect("ledger.body chain", where, row.chain, found.chain)
        expect("ledger.body log", where, self._origin, found.fields["log"])
        expect("ledger.body seq", where, row.seq, found.seq)
        expect("ledger.body prev", where, before.hash.hex() if before else entries.ZERO, found.fields["prev"])
        expect("ledger.seq", where, before.seq + 1 if before else 0, row.seq)
        expect("ledger.recorded_at", where, from_time(found.fields["time"]), row.recorded_at)
        expect("ledger.statement_id", where, found.statement_id, row.statement_id)
        kind = events.lookup(found.event).chain
        expect("ledger.body event", where, str(chain.kind), str(chain.kind) if kind == "any" else kind)
        if before is None:
            label = leaf.first_label(self._origin, bytes.fromhex(chain.handle))
        else:
            label = leaf.next_label(before.salt, before.hash)
        expect("ledger.label", where, label, row.label)
        return found

    def _place(self, row: Row[Any], last: int, where: str) -> int:
        if (row.idx is None) != (row.pending is not None):
            self._findings.add("pending", where, "either a leaf or a wait for one", f"leaf {row.idx}, {row.pending}")
        index: int = row.idx if row.idx is not None else _WAITING + row.id
        if index <= last:
            self._findings.add("log_leaves.idx", where, f"a place after {last}", index)
        return index

    def _statement(self, row: Row[Any], entry: Entry, where: str) -> Statement | None:
        if entry.statement_id is None:
            return None
        envelope = self._session.scalar(select(StatementRow.envelope).where(StatementRow.id == entry.statement_id))
        if envelope is None:
            raise LookupError(f"statement {entry.statement_id} of seq {row.seq} is not there")
        named = entry.fields["statement"]["envelope"]
        self._findings.expect("statements.envelope", where, named, hashlib.sha256(envelope).hexdigest())
        found = statement.parse(envelope)
        self._findings.expect("statements.id", where, entry.statement_id, found.id)
        entries.check_statement(entry, found)
        self._check_seen(found, where)
        return found

    def _check_seen(self, found: Statement, where: str) -> None:
        seen = found.payload.get("seen")
        if seen is not None:
            query = select(CheckpointRow.root).where(CheckpointRow.size == seen["size"])
            signed = self._session.scalar(query)
            self._findings.expect("checkpoints.root", f"{where}, size seen", seen["root"], signed and signed.hex())

    def _check_head(self, chain: Row[Any], last: _Head | None, where: str) -> None:
        expect = self._findings.expect
        expect("chains.next_seq", where, last.seq + 1 if last else 0, chain.next_seq)
        expect("chains.head_hash", where, last.hash if last else None, chain.head_hash)
        expect("chains.head_salt", where, last.salt if last else None, chain.head_salt)


def registries(reader: ChainReader, origin: str, findings: Findings) -> Registries:
    """Replay every registry, with all its signatures."""
    found = Registries()
    for chain in reader.chains(ChainKind.REGISTRY):
        where = name(chain)
        findings.expect("chains.handle", where, leaf.registry_handle(origin, chain.owner).hex(), chain.handle)
        replay, length = Registry(chain.owner), 0
        for read in reader.read(chain):
            length += 1
            with findings.guarded("ledger", f"{where} seq {read.entry.seq}"):
                if read.statement is None:
                    raise LookupError("an entry of a registry without a statement")
                replay.apply(read.entry, read.statement, index=read.index)
                _take_keys(found, read.statement)
                found.enrolled.setdefault(chain.owner, read)
        if length and replay.length == length:
            found.replays[chain.owner] = replay
    return found


def verify(read: Read, known: Registries) -> None:
    """Check the signatures of a party's act against its registry at that place; the service's word has none.

    Raises:
        CustodyError: Not signed by whoever was entitled to it.
        LookupError: Its authority has no registry here that holds.
    """
    said = read.statement
    if said is None:
        return
    if said.authority not in known.replays:
        raise LookupError(f"{said.authority} has no registry that holds")
    for key in known.replays[said.authority].signers(said, event=read.entry.event, at=read.index):
        said.verify(key)


def name(chain: Row[Any]) -> str:
    """How a chain is called in findings."""
    return f"{chain.kind} {chain.owner}"


def _take_keys(found: Registries, said: Statement) -> None:
    brought: list[dict[str, str]] = list(said.payload.get("keys", ()))
    if "key" in said.payload:
        brought.append(said.payload["key"])
    for key in brought:
        found.keys[key["id"]] = (said.authority, key["holder"], key["use"])
