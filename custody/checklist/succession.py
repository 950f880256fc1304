"""Check of succession: what goes on here from an earlier log begins where that log shows it to end.

That a chain goes on is the service's own word (`noted.continues`). It is held to the bundle of the earlier log that the
reader brings, judged under that log's own trust file. Specification: docs/spec/log.md, section 14.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from custody.checklist import chains, signing
from custody.checklist.case import EXCHANGE, Case, Chain
from custody.entry import Entry
from custody.errors import CustodyError, VerificationError
from custody.leaf import SERVICE
from custody.registry import FOREVER
from custody.report import Fault, NotChecked, Report
from custody.statement import Statement
from custody.succession import PredecessorMismatch
from custody.words import say


class SuccessionBroken(VerificationError):
    """A chain goes on from an earlier log otherwise than that log ended, or by somebody who could not speak in it."""

    code = "succession-broken"


@dataclass(frozen=True)
class Before:
    """The bundle of the earlier log, and what was found in it under its own trust file.

    Attributes:
        report: On that bundle.
        case: The bundle itself; None where it could not be opened.
    """

    report: Report
    case: Case | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A chain whose entry 0 is disclosed, with the statement that is its own."""

    chain: Chain
    entry: Entry
    statement: Statement

    @property
    def continues(self) -> dict[str, Any] | None:
        """What the service says it goes on from."""
        found: dict[str, Any] | None = self.entry.noted.get("continues")
        return found

    def fault(self, message: str) -> Fault:
        """Of its entry 0."""
        return Fault(SuccessionBroken(message), self.chain.place(0))


def succession(case: Case) -> str:
    """Every chain here that goes on from an earlier log follows its last entry there, by who could speak in it then."""
    case.need_statements()
    begun = list(_begun(case))
    case.continues = tuple(dict.fromkeys(each.continues["origin"] for each in begun if each.continues))
    _check_own(case, begun)
    if case.before is None:
        if not case.continues:
            raise NotChecked(say("reason.nothing-continues"))
        raise NotChecked(say("reason.no-earlier-bundle", origins=case.continues))
    earlier = case.before.case if case.before.report.verified else None
    if earlier is None:
        raise NotChecked(say("reason.earlier-unverified", verdict=say(f"verdict.{case.before.report.exit_code}")))
    ended = _ended(case, earlier, begun)
    outcomes = {each.chain.name: _follows(case, earlier, each, ended=ended) for each in begun}
    unknown = [chain.name for chain in _parties_chains(case) if outcomes.get(chain.name, False) is False]
    if unknown:
        raise NotChecked(say("reason.earlier-silent", names=unknown, origin=earlier.bundle.packing.log))
    shown = [name for name, outcome in outcomes.items() if outcome]
    if not shown:
        raise NotChecked(say("reason.nothing-continues"))
    return say("detail.continued", origin=earlier.bundle.packing.log, names=shown)


def last_word(case: Case) -> Entry | None:
    """The entry log.succeeded, where the bundle shows it and nothing after it: nothing can be asked of that log then.

    What is said to be the end in the midst of a log is none: an operator could hide by it who asked for bundles.
    """
    chain = case.chains.get(SERVICE)
    if chain is None:
        return None
    end = next((item for item in chain.entries if item.event == "log.succeeded"), None)
    place = next((line.index for line in chain.leaves if end is not None and line.seq == end.seq), None)
    newest = max((each.leaves[-1].index for each in case.chains.values() if each.leaves), default=None)
    return end if place is not None and place == newest else None


def _parties_chains(case: Case) -> Iterator[Chain]:
    return (chain for name, chain in case.chains.items() if name != SERVICE)


def _begun(case: Case) -> Iterator[Begun]:
    for chain in _parties_chains(case):
        said = chains.said(case, chain)
        if chain.entries and chain.entries[0].seq == 0 and said[0] is not None:
            yield Begun(chain, chain.entries[0], said[0])


def _predecessor(case: Case) -> tuple[bool, dict[str, Any] | None]:
    """Whether the bundle shows the log's own first entry, and the log before that it names."""
    chain = case.chains.get(SERVICE)
    first = next((item for item in chain.entries if item.event == "log.started"), None) if chain is not None else None
    return first is not None, first.noted.get("predecessor") if first is not None else None


