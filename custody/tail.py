"""The tail: a commitment to all labels so far, that can show a label's absence.

A label falls into one of 65,536 buckets by its first two bytes. A bucket's head chains its labels in log
order; the tail root is the Merkle root over all heads. A tail leaf in the log holds that root, so "nothing
follows this entry" and "no chain with this handle exists" have proofs. Specification: docs/spec/log.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from custody import merkle
from custody.errors import FormatError, VerificationError

LEVELS = 16
BUCKETS = 1 << LEVELS
NO_HEAD = bytes(32)
"""Head of a bucket without labels."""

_HASH_SIZE = 32
_REBUILD_ABOVE = BUCKETS // 16
"""More changed buckets than this, and hashing everything is quicker than walking up from each."""


class TailMalformed(FormatError):
    """A label, head or hash is not 32 bytes, a bucket does not exist, or a path is not 16 long."""

    code = "tail-malformed"


class TailMismatch(VerificationError):
    """The labels of a bucket do not lead to the tail root: one is missing, added, changed or out of order."""

    code = "tail-mismatch"


class LabelMisplaced(VerificationError):
    """The log chained a label into the bucket of another."""

    code = "label-misplaced"


class LabelTwice(VerificationError):
    """The log holds one label twice: two entries claim the same predecessor, a fork."""

    code = "label-twice"


class LabelPresent(VerificationError):
    """The label said to be absent is in the log: something follows."""

    code = "label-present"


def bucket_of(label: bytes) -> int:
    """The bucket of a label: its first two bytes.

    Raises:
        TailMalformed: The label is not 32 bytes.
    """
    if len(label) != _HASH_SIZE:
        raise TailMalformed(f"a label of {len(label)} bytes, expected {_HASH_SIZE}")
    return label[0] << 8 | label[1]


def next_head(head: bytes, label: bytes) -> bytes:
    """Head of a bucket after one more label."""
    return sha256(b"rogatory/tail/v1\x00" + head + label).digest()


@dataclass(frozen=True, slots=True)
class TailProof:
    """All labels of one bucket in log order, and the 16 hashes that lead from its head to a tail root."""

    root: bytes
    bucket: tuple[bytes, ...]
    path: tuple[bytes, ...]


def verify_absent(proof: TailProof, label: bytes) -> None:
    """Check that a label is not among those a tail root commits to; return only if so.

    Proves nothing about the root itself: the caller shows by inclusion that `tail_leaf(proof.root)` is the
    last leaf of a checkpoint it trusts. What a refusal says, the log itself has said: labels that do not lead
    to the root are a `TailMismatch` before anything is concluded from them.

    Raises:
        TailMalformed: Something in the proof, or the label, is not 32 bytes, or the path not 16 long.
        TailMismatch: The labels do not chain to a head under the root.
        LabelMisplaced: They do, and one of them belongs in another bucket.
        LabelTwice: They do, and one of them stands there twice.
        LabelPresent: They do, and the label is among them.
    """
    bucket = bucket_of(label)
    if len(proof.path) != LEVELS:
        raise TailMalformed(f"a tail path of {len(proof.path)} hashes, expected {LEVELS}")
    if any(len(value) != _HASH_SIZE for value in (proof.root, *proof.bucket, *proof.path)):
        raise TailMalformed(f"a tail proof with a value that is not {_HASH_SIZE} bytes")
    head = NO_HEAD
    for member in proof.bucket:
        head = next_head(head, member)
    try:
        merkle.verify_inclusion(
            index=bucket, size=BUCKETS, leaf=merkle.leaf_hash(head), path=proof.path, root=proof.root
        )
    except merkle.RootMismatch as error:
        raise TailMismatch(f"{len(proof.bucket)} labels of bucket {bucket:04x} lead elsewhere: {error}") from error
    if any(bucket_of(member) != bucket for member in proof.bucket):
        raise LabelMisplaced(f"bucket {bucket:04x} holds a label of another bucket")
    if len(set(proof.bucket)) != len(proof.bucket):
        raise LabelTwice(f"bucket {bucket:04x} holds one label twice")
    if label in proof.bucket:
        raise LabelPresent(f"label {label.hex()} is in the log, expected nothing there")


class TailTree:
    """All heads and the tree over them, kept current at the cost of what changed.

    `add` is one hash; the next `root` or `path` hashes only what lies above changed buckets.

    Args:
        heads: Heads of the buckets that have labels; the others have `NO_HEAD`.

    Raises:
        TailMalformed: A bucket outside 0 to 65,535, or a head that is not 32 bytes.
    """

    def __init__(self, heads: Mapping[int, bytes] | None = None) -> None:
        given = dict(heads or {})
        if any(not 0 <= bucket < BUCKETS or len(head) != _HASH_SIZE for bucket, head in given.items()):
            raise TailMalformed(f"heads must be {_HASH_SIZE} bytes each, of buckets below {BUCKETS}")
        self._heads = [NO_HEAD] * BUCKETS
        self._levels = _empty_levels()
        self._dirty: set[int] = set()
        for bucket, head in given.items():
            self._heads[bucket] = head
            self._dirty.add(bucket)

    def add(self, label: bytes) -> None:
        """Chain one more label, the next in log order, into its bucket."""
        bucket = bucket_of(label)
        self._heads[bucket] = next_head(self._heads[bucket], label)
        self._dirty.add(bucket)

    def head(self, bucket: int) -> bytes:
        """Head of a bucket; `NO_HEAD` if it has no label."""
        return self._heads[bucket]

    def heads(self) -> dict[int, bytes]:
        """The heads of the buckets that have labels; they make the same tree again."""
        return {bucket: head for bucket, head in enumerate(self._heads) if head != NO_HEAD}

    def root(self) -> bytes:
        """The tail root over all labels so far."""
        if len(self._dirty) > _REBUILD_ABOVE:
            self._rebuild()
        elif self._dirty:
            self._walk_up()
        self._dirty.clear()
        return self._levels[LEVELS][0]

    def path(self, bucket: int) -> list[bytes]:
        """The 16 hashes from a bucket's head to the root."""
        self.root()
        return [self._levels[level][(bucket >> level) ^ 1] for level in range(LEVELS)]

    def _rebuild(self) -> None:
        level = [sha256(b"\x00" + head).digest() for head in self._heads]
        self._levels = [level]
        while len(level) > 1:
            pairs = iter(level)
            level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            self._levels.append(level)

    def _walk_up(self) -> None:
        below, changed = self._levels[0], self._dirty
        for bucket in changed:
            below[bucket] = merkle.leaf_hash(self._heads[bucket])
        for level in self._levels[1:]:
            changed = {index >> 1 for index in changed}
            for index in changed:
                level[index] = merkle.node_hash(below[2 * index], below[2 * index + 1])
            below = level


def _empty_levels() -> list[list[bytes]]:
    found = merkle.leaf_hash(NO_HEAD)
    levels = []
    for level in range(LEVELS + 1):
        levels.append([found] * (BUCKETS >> level))
        found = merkle.node_hash(found, found)
    return levels
