"""Checks of form: packing list, canonical bytes, and the table of an export."""

from custody.checklist.case import Case, FileDamaged
from custody.report import Fault, NotChecked, Place
from custody.table import table
from custody.words import say


def packing(case: Case) -> str:
    """Every file has the size and both digests of the packing list. Finds damage; a forger changes the list too."""
    if case.damaged:
        raise case.damaged[0]
    return say("detail.files", count=len(case.bundle.packing.files))


def canonical(case: Case) -> str:
    """Every line and file is of its schema, in its only spelling.

    What is malformed comes before what is unsupported: bytes of a newer version are well-formed.
    """
    if case.malformed:
        raise case.malformed[0]
    entries = sum(len(chain.entries) for chain in case.chains.values())
    return say("detail.canonical", entries=entries, statements=len(case.statements))


def shown(case: Case) -> str:
    """entries.csv is, byte for byte, what the entries give."""
    if case.bundle.packing.kind != "export":
        raise NotChecked(say("reason.no-table"))
    chain = case.need_exchange()
    if case.csv is None:
        raise NotChecked(say("reason.no-csv"))
    offset, rest = 0, case.csv
    for number, line in enumerate(table(entry.data for entry in chain.entries), start=1):
        if not rest.startswith(line, offset):
            error = FileDamaged(f"line {number} of entries.csv does not show its entry")
            seq = chain.entries[number - 2].seq if number > 1 else None
            raise Fault(error, Place("entries.csv", number, offset, chain.name, seq))
        offset += len(line)
    if offset != len(rest):
        error = FileDamaged(f"{len(rest) - offset} bytes follow the last entry in entries.csv")
        raise Fault(error, Place("entries.csv", offset=offset))
    return say("detail.lines", count=len(chain.entries))
