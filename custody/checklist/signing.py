"""Checks of who signed: registries replayed, signers held to their place in the log, signatures on all cores."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from custody.checklist import chains
from custody.checklist.case import Case, Chain
from custody.errors import CustodyError, VerificationError
from custody.keys import PublicKey
from custody.registry import Registry
from custody.report import Fault, NotChecked, Place
from custody.statement import SignatureMissing, Statement
from custody.words import join, say

PARALLEL_ABOVE: Final = 2000
"""Fewer signatures than this are checked sooner than a second process starts."""
_BATCH: Final = 500


class PinMismatch(VerificationError):
    """No founding key of a registry is the one that was pinned for its authority."""

    code = "pin-mismatch"


class Needed(NamedTuple):
    """A signature that must be right: by this key, under this statement, for the entry in line `number` of a chain."""

    key: PublicKey
    statement: Statement
    chain: Chain
    number: int

    @property
    def place(self) -> Place:
        """Of the entry."""
        return self.chain.place(self.number)


@dataclass
class Replay:
    """What replaying the registries gave.

    Attributes:
        registries: Authority → state after its last entry; answers for every place before.
        broken: Authority → first refused entry of its registry.
        unentitled: First entry whose signer was not entitled.
        unsigned: First entry that lacks a signature by a key that had to sign.
        strangers: Authorities that signed and whose registry is not here.
        concerned: Authorities that signed in the exchange or whose keys a manifest or grant there names, and without
            an exchange every one that has a registry here. Only these must be pinned: an auditor who was named and
            did nothing has said nothing that needs belief.
        needed: Signatures to check.
    """

    registries: dict[str, Registry] = field(default_factory=dict)
    broken: dict[str, Fault] = field(default_factory=dict)
    unentitled: Fault | None = None
    unsigned: Fault | None = None
    strangers: set[str] = field(default_factory=set)
    concerned: set[str] = field(default_factory=set)
    needed: list[Needed] = field(default_factory=list)


def replay(case: Case) -> Replay:
    """Replay all registries, then ask them for the signers of the exchange's entries; done once for a case."""
    case.need_statements()
    if case.replay is None:
        case.replay = _replay(case)
    return case.replay


def registries(case: Case) -> str:
    """Every registry entry was allowed by the registry before it, proofs of possession included."""
    found = replay(case)
    for fault in found.broken.values():
        raise fault
    _need_whole(case)
    if not found.registries:
        raise NotChecked(say("reason.no-registry"))
    rows = found.registries.items()
    return join(", ", [say("detail.registry", name=name, count=registry.length) for name, registry in rows])


def signers(case: Case) -> str:
    """Every signer had a live key and the role at that place, in a registry founded by a key the trust file pins."""
    found = replay(case)
    if found.unentitled is not None:
        raise found.unentitled
    if not case.trust.given:
        raise NotChecked(say("reason.no-trust-founders"))
    for name, registry in found.registries.items():
        pins = case.trust.authorities.get(name)
        if pins is not None and not pins & registry.founders:
            error = PinMismatch(
                f"registry of {name} is founded by {sorted(registry.founders)}, pinned is {sorted(pins)}"
            )
            raise Fault(error, case.registries[name].place(0))
    absent = sorted(found.concerned - found.registries.keys())
    if absent:
        raise NotChecked(say("reason.registry-absent", names=absent))
    unpinned = sorted(found.concerned - case.trust.authorities.keys())
    if unpinned:
        raise NotChecked(say("reason.unpinned", names=unpinned))
    _need_whole(case)
    if found.broken:
        raise NotChecked(say("reason.registries-broke", names=sorted(found.broken)))
    return say("detail.pinned", names=sorted(found.concerned))


def signatures(case: Case) -> str:
    """Every signature that had to be there is right, and so is every other by a key its registry knows."""
    found = replay(case)
    if found.unsigned is not None:
        raise found.unsigned
    if not case.check_signatures:
        raise NotChecked(say("reason.left-out"))
    jobs = [_job(needed) for needed in found.needed]
    for number, error in _verify_all(jobs, case.processes):
        raise Fault(error, found.needed[number].place)
    if found.strangers or found.broken:
        names = sorted(found.strangers | found.broken.keys())
        raise NotChecked(say("reason.keys-unknown", names=names, count=len(jobs)))
    return say("detail.signatures", count=len(jobs))


