"""Checks of the log: leaves under the root, its signature on the checkpoint, the quorum's cosignatures."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from custody import batch, leaf, merkle
from custody.checklist.case import Case
from custody.checkpoint import OriginMismatch, open_checkpoint
from custody.checkpoint_text import Checkpoint
from custody.errors import CustodyError, VerificationError
from custody.note import Note
from custody.policy import Policy
from custody.report import NotChecked
from custody.words import say


class IndexTwice(VerificationError):
    """Two leaves claim one place of the log."""

    code = "index-twice"


class SizeMismatch(VerificationError):
    """The inclusion proof is of another tree than the checkpoint."""

    code = "size-mismatch"


class QuorumMissing(VerificationError):
    """Fewer witnesses cosigned than the policy demands."""

    code = "quorum-missing"


@dataclass
class Cosigned:
    """What the keys of the trust file say about checkpoints.

    Attributes:
        note: Of the bundle's checkpoint, every known signature verified; None if it does not hold.
        times: (size, cosignatures) of it and of other notes that were shown to be of the same history.
    """

    note: Note | None = None
    times: list[tuple[int, list[tuple[str, int]]]] = field(default_factory=list)


def inclusion(case: Case) -> str:
    """Every leaf line, and the tail's leaf as the last, lead to the checkpoint's root."""
    case.need_chains()
    checkpoint = case.need_checkpoint()
    if case.inclusion is None:
        raise NotChecked(say("reason.inclusion-unread"))
    size, hashes = case.inclusion
    if size != checkpoint.size:
        raise SizeMismatch(f"inclusion proof of a tree of {size} leaves, the checkpoint has {checkpoint.size}")
    leaves = _leaves(case, size)
    batch.verify_batch(leaves=leaves, size=size, hashes=hashes, root=checkpoint.root)
    return say("detail.leaves", count=len(leaves), size=size)


def _leaves(case: Case, size: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    count = 0
    for chain in case.chains.values():
        for _, index, entry_hash, label, salt in chain.leaves:
            found[index] = leaf.entry_leaf_hash(label, salt, entry_hash)
        count += len(chain.leaves)
    tails = [chain.tail for chain in case.chains.values() if chain.tail is not None]
    if tails:
        if size - 1 in found:
            raise IndexTwice(f"an entry stands at {size - 1}, where the last leaf must be a tail")
        found[size - 1] = merkle.leaf_hash(leaf.tail_leaf(tails[0].root))
        count += 1
    if len(found) != count:
        raise IndexTwice(f"{count} leaves claim {len(found)} places of the log")
    return found


def signed(case: Case) -> str:
    """Every key of the log that the trust file names has signed, and no known signature on the note is wrong."""
    checkpoint = case.need_checkpoint()
    if not case.trust.given:
        raise NotChecked(say("reason.no-trust-log"))
    case.cosigned = Cosigned()
    if checkpoint.origin != case.trust.origin:
        raise OriginMismatch(f"checkpoint of {checkpoint.origin}, the trust file speaks of {case.trust.origin}")
    note = open_note_of_log(case, case.note)[1]
    case.cosigned.note = note
    case.cosigned.times.append((checkpoint.size, note.cosignatures()))
    return say("detail.log-keys", count=len(case.trust.log), origin=case.trust.origin)


def open_note_of_log(case: Case, data: bytes) -> tuple[Checkpoint, Note]:
    """A checkpoint signed by all of the trust file's log keys, cosignatures by its witnesses and auditors verified."""
    trust = case.trust
    return open_checkpoint(data, origin=trust.origin, log=trust.log, witnesses=trust.keys)


def quorum(case: Case) -> str:
    """The policy's witnesses have cosigned this very checkpoint. A quorum counts authorities, not keys."""
    note = _verified_note(case)
    policy = case.trust.witnesses
    if policy.is_none:
        raise NotChecked(say("reason.no-quorum"))
    ids = key_ids(note)
    yes, no = who_signed(policy, ids)
    if not policy.satisfied(ids):
        raise QuorumMissing(f"cosigned by {', '.join(yes) or 'nobody'}, not by {', '.join(no)}")
    return say("detail.cosigned-but", yes=yes, no=no) if no else say("detail.cosigned", yes=yes)


def audited(case: Case) -> str | None:
    """Who of the auditors cosigned this checkpoint or a later one of its history, if enough of them did.

    Whoever has recomputed the leaves of a larger tree has recomputed those of this one. Not so of a smaller tree.
    """
    policy, checkpoint = case.trust.auditing, case.checkpoint
    if policy is None or policy.is_none or checkpoint is None or case.cosigned is None:
        return None
    ids = {key_id for size, found in case.cosigned.times if size >= checkpoint.size for key_id, _ in found}
    return ", ".join(who_signed(policy, ids)[0]) if policy.satisfied(ids) else None


def who_signed(policy: Policy, ids: AbstractSet[str]) -> tuple[list[str], list[str]]:
    """Names of the authorities that cosigned with keys (full ids), and of those that did not."""
    yes = [name for name, keys in policy.who().items() if keys & ids]
    return yes, [name for name in policy.who() if name not in yes]


def key_ids(note: Note) -> set[str]:
    """Full ids of the keys that cosigned."""
    return {key_id for key_id, _ in note.cosignatures()}


def add_note(case: Case, data: bytes) -> None:
    """Count another note's cosignatures, for times and for auditors; the caller has shown it to be of this history."""
    if case.cosigned is None or case.cosigned.note is None:
        return
    try:
        checkpoint, note = open_note_of_log(case, data)
    except CustodyError:
        return
    case.cosigned.times.append((checkpoint.size, note.cosignatures()))


def _verified_note(case: Case) -> Note:
    case.need_checkpoint()
    if not case.trust.given:
        raise NotChecked(say("reason.no-trust-witnesses"))
    if case.cosigned is None or case.cosigned.note is None:
        raise NotChecked(say("reason.log-unproven"))
    return case.cosigned.note
