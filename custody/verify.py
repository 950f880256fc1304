"""The offline verifier: a bundle, a trust file, and nothing else, into a report.

A fixed list of checks is made in a fixed order (`CHECKS`); each is PASS, FAIL or NOT CHECKED with the reason. Hostile
input gives a report, never an exception of another family. Specification: docs/spec/report.md.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from custody.bundle import Bundle, open_bundle
from custody.checklist import chains, clock, disk, evidence, form, proving, signing, stamps, succession, views
from custody.checklist.case import Case, load
from custody.errors import CustodyError, FormatError
from custody.report import Check, Fault, NotChecked, Place, Report, Status, Withheld
from custody.trust import CHECKS, Trust
from custody.words import Phrase, say

_ENDING: Final = timedelta(days=180)
"""Before the certificates of stamps end, so long beforehand the report reminds of renewal."""

_Function = Callable[[Case], str]

FUNCTIONS: Final[Mapping[str, _Function]] = {
    "packing": form.packing,
    "canonical": form.canonical,
    "bodies": chains.bodies,
    "chain": chains.links,
    "statements": chains.statements,
    "registries": signing.registries,
    "signers": signing.signers,
    "signatures": signing.signatures,
    "rules": evidence.rules,
    "labels": chains.labels,
    "inclusion": proving.inclusion,
    "log": proving.signed,
    "quorum": proving.quorum,
    "consistency": views.consistency,
    "completeness": views.completeness,
    "succession": succession.succession,
    "time": clock.times,
    "timestamps": stamps.timestamps,
    "conditions": evidence.conditions,
    "digests": evidence.digests,
    "headers": evidence.headers,
    "table": form.shown,
    "items": disk.items,
}
"""Check id → the function that makes it, in the order of `CHECKS`."""


def verify_bundle(
    path: Path | str,
    trust: Trust | None,
    *,
    items: Path | None = None,
    now: datetime | None = None,
    mirror: Path | None = None,
    since: Path | None = None,
    before: Path | None = None,
    before_trust: Trust | None = None,
    processes: int | None = None,
    check_signatures: bool = True,
    allow_withheld: bool = False,
) -> Report:
    """Check a bundle or export, offline.

    Only `report.verified` means verified. A bundle that cannot be understood gives a report too.

    Args:
        path: A ZIP of the profile, or a directory with the same files.
        trust: The trust file; without one signers, log, quorum and time are NOT CHECKED and nothing is verified.
        items: Directory with age files `<item>.age` or bodies `<item>`, to be compared with the manifest.
        now: The verifier's clock, if it is to count: nothing may be signed after it.
        mirror: Directory with the log's tiles; labels, tails and roots are then recomputed from it.
        since: An older (or newer) bundle or checkpoint of the same log, for rollback and split views.
        before: A bundle of the log that this one succeeds, best from its end: what goes on here is held to it.
        before_trust: The trust file of that log; without one nothing in that bundle is believed.
        processes: For signatures; default all cores. Fewer than 2,000 signatures are checked in this process.
        check_signatures: False leaves them out; they are then NOT CHECKED.
        allow_withheld: Entries that are proven but not disclosed do not make the verdict "incomplete".

    Raises:
        OSError: A path cannot be read.
    """
    trust = trust or Trust.none()
    try:
        bundle = open_bundle(Path(path))
    except FormatError as error:
        return _unopened(trust, error)
    try:
        with _uncollected():
            asked = (now, processes, check_signatures)
            earlier = _earlier(before, before_trust or Trust.none(), asked, allow_withheld=allow_withheld)
            make = _maker(bundle, trust, asked, items=items, mirror=mirror, since=since, before=earlier)
            return _check(make, allow_withheld=allow_withheld)[0]
    finally:
        bundle.close()


_Asked = tuple[datetime | None, int | None, bool]
"""The verifier's clock, processes, and whether signatures are checked."""


def _maker(bundle: Bundle, trust: Trust, asked: _Asked, **brought: Any) -> Callable[[], Case]:
    now, processes, check_signatures = asked
    return lambda: Case(bundle, trust, now=now, processes=processes, check_signatures=check_signatures, **brought)


