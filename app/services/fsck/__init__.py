"""The check of everything the service keeps, beside a running service or without one.

Nothing stored is believed: bodies are hashed, chains, statements, signatures and rules replayed, the log rebuilt,
and the tables that say how things stand are held to what the chains make them say. Then the store: every body there,
with the size and the parts that are on record, and locked as long as was promised.

The reader may conclude that what this database and store hold agrees with itself, with the signatures of the parties
and with the checkpoints of the log; not that nothing was cut off at the log's end, nor that the log was shown to
everybody alike: that is what witnesses are for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from app.db.log_models import Chain, ChainKind, LedgerRow, LogLeaf, Pending, StatementRow
from app.services.fsck import stamped, tree, witnessed
from app.services.fsck.chains import ChainReader, Registries, name, registries
from app.services.fsck.findings import Finding, Findings
from app.services.fsck.matter import Matter
from app.services.fsck.objects import check_objects
from app.services.fsck.tables import Tables
from app.services.runtime import Runtime
from custody import leaf
from custody.entry import Entry

__all__ = ["Checked", "Finding", "check"]


@dataclass(frozen=True)
class Checked:
    """What was looked at, and how many findings there were."""

    entries: int
    leaves: int
    bodies: int
    findings: int


def check(runtime: Runtime, tell: Callable[[Finding], None], *, objects: bool) -> Checked:
    """Check the database in one snapshot, then the store.

    Args:
        runtime: The service; nothing of it is changed.
        tell: Called with each finding as it is found.
        objects: Read every body and header back, and hash it.

    Raises:
        DatabaseDown, StoreUnavailable: There is nothing to be said now.
    """
    findings = Findings(tell)
    with runtime.reading() as session:
        _check_file(session, findings)
        reader, tables = ChainReader(session, runtime.origin, findings), Tables(session, findings)
        known = registries(reader, runtime.origin, findings)
        tables.check_authorities(known)
        _check_service(reader, runtime, known, findings)
        for each in reader.chains(ChainKind.EXCHANGE):
            _check_exchange(reader, each, known, tables, findings)
        tables.check_rest()
        _check_rest(session, reader, findings)
        leaves = tree.check(session, runtime.origin, runtime.log_keys, findings)
        witnessed.check(session, runtime, findings)
        stamped.check(session, runtime, findings)
    bodies = check_objects(runtime, findings, deep=objects)
    return Checked(reader.rows, leaves, bodies, findings.count)


def _check_exchange(
    reader: ChainReader, chain: Row[Any], known: Registries, tables: Tables, findings: Findings
) -> None:
    matter, where, before = Matter(chain.owner, chain.handle), name(chain), findings.count
    for read in reader.read(chain):
        with findings.guarded("ledger", f"{where} seq {read.entry.seq}"):
            matter.apply(read, known)
    with findings.guarded("ledger", where):
        matter.end()
    if findings.count == before or matter.replay.length:
        tables.check_exchange(matter, chain.owner)


def _check_service(reader: ChainReader, runtime: Runtime, known: Registries, findings: Findings) -> None:
    """The service's own chain: the log began with these keys, and whoever is here was admitted."""
    admitted: dict[str, str] = {}
    chains = reader.chains(ChainKind.SERVICE)
    findings.expect("chains", "chains of the service", 1, len(chains))
    for each in chains:
        handle = leaf.registry_handle(runtime.origin, leaf.SERVICE).hex()
        findings.expect("chains.handle", name(each), handle, each.handle)
        findings.expect("chains.owner", name(each), leaf.SERVICE, each.owner)
        for read in reader.read(each):
            with findings.guarded("ledger", f"{name(each)} seq {read.entry.seq}"):
                _take(read.entry, admitted, runtime, findings)
    founded = {
        authority: {key["id"] for key in first.statement.payload["keys"]}
        for authority, first in known.enrolled.items()
        if first.statement is not None
    }
    for authority in sorted(founded.keys() | admitted.keys()):
        if admitted.get(authority, "") not in founded.get(authority, set()):
            where = f"authority {authority}"
            findings.add("ledger", where, "admitted with a key of its first entry", admitted.get(authority))


def _take(entry: Entry, admitted: dict[str, str], runtime: Runtime, findings: Findings) -> None:
    if (entry.event == "log.started") != (entry.seq == 0):
        findings.add("ledger", f"service seq {entry.seq}", "log.started first, and once", entry.event)
    if entry.event == "log.started":
        findings.expect("log keys", "log.started", [str(key) for key in runtime.log_keys], entry.noted["keys"])
    elif entry.event == "policy.changed" and entry.noted["what"] == "authority.admitted":
        admitted[entry.subject["authority"]] = entry.noted.get("fingerprint", "")


def _check_rest(session: Session, reader: ChainReader, findings: Findings) -> None:
    """Rows of the record that nothing leads to."""
    count = select(func.count())
    findings.expect("ledger", "rows that stand in a chain", reader.rows, session.scalar(count.select_from(LedgerRow)))
    lost = (
        ("statements", count.select_from(StatementRow).outerjoin(LedgerRow, LedgerRow.statement_id == StatementRow.id)),
        ("pending", count.select_from(Pending).outerjoin(LedgerRow, LedgerRow.id == Pending.ledger_id)),
        ("log_leaves", count.select_from(LogLeaf).outerjoin(LedgerRow, LedgerRow.id == LogLeaf.ledger_id)),
    )
    for table, query in lost:
        wanted = query.where(LedgerRow.id.is_(None))
        if table == "log_leaves":
            wanted = wanted.where(LogLeaf.ledger_id.is_not(None))
        findings.expect(table, "rows without an entry", 0, session.scalar(wanted))
    known = [each.value for each in ChainKind]
    findings.expect("chains.kind", "chains of no kind", 0, session.scalar(count.where(Chain.kind.not_in(known))))


def _check_file(session: Session, findings: Findings) -> None:
    """What SQLite itself finds wrong with its file: pages, indices, keys that lead nowhere."""
    if session.get_bind().dialect.name != "sqlite":
        return
    with findings.guarded("database", "the file"):
        pages = (str(row[0]) for row in session.execute(text("PRAGMA integrity_check")) if row[0] != "ok")
        keys = (f"{row[0]} row {row[1]} names no {row[2]}" for row in session.execute(text("PRAGMA foreign_key_check")))
        for each in chained(pages, keys):
            findings.add("database", "the file", "sound", each)
