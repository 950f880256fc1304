"""Merkle tree hashing, proofs and their making, over SHA-256.

Implements RFC 9162 sections 2.1.1 (hashing), 2.1.3 (inclusion) and 2.1.4 (consistency). Sizes and indices
count leaves; hashes are raw 32-byte digests. Verifiers only walk proofs; producers bring a `Node`, which
looks up the hash of a perfect subtree wherever they keep it, or grow a `CompactRange`. tests/reference.py
holds the RFC's recursive definitions and the property tests hold this module to them.
Specification: docs/spec/log.md.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from custody.errors import FormatError, VerificationError

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""(level, index) -> hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""


class ProofMalformed(FormatError):
    """A proof has the wrong shape for its sizes, or a hash in it is not 32 bytes."""

    code = "proof-malformed"


class RootMismatch(VerificationError):
    """A well-formed proof leads to another root."""

    code = "root-mismatch"

    def __init__(self, *, expected: bytes, found: bytes) -> None:
        super().__init__(f"the proof leads to root {found.hex()}, expected {expected.hex()}")
        self.expected, self.found = expected, found


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf's data. Source: RFC 9162 section 2.1.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over two 32-byte hashes. Source: RFC 9162 section 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Root of the tree over leaf hashes, of which there may be none; hashes each inner node once."""
    level = list(leaves)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)] + odd
    return level[0]


