"""Bringing a trust file up to date, without anybody's telephone, and never to anything weaker unasked.

A newer checkpoint comes in if it is of one history with the one held, signed by every key of the log and cosigned by
the quorum of the policy that is held. Another policy comes in only if its digest stands in a `policy.changed` entry of
the service's own chain, later than the entry of the policy that is held, in such a checkpoint. Whatever is not shown
like this is refused; what is left is to compare it by another way (`rogatory trust policy`). The keys of a log never
change: another key is another log. Specification: docs/spec/trust-file.md.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from custody import entry as entries
from custody import leaf, merkle
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.entry import Entry
from custody.errors import CustodyError
from custody.note import NotSigned
from custody.policy import NONE, Policy
from custody.proof import TlogProof
from custody.trust import Trust
from rogatory import trust_file
from rogatory.errors import NotFound, SignerProblem, Tampered
from rogatory.log import PublicLog
from rogatory.records import LogUnsigned, Record, RecordStore

NO_POLICY: Final = "quorum none\n"
_KINDS: Final = {"policy": "witnesses", "auditors": "auditors"}


class StepNotEndorsed(SignerProblem):
    """A change of the policies is not shown to be the log's and its present witnesses' word."""

    code = "step-not-endorsed"


class StepWrong(Tampered):
    """A step that the service shows is none: another entry, or one that does not stand in the log."""

    code = "step-wrong"


class StepWeaker(SignerProblem):
    """An endorsed policy asks for less than the one that is held, and nobody has accepted that."""

    code = "step-weaker"


class LogEnded(SignerProblem):
    """The log has a successor; its entries end, and another trust file is due."""

    code = "log-ended"


@dataclass(frozen=True)
class Update:
    """What an update makes of a trust file.

    Attributes:
        trust: The new one.
        checkpoint: The checkpoint that everything was proven in; newer than, or the same as, the one held before.
        changed: Policies that changed, `policy` and `auditors`.
    """

    trust: Trust
    checkpoint: Checkpoint
    changed: tuple[str, ...]


@dataclass(frozen=True)
class _Step:
    entry: Entry
    index: int


def update(trust: Trust, log: PublicLog, records: RecordStore, *, accepted: Collection[str] = ()) -> Update:
    """A trust file as the log shows it now.

    Args:
        trust: As it is held.
        log: The log that it speaks of.
        records: Where the newest checkpoint seen is kept.
        accepted: SHA-256 (hex) of policies that somebody has accepted although they ask for less.

    Raises:
        LogUnsigned: A checkpoint is not signed by every key that is held.
        LogRolledBack: It is not of one history with the newest seen.
        StepNotEndorsed: A policy differs from the one held, and the change is not proven as it must be; or no
            checkpoint as new as the one held is cosigned by the quorum.
        StepWeaker: It is proven, and asks for less.
        StepWrong: A step that is shown does not hold.
        LogEnded: The log has a successor.
    """
    note, shown = _newest(trust, log)
    records.advance(note, log)
    steps = [_checked(trust, fields, log=log, checkpoint=shown) for fields in log.steps()]
    found = [step for step in steps if step is not None]
    _refuse_end(found)
    texts = {name: log.text(name) or NO_POLICY for name in _KINDS}
    held = {"policy": trust.policy, "auditors": trust.auditors or NO_POLICY}
    changed = tuple(name for name in _KINDS if texts[name] != held[name] and not _are_none(texts[name], held[name]))
    for name in changed:
        if trust.witnesses.is_none:
            raise StepNotEndorsed(
                f"the service shows another {name}, and the policy that is held has no quorum that could endorse it",
                hint="compare its keys by another way: rogatory trust policy",
            )
        _check_step(found, name, old=held[name], new=texts[name])
        _check_strength(name, old=held[name], new=texts[name], accepted=accepted)
    new = trust_file.take_policies(trust, **(held | {name: texts[name] for name in changed})) if changed else trust
    if trust.held is None or shown.size > trust.held.size:
        new = replace(new, checkpoint=note)
    return Update(new, shown, changed)


def least(policy: Policy) -> int:
    """How many authorities must cosign at the least, so that a policy is satisfied; 0 where it asks for nobody."""
    counts = {NONE: 0} | dict.fromkeys(policy.witnesses, 1)
    for name, group in policy.groups.items():
        counts[name] = sum(sorted(counts[member] for member in group.members)[: group.threshold])
    return counts[policy.quorum]


def _newest(trust: Trust, log: PublicLog) -> tuple[bytes, Checkpoint]:
    """The newest checkpoint that the log and the quorum held have signed."""
    found: list[tuple[Checkpoint, bytes]] = []
    for note in _candidates(trust, log):
        try:
            shown, opened = open_checkpoint(note, origin=trust.origin, log=trust.log, witnesses=trust.keys)
        except NotSigned as error:
            raise LogUnsigned("what the service shows", error) from error
        except CustodyError as error:
            raise StepWrong(f"a checkpoint that the service shows does not hold: {error}") from error
        if trust.witnesses.is_none or trust.witnesses.satisfied({key for key, _ in opened.cosignatures()}):
            found.append((shown, note))
    least_size = trust.held.size if trust.held else 0
    best = max(found, key=lambda pair: pair[0].size, default=None)
    if best is None or best[0].size < least_size:
        raise StepNotEndorsed(
            f"no checkpoint of at least {least_size} leaves is cosigned by the quorum that is held",
            hint="ask the operator who cosigns; a new policy must be compared by another way: rogatory trust policy",
        )
    return best[1], best[0]


def _candidates(trust: Trust, log: PublicLog) -> Iterator[bytes]:
    yield log.checkpoint()
    for key in trust.witnesses.witnesses.values():
        note = log.cosigned_by(key.full_id)
        if note is not None:
            yield note


def _checked(trust: Trust, fields: Any, *, log: PublicLog, checkpoint: Checkpoint) -> _Step | None:
    """A step that is proven in the checkpoint; None if it came after it.

    Raises:
        StepWrong: It is no entry of the service's chain, or it does not stand where it says.
    """
    record = Record.parse(fields)
    if record.index >= checkpoint.size:
        return None
    try:
        entry, proof = entries.parse(record.entry), TlogProof.parse(record.proof)
        path = merkle.inclusion_path(
            index=record.index, size=checkpoint.size, node=lambda level, n: log.node(level, n, checkpoint.size)
        )
        merkle.verify_inclusion(
            index=record.index,
            size=checkpoint.size,
            leaf=merkle.leaf_hash(proof.leaf_data(entry.hash)),
            path=path,
            root=checkpoint.root,
        )
    except (CustodyError, NotFound) as error:
        raise StepWrong(f"the step at index {record.index} does not stand in the log: {error}") from error
    chain = leaf.registry_handle(trust.origin, leaf.SERVICE).hex()
    if (entry.fields["log"], entry.fields["chain"]) != (trust.origin, chain):
        raise StepWrong(f"the step at index {record.index} is no entry of the service's own chain")
    return _Step(entry, record.index)


def _refuse_end(steps: Sequence[_Step]) -> None:
    end = next((step for step in steps if step.entry.event == "log.succeeded"), None)
    if end is not None:
        raise LogEnded(
            f"the log ended at index {end.index}; its successor is {end.entry.noted['origin']}",
            hint="ask the operator by another way for the successor's keys, and make a profile and a trust file for it",
        )


def _check_step(steps: Sequence[_Step], name: str, *, old: str, new: str) -> None:
    """Hold a change to the entries: the new text's is the last of its kind, the old text's came before it."""
    digests = [
        (step.index, step.entry.noted.get("text_sha256"))
        for step in steps
        if step.entry.event == "policy.changed" and step.entry.noted["what"] == _KINDS[name]
    ]
    last = max(digests, default=(0, None))
    if last[1] != sha256(new.encode()).hexdigest():
        raise StepNotEndorsed(
            f"the {name} that the service shows is not the one that its newest entry, as cosigned by the quorum held, "
            f"names",
            hint="try again in a minute; if it stays so, compare by another way: rogatory trust policy",
        )
    known = {digest for index, digest in digests if index < last[0]}
    if old != NO_POLICY and sha256(old.encode()).hexdigest() not in known:
        raise StepNotEndorsed(
            f"the log has no entry of the {name} that is held before that of the one shown, so this is no step from it",
            hint="compare the keys by another way: rogatory trust policy",
        )


def _check_strength(name: str, *, old: str, new: str, accepted: Collection[str]) -> None:
    before, after = least(Policy.parse(old)), least(Policy.parse(new))
    digest = sha256(new.encode()).hexdigest()
    if after < before and digest not in accepted:
        raise StepWeaker(
            f"the new {name} is satisfied by {after} authorities, the one held by no fewer than {before}",
            hint=f"if that is meant: rogatory trust update --accept {digest}",
        )


def _are_none(*texts: str) -> bool:
    return all(Policy.parse(text).is_none for text in texts)