def _check_own(case: Case, begun: list[Begun]) -> None:
    """What the bundle alone can contradict: a log before it that is itself, or not the one it named as it began."""
    shown, before = _predecessor(case)
    for each in begun:
        if each.continues is None:
            continue
        origin = each.continues["origin"]
        if origin == case.bundle.packing.log:
            raise each.fault(f"{each.chain.name} goes on from {origin}, which is this log")
        if shown and origin != (before or {}).get("origin"):
            raise each.fault(
                f"{each.chain.name} goes on from {origin}, the log began without naming that as the one before"
            )


def _ended(case: Case, earlier: Case, begun: list[Begun]) -> bool:
    """Whether the earlier bundle is from the end of a log that names this one as its successor."""
    origin, end = earlier.bundle.packing.log, last_word(earlier)
    if end is None:
        return False
    if end.noted["origin"] == case.bundle.packing.log:
        _check_predecessor(case, earlier)
        return True
    for each in begun:
        if each.continues is not None and each.continues["origin"] == origin:
            raise each.fault(f"{each.chain.name} goes on from {origin}, whose successor is {end.noted['origin']}")
    return False


def _check_predecessor(case: Case, earlier: Case) -> None:
    """The log's first entry names the end of the earlier one as its bundle proves it, where both can be compared."""
    shown, before = _predecessor(case)
    if not shown:
        return
    checkpoint, named = earlier.need_checkpoint(), before or {}
    found = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
    if {name: named.get(name) for name in found} != found:
        raise Fault(
            PredecessorMismatch(f"the log names as the one before {named}, which ended as {found}"),
            case.chains[SERVICE].place(0),
        )


def _follows(case: Case, earlier: Case, begun: Begun, *, ended: bool) -> bool | None:
    """Whether a chain is shown to follow; None where it does not go on from anything.

    Raises:
        Fault: The earlier bundle contradicts it.
    """
    origin, old = earlier.bundle.packing.log, _old(case, earlier, begun.chain.name)
    continues = begun.continues
    if continues is None or continues["origin"] != origin:
        if ended and old is not None:
            raise begun.fault(
                f"{begun.chain.name} stood in {origin} before and does not say that it goes on from there"
            )
        return None if continues is None else False
    if old is None or not old.whole or old.withheld:
        return False
    last = old.leaves[-1]
    if continues["seq"] > last.seq and not ended:
        return False
    if (continues["seq"], continues["hash"]) != (last.seq, last.hash.hex()):
        named = f"entry {continues['seq']}, {continues['hash']}"
        raise begun.fault(
            f"{begun.chain.name} goes on after {named}, the last in {origin} is {last.seq}, {last.hash.hex()}"
        )
    if begun.chain.name == EXCHANGE:
        _check_parties(earlier, old, begun)
    else:
        _check_founders(earlier, begun)
    return ended


def _old(case: Case, earlier: Case, name: str) -> Chain | None:
    if name == EXCHANGE and earlier.bundle.packing.chain != case.bundle.packing.chain:
        return None
    return earlier.chains.get(name)


def _check_parties(earlier: Case, old: Chain, begun: Begun) -> None:
    """It was open, one of its parties opens it again, and nobody who stood in it is left out."""
    parties: set[str] = set()
    auditors: set[str] = set()
    for act in chains.acts(earlier, old):
        detail = act.statement.payload.get("detail", {})
        if act.entry.event == "exchange.opened":
            parties, auditors = set(detail["parties"]), set(detail.get("auditors", ()))
        elif act.entry.event == "party.added":
            (parties if detail["as"] == "party" else auditors).add(act.entry.subject["authority"])
        elif act.entry.event == "exchange.closed":
            raise begun.fault("the exchange goes on and was closed before")
    detail, signer = begun.statement.payload["detail"], begun.statement.authority
    now, looking = set(detail["parties"]), set(detail.get("auditors", ()))
    left_out = sorted((parties - now) | (auditors - now - looking))
    if signer not in parties:
        raise begun.fault(f"the exchange is opened again by {signer}, its parties were {sorted(parties)}")
    if left_out:
        raise begun.fault(f"the exchange goes on without {left_out}")


def _check_founders(earlier: Case, begun: Begun) -> None:
    """The authority founds its registry anew by a signature that would have been its own at the end of the old one."""
    registry = signing.replay(earlier).registries[begun.chain.name]
    try:
        for key in registry.signers(begun.statement, event=begun.entry.event, at=FOREVER):
            begun.statement.verify(key)
    except CustodyError as error:
        raise Fault(error, begun.chain.place(0)) from error
