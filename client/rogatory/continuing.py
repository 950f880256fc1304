"""An exchange that goes on in the log after: what its bundle from the old log says of it, to hold the new log to that.

The bundle is read, not verified: `rogatory verify --before` does that, of both logs together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody import entry, packing, statement
from custody.bundle import open_bundle
from custody.entry import Entry
from rogatory.errors import Tampered, UsageProblem


class ContinuedOtherwise(Tampered):
    """The service notes another past of an exchange than its bundle shows."""

    code = "continued-otherwise"


class NothingToContinue(UsageProblem):
    """The file is no bundle of an exchange that can be opened again."""

    code = "nothing-to-continue"


@dataclass(frozen=True)
class Before:
    """An exchange as its bundle of the log before shows it.

    Attributes:
        handle: Of the exchange, the same in both logs.
        origin: Of the log before.
        parties, auditors: Who stood in it at last.
        seq, hash: Its last entry in the bundle.
        ended: Whether the bundle is from the end of that log, so that this entry is the last for ever.
    """

    handle: str
    origin: str
    parties: tuple[str, ...]
    auditors: tuple[str, ...]
    seq: int
    hash: str
    ended: bool

    def check(self, opened: Entry) -> None:
        """Hold the entry by which the exchange was opened again to the bundle.

        Raises:
            ContinuedOtherwise: It goes on from another log or entry, or from nothing.
        """
        found = opened.noted.get("continues", {})
        same = (found.get("origin"), found.get("seq"), found.get("hash")) == (self.origin, self.seq, self.hash)
        later = not self.ended and found.get("origin") == self.origin and found.get("seq", 0) > self.seq
        if not same and not later:
            raise ContinuedOtherwise(
                f"the service lets the exchange go on from {found or 'nothing'}, "
                f"the bundle ends with entry {self.seq} of {self.origin}, {self.hash}",
                hint="keep the bundle and the record: together they show it to anybody",
            )


def read(path: Path) -> Before:
    """What the bundle of an exchange says of it.

    Raises:
        NothingToContinue: A bundle of a registry, or an excerpt, or closed.
        FormatError: No bundle.
        OSError: It cannot be read.
    """
    bundle = open_bundle(path)
    try:
        if bundle.packing.kind == "registry":
            raise NothingToContinue("the bundle is of a registry and holds no exchange")
        chain = [entry.parse(line) for line in packing.split_lines(bundle.read("entries.jsonl"))]
        said = [statement.parse(line) for line in packing.split_lines(bundle.read("statements.jsonl"))]
        leaves = packing.parse_leaves(bundle.read("leaves.jsonl"))
        service = bundle.read("service/entries.jsonl") if "service/entries.jsonl" in bundle else b""
        ended = any(entry.parse(line).event == "log.succeeded" for line in packing.split_lines(service))
    finally:
        bundle.close()
    parties, auditors = _people(chain, {each.id: each.payload.get("detail", {}) for each in said})
    if not leaves:
        raise NothingToContinue("the bundle does not show where the exchange ended")
    last = leaves[-1]
    return Before(bundle.packing.chain, bundle.packing.log, parties, auditors, last.seq, last.hash.hex(), ended=ended)


def _people(chain: list[Entry], details: dict[str, dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parties: set[str] = set()
    auditors: set[str] = set()
    for each in chain:
        detail = details.get(each.statement_id or "", {})
        if each.event == "exchange.opened":
            parties, auditors = set(detail.get("parties", ())), set(detail.get("auditors", ()))
        elif each.event == "party.added":
            (parties if detail.get("as") == "party" else auditors).add(each.subject["authority"])
        elif each.event == "exchange.closed":
            raise NothingToContinue("the exchange was closed", hint="open another: rogatory exchange open --with")
    if not parties:
        raise NothingToContinue("the bundle does not show who opened the exchange")
    return tuple(sorted(parties)), tuple(sorted(auditors - parties))
