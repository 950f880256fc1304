"""Checks of the chains: bodies, links, labels, statements."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from custody import entry as entries
from custody import events, leaf
from custody.checklist.case import EXCHANGE, Case, Chain
from custody.entry import ZERO, Entry
from custody.errors import CustodyError, VerificationError
from custody.leaf import SERVICE
from custody.report import Fault, NotChecked, Place
from custody.statement import Statement
from custody.words import say


class BodyMismatch(VerificationError):
    """An entry's bytes do not hash to what its leaf commits to, or it has no leaf."""

    code = "body-mismatch"


class ChainBroken(VerificationError):
    """An entry does not name the hash of its predecessor, or stands out of order or in another chain or log."""

    code = "chain-broken"


class LabelBroken(VerificationError):
    """A label does not follow from the entry before it."""

    code = "label-broken"


class StatementAbsent(VerificationError):
    """An entry carries a statement that the bundle does not hold."""

    code = "statement-absent"


class StatementTwice(VerificationError):
    """A statement stands under two entries, or under none."""

    code = "statement-twice"


def bodies(case: Case) -> str:
    """Every disclosed entry hashes to the leaf line with its seq; nothing stored is believed."""
    case.need_chains()
    for chain in case.chains.values():
        before = -1
        for number, (item, line) in enumerate(zip(chain.entries, chain.lines, strict=True)):
            seq = item.seq
            if line is None or line.hash != item.hash:
                found = "no leaf" if line is None else f"leaf {line.hash.hex()}"
                error = BodyMismatch(f"entry {seq} hashes to {item.hash.hex()}, it has {found}")
                raise Fault(error, chain.place(number))
            if seq <= before:
                raise Fault(BodyMismatch(f"entry {seq} stands after entry {before}"), chain.place(number))
            before = seq
    withheld = sum(len(chain.withheld) for chain in case.chains.values())
    return say("detail.withheld", count=withheld) if withheld else ""


def links(case: Case) -> str:
    """Seq from 0 without gap, `prev` right even across withheld entries, one chain, one log, indices ascending.

    Of the service's own chain a bundle holds what matters: gaps are nothing there.
    """
    case.need_chains()
    log = case.bundle.packing.log
    for chain in case.chains.values():
        _check_links(chain, log)
        for number, (left, right) in enumerate(pairwise(chain.leaves), start=1):
            if not left.index < right.index:
                error = ChainBroken(f"entry {right.seq} has log index {right.index}, entry {left.seq} has {left.index}")
                raise Fault(error, chain.leaf_place(number))
    excerpts = [chain.name for name, chain in case.chains.items() if name != SERVICE and not chain.whole]
    if excerpts:
        raise NotChecked(say("reason.excerpt", names=excerpts))
    return ""


def _check_links(chain: Chain, log: str) -> None:
    kind = {EXCHANGE: "exchange", SERVICE: "service"}.get(chain.name, "registry")
    allowed = {name for name, event in events.EVENTS.items() if event.chain in (kind, "any")}
    handle = chain.handle
    hashes = {line.seq + 1: line.hash for line in chain.leaves}
    hashes[0] = bytes.fromhex(ZERO)
    for number, item in enumerate(chain.entries):
        before = hashes.get(item.seq)
        if item.chain != handle or item.log != log:
            message = f"entry {item.seq} is of chain {item.chain} in {item.log}, expected {handle} in {log}"
        elif before is not None and item.prev != before.hex():
            message = f"entry {item.seq} names predecessor {item.prev}, which hashes to {before.hex()}"
        elif item.event not in allowed:
            message = f"{item.event} at seq {item.seq} stands in a chain of kind {kind}"
        else:
            continue
        raise Fault(ChainBroken(message), chain.place(number))


def labels(case: Case) -> str:
    """label(0) follows from the handle, label(k) from the salt and hash before it. The log can show no second one."""
    case.need_chains()
    log = case.bundle.packing.log
    for chain in case.chains.values():
        expected, before = leaf.first_label(log, bytes.fromhex(chain.handle)), -1
        for number, (seq, _, entry_hash, label, salt) in enumerate(chain.leaves):
            if seq == before + 1 and label != expected:
                error = LabelBroken(f"entry {seq} bears label {label.hex()}, expected {expected.hex()}")
                raise Fault(error, chain.leaf_place(number))
            expected, before = leaf.next_label(salt, entry_hash), seq
    return ""


class Act(NamedTuple):
    """An entry with the statement that is its own, and the line it stands in (from 0)."""

    number: int
    entry: Entry
    statement: Statement


@dataclass
class Matched:
    """Entries with their statements.

    Attributes:
        statements: Chain → for each line of its entries the statement that is its own; None where there is none, or
            not the right one. Only these may be looked into: what they say fits the event they stand under.
        fault: First entry whose statement is absent, another's, or says something else.
        used: Statement id → the entry it stands under.
    """

    statements: dict[str, list[Statement | None]] = field(default_factory=dict)
    acts: dict[str, list[Act]] = field(default_factory=dict)
    fault: Fault | None = None
    used: dict[str, Place] = field(default_factory=dict)


def statements(case: Case) -> str:
    """Each act's statement is there, is the one its entry names, says what the entry says, and is used once."""
    found = match(case)
    if found.fault is not None:
        raise found.fault
    idle = sorted(case.statements.keys() - found.used.keys())
    if idle:
        raise Fault(StatementTwice(f"statement {idle[0]} belongs to no entry here"), statement_place(case, idle[0]))
    return say("detail.statements", count=len(found.used))


def match(case: Case) -> Matched:
    """Bring entries and statements together; done once for a case."""
    case.need_statements()
    if case.matched is None:
        case.matched = _match(case)
    return case.matched


def said(case: Case, chain: Chain) -> list[Statement | None]:
    """For each line of a chain's entries the statement that is its own."""
    return match(case).statements[chain.name]


def acts(case: Case, chain: Chain) -> list[Act]:
    """The entries of a chain that have a statement of their own, in order."""
    return match(case).acts[chain.name]


def _match(case: Case) -> Matched:
    found = Matched()
    for chain in case.chains.values():
        row: list[Statement | None] = [None] * len(chain.entries)
        acts: list[Act] = []
        found.statements[chain.name], found.acts[chain.name] = row, acts
        for number, item in enumerate(chain.entries):
            statement_id = item.statement_id
            if statement_id is None:
                continue
            try:
                own = row[number] = _own_statement(case, item, statement_id, found.used)
                acts.append(Act(number, item, own))
            except CustodyError as error:
                found.fault = found.fault or Fault(error, chain.place(number))
            found.used.setdefault(statement_id, Place(chain=chain.name, seq=item.seq))
    return found


def _own_statement(case: Case, item: Entry, statement_id: str, used: dict[str, Place]) -> Statement:
    if statement_id in used:
        raise StatementTwice(f"statement {statement_id} stands under this entry and under {used[statement_id]}")
    found = case.statements.get(statement_id)
    if found is None:
        raise StatementAbsent(f"entry {item.seq} carries statement {statement_id}, which is not here")
    entries.check_statement(item, found)
    return found


def statement_place(case: Case, statement_id: str) -> Place:
    """Where a statement stands in statements.jsonl."""
    offset = 0
    for line, (found, statement) in enumerate(case.statements.items(), start=1):
        if found == statement_id:
            return Place("statements.jsonl", line, offset)
        offset += len(statement.envelope) + 1
    return Place("statements.jsonl")