def _need_whole(case: Case) -> None:
    partial = [name for name, chain in case.registries.items() if chain.withheld or not chain.whole]
    if partial:
        raise NotChecked(say("reason.registries-partial", names=partial))


def _replay(case: Case) -> Replay:
    found = Replay()
    for authority, chain in case.registries.items():
        registry = found.registries[authority] = Registry(authority)
        for number, item in enumerate(chain.entries):
            if item.seq != number:
                break
            try:
                _replay_entry(case, found, registry, chain, number)
            except CustodyError as error:
                found.broken[authority] = Fault(error, chain.place(number))
                break
    if case.exchange is None:
        found.concerned |= found.registries.keys()
        return found
    for act in chains.acts(case, case.exchange):
        found.concerned.add(act.statement.authority)
        if act.statement.kind in ("manifest", "grant"):
            found.concerned |= {recipient["authority"] for recipient in act.statement.payload["recipients"]}
        _ask(found, case.exchange, act)
    return found


def _replay_entry(case: Case, found: Replay, registry: Registry, chain: Chain, number: int) -> None:
    item = chain.entries[number]
    statement, line = chains.said(case, chain)[number], chain.lines[number]
    if statement is None or line is None:
        return
    keys = registry.apply(item, statement, index=line.index, verify=False)
    _need(found, keys, statement=statement, chain=chain, number=number)


def _ask(found: Replay, chain: Chain, act: chains.Act) -> None:
    statement, line = act.statement, chain.lines[act.number]
    if line is None:
        return
    registry = found.registries.get(statement.authority)
    if registry is None or not registry.length:
        found.strangers.add(statement.authority)
        return
    try:
        keys = registry.signers(statement, event=act.entry.event, at=line.index)
    except CustodyError as error:
        found.unentitled = found.unentitled or Fault(error, chain.place(act.number))
        return
    _need(found, keys, statement=statement, chain=chain, number=act.number)


def _need(found: Replay, keys: Sequence[PublicKey], *, statement: Statement, chain: Chain, number: int) -> None:
    """Note the signatures to check; the registry gave every key that had to sign, and every other it knew then."""
    signed = {key_id for key_id, _ in statement.signatures}
    by_id = {key.id: key for key in keys}
    missing = sorted(by_id.keys() - signed)
    if missing and found.unsigned is None:
        error = SignatureMissing(f"statement {statement.id} bears no signature by key {missing[0]}")
        found.unsigned = Fault(error, chain.place(number))
    found.needed += [Needed(key, statement, chain, number) for key_id, key in by_id.items() if key_id in signed]


_Job = tuple[str, bytes, bytes, bytes]


def _job(needed: Needed) -> _Job:
    signature = dict(needed.statement.signatures)[needed.key.id]
    return needed.key.alg, needed.key.spki, signature, needed.statement.pae


def _verify_all(jobs: Sequence[_Job], processes: int | None) -> list[tuple[int, CustodyError]]:
    """(number, error) of the first wrong signature of each batch, in order."""
    count = processes or _cores()
    if len(jobs) <= PARALLEL_ABOVE or count == 1:
        return _verify_batch(jobs)
    batches = [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(count, len(batches)), mp_context=context) as pool:
        results = list(pool.map(_verify_batch, batches))
    return [(place * _BATCH + number, error) for place, result in enumerate(results) for number, error in result]


def _verify_batch(jobs: Sequence[_Job]) -> list[tuple[int, CustodyError]]:
    for number, (alg, spki, signature, message) in enumerate(jobs):
        try:
            _key(alg, spki).verify(signature, message)
        except CustodyError as error:
            return [(number, error)]
    return []


def _cores() -> int:
    """Cores this process may use; not every system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=4096)
def _key(alg: str, spki: bytes) -> PublicKey:
    return PublicKey(alg, spki)