def _check(make: Callable[[], Case], *, allow_withheld: bool) -> tuple[Report, Case]:
    """Make all checks; nobody keeps the case for long, so that nobody looks for cycles in it."""
    case = make()
    load(case)
    checks = tuple(_run(name, function, case) for name, function in FUNCTIONS.items())
    return _report(case, checks, allow_withheld=allow_withheld), case


def _earlier(path: Path | None, trust: Trust, asked: _Asked, *, allow_withheld: bool) -> succession.Before | None:
    """The bundle of the log before, judged like any other; everything that is needed of it is read by then."""
    if path is None:
        return None
    try:
        bundle = open_bundle(path)
    except FormatError as error:
        return succession.Before(_unopened(trust, error), None)
    try:
        return succession.Before(*_check(_maker(bundle, trust, asked), allow_withheld=allow_withheld))
    finally:
        bundle.close()


@contextmanager
def _uncollected() -> Iterator[None]:
    """No collection of reference cycles meanwhile: none are made, and looking for them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _run(check_id: str, function: _Function, case: Case) -> Check:
    try:
        detail = function(case)
    except NotChecked as reason:
        return Check.left(check_id, reason)
    except Fault as fault:
        return Check.failed(check_id, fault.with_traceback(None).cause, fault.place)
    except CustodyError as error:
        return Check.failed(check_id, error)
    if check_id == "inclusion":
        case.included = True
    return Check(check_id, Status.PASS, detail)


def _unopened(trust: Trust, error: FormatError) -> Report:
    checks = [Check.failed("packing", error, Place("bundle.json") if "bundle.json" in str(error) else None)]
    checks += [Check.left(name, NotChecked(say("reason.unopened"))) for name in CHECKS[1:]]
    return Report(tuple(checks), trust.demanded, (say("trusting.unread"),))


def _report(case: Case, checks: tuple[Check, ...], *, allow_withheld: bool) -> Report:
    listed, checkpoint = case.bundle.packing, case.checkpoint
    passed = {check.id for check in checks if check.status is Status.PASS}
    withheld = tuple(Withheld(chain.name, chain.withheld) for chain in case.chains.values() if chain.withheld)
    return Report(
        checks=checks,
        demanded=case.trust.demanded | _asked(case),
        trusting=tuple(_trusting(case, passed)),
        times=clock.brackets(case) if "time" in passed else (),
        withheld=withheld,
        allow_withheld=allow_withheld,
        kind=listed.kind,
        log=listed.log,
        chain=listed.chain,
        size=listed.size,
        root=checkpoint.root.hex() if checkpoint is not None else None,
        entries=sum(len(chain.entries) for chain in case.chains.values()),
    )


def _asked(case: Case) -> set[str]:
    """What the reader demands by what it brings: a comparison that then cannot be made must not end in "verified"."""
    asked = {"consistency"} if case.since is not None or case.mirror is not None else set()
    asked |= {"completeness"} if case.mirror is not None else set()
    return asked | ({"succession"} if case.before is not None else set())


def _trusting(case: Case, passed: set[str]) -> list[Phrase]:
    """What stands behind the checks that passed, in plain words."""
    if not case.trust.given:
        return [say("trusting.nobody")]
    lines = [say("trusting.log", origin=case.trust.origin)]
    if "signers" in passed and case.replay is not None:
        lines.append(say("trusting.founders", names=sorted(case.replay.concerned)))
    if "quorum" not in passed:
        lines.append(say("trusting.one-log"))
    if "completeness" not in passed:
        lines.append(say("trusting.nothing-follows"))
    if case.continues and "succession" not in passed:
        lines.append(say("trusting.earlier", origins=case.continues))
    stamped = "timestamps" in passed
    if stamped:
        lines.append(say("trusting.stamps"))
        ends = stamps.stamped(case).ends
        if ends is not None and case.now is not None and ends - case.now < _ENDING:
            lines.append(say("trusting.stamps-end", until=f"{ends:%Y-%m-%d}"))
    if "time" not in passed or (case.trust.witnesses.is_none and not stamped):
        lines.append(say("trusting.times"))
    return lines