def verify_inclusion(*, index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at a place of the tree with the given root; return only if it does.

    Proves nothing about the root itself: take that from a checkpoint whose signatures were verified.

    Args:
        index: Zero-based place of the leaf, 0 <= index < size.
        size: Leaves in the tree the proof speaks about, 1 to 2^63 - 1.
        leaf: Leaf hash, 32 bytes; not the data (see `leaf_hash`).
        path: Sibling hashes from the leaf upwards, 32 bytes each.
        root: Expected root, 32 bytes.

    Raises:
        ProofMalformed: Wrong shape for (index, size), or a hash that is not 32 bytes.
        RootMismatch: Well-formed, but leads to another root.

    Source: RFC 9162 section 2.1.3.2.
    """
    found = root_of_path(index=index, size=size, leaf=leaf, path=path)
    _check_hashes(root)
    if found != root:
        raise RootMismatch(expected=root, found=found)


def root_of_path(*, index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a leaf and its path lead to; arguments as for `verify_inclusion`.

    Raises:
        ProofMalformed: Wrong shape for (index, size), or a hash that is not 32 bytes.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofMalformed(f"index {index} is outside a tree of {size} leaves")
    _check_hashes(leaf, *path)
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofMalformed(f"path of {len(path)} hashes is too long for index {index} of {size}")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofMalformed(f"path of {len(path)} hashes is too short for index {index} of {size}")
    return found


def verify_consistency(*, size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of `size2` leaves begins with the tree of `size1` leaves; return only if so.

    Equal sizes need an empty path and equal roots. A tree without leaves is consistent with every other,
    which would prove nothing, so size 0 is refused.

    Args:
        size1: Leaves of the older tree, at least 1.
        size2: Leaves of the newer tree, size1 to 2^63 - 1.
        root1: Root of the older tree, 32 bytes.
        root2: Root of the newer tree, 32 bytes.
        path: The proof's hashes in the RFC's order, 32 bytes each.

    Raises:
        ProofMalformed: Sizes out of order, wrong number of hashes, or a hash that is not 32 bytes.
        RootMismatch: Well-formed, but one of the two roots is not the one the proof leads to.

    Source: RFC 9162 section 2.1.4.2.
    """
    if not 1 <= size1 <= size2 <= MAX_SIZE:
        raise ProofMalformed(f"sizes {size1} and {size2}: expected 1 <= old <= new")
    _check_hashes(root1, root2, *path)
    if size1 == size2:
        if path:
            raise ProofMalformed(f"path of {len(path)} hashes between equal sizes, expected none")
        _expect(root1, root2)
        return
    found1, found2 = _walk_consistency(size1, size2, path if size1 & (size1 - 1) else [root1, *path])
    _expect(root1, found1)
    _expect(root2, found2)


def _walk_consistency(size1: int, size2: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        raise ProofMalformed(f"empty path between sizes {size1} and {size2}")
    found1 = found2 = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofMalformed(f"path is too long between sizes {size1} and {size2}")
        if place & 1 or place == last:
            found1, found2 = node_hash(sibling, found1), node_hash(sibling, found2)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found2 = node_hash(found2, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofMalformed(f"path is too short between sizes {size1} and {size2}")
    return found1, found2


def inclusion_path(*, index: int, size: int, node: Node) -> list[bytes]:
    """The path that `verify_inclusion` takes. Source: RFC 9162 section 2.1.3.1.

    Raises:
        ProofMalformed: The index is outside the tree.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofMalformed(f"index {index} is outside a tree of {size} leaves")
    path, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(subtree_root(middle, high, node))
            high = middle
        else:
            path.append(subtree_root(low, middle, node))
            low = middle
    return path[::-1]


def consistency_path(*, size1: int, size2: int, node: Node) -> list[bytes]:
    """The path that `verify_consistency` takes. Source: RFC 9162 section 2.1.4.1.

    Raises:
        ProofMalformed: Not 1 <= size1 <= size2.
    """
    if not 1 <= size1 <= size2 <= MAX_SIZE:
        raise ProofMalformed(f"sizes {size1} and {size2}: expected 1 <= old <= new")
    path, low, high = [], 0, size2
    while size1 != high:
        middle = low + _split(high - low)
        if size1 <= middle:
            path.append(subtree_root(middle, high, node))
            high = middle
        else:
            path.append(subtree_root(low, middle, node))
            low = middle
    if low:
        path.append(subtree_root(low, high, node))
    return path[::-1]


def subtree_root(lo: int, hi: int, node: Node) -> bytes:
    """Hash over leaves [lo, hi) where they are a node of some tree: lo a multiple of a power of two >= hi - lo.

    `subtree_root(0, size, node)` is the root. Asks `node` once for each 1 in hi - lo written in binary.
    """
    if lo == hi:
        return EMPTY_ROOT
    found, end = b"", hi
    while end > lo:
        rest = end - lo
        level = (rest & -rest).bit_length() - 1
        end -= 1 << level
        left = node(level, end >> level)
        found = node_hash(left, found) if found else left
    return found


class CompactRange:
    """The right edge of a growing tree: enough to append and to know the root, O(log n) in space.

    Args:
        size: Leaves so far.
        hashes: Roots of the perfect subtrees that make up the tree, largest (leftmost) first: one for each
            1 in `size` written in binary.

    Raises:
        ProofMalformed: Another number of hashes than the size has ones, or one that is not 32 bytes.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= MAX_SIZE or len(hashes) != size.bit_count():
            raise ProofMalformed(f"{len(hashes)} hashes for a compact range of {size} leaves")
        _check_hashes(*hashes)
        self._size, self._hashes = size, list(hashes)

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The perfect subtrees, leftmost first; with `size` they make the same range again."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; returns every perfect subtree it completes as (level, index, hash), itself first."""
        level, index, found = 0, self._size, leaf_hash
        completed = [(0, index, found)]
        while index & 1:
            found = node_hash(self._hashes.pop(), found)
            level, index = level + 1, index >> 1
            completed.append((level, index, found))
        self._hashes.append(found)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """Root of the tree so far."""
        if not self._hashes:
            return EMPTY_ROOT
        found = self._hashes[-1]
        for left in self._hashes[-2::-1]:
            found = node_hash(left, found)
        return found


def _split(size: int) -> int:
    """Largest power of two smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofMalformed(f"a hash of {len(value)} bytes, expected {HASH_SIZE}")


def _expect(expected: bytes, found: bytes) -> None:
    if found != expected:
        raise RootMismatch(expected=expected, found=found)
