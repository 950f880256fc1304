"""One inclusion proof for many leaves of one tree, without a hash in it twice.

The hashes are those of the largest subtrees that hold none of the wanted leaves, from left to right; a
verifier puts them and the leaves together into the root. Used for the `inclusion` file of a bundle.
Specification: docs/spec/log.md.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise

from custody import merkle
from custody.decimal import from_decimal
from custody.errors import FormatError, VerificationError

HEADER = b"rogatory/batch-inclusion/v1"
_HASH_SIZE = 32
_LINES_BEFORE_HASHES = 2


class BatchMalformed(FormatError):
    """Not the file format, or a batch that cannot be: no index, one outside the tree, out of order."""

    code = "batch-malformed"


class BatchMismatch(VerificationError):
    """The proof has another number of hashes than the indices call for: some are missing or left over."""

    code = "batch-mismatch"


def batch_proof(indices: Sequence[int], size: int, node: merkle.Node) -> list[bytes]:
    """The hashes that prove the leaves at these places of the tree of `size` leaves.

    Args:
        indices: Strictly ascending, at least one, all below `size`.
        size: Leaves in the tree.
        node: Hashes of perfect subtrees.

    Raises:
        BatchMalformed: The indices are not as said.
    """
    if any(left >= right for left, right in pairwise(indices)):
        raise BatchMalformed("indices are not strictly ascending")
    _check_indices(indices, size)
    proof: list[bytes] = []
    place = 0
    for index in indices:
        proof.extend(node(level, start >> level) for start, level in _cover(place, index))
        place = index + 1
    proof.extend(merkle.subtree_root(start, end, node) for start, end in _cover_end(place, size))
    return proof


def verify_batch(*, leaves: Mapping[int, bytes], size: int, hashes: Sequence[bytes], root: bytes) -> None:
    """Check that leaves stand at their places of the tree with the given root; return only if all do.

    Proves nothing about the root itself: take that from a checkpoint whose signatures were verified.
    The order of the mapping does not matter.

    Args:
        leaves: Leaf hash (32 bytes, not the data) by place; at least one.
        size: Leaves in the tree the proof speaks about.
        hashes: The proof, 32 bytes each.
        root: Expected root, 32 bytes.

    Raises:
        BatchMalformed: No leaf, an index outside the tree, or a value that is not 32 bytes.
        BatchMismatch: Too few hashes, or some are left over.
        RootMismatch: Everything fits, but leads to another root.
    """
    indices = sorted(leaves)
    _check_indices(indices, size)
    if len(root) != _HASH_SIZE or set(map(len, hashes)) - {_HASH_SIZE} or set(map(len, leaves.values())) - {_HASH_SIZE}:
        raise BatchMalformed(f"a hash that is not {_HASH_SIZE} bytes")
    supply = iter(hashes)
    try:
        found = _fold(indices, leaves, size, supply)
    except StopIteration as error:
        raise BatchMismatch(f"{len(hashes)} hashes do not suffice for {len(indices)} leaves of {size}") from error
    left_over = sum(1 for _ in supply)
    if left_over:
        raise BatchMismatch(f"{left_over} hashes are left over of {len(hashes)}")
    if found != root:
        raise merkle.RootMismatch(expected=root, found=found)


def encode(size: int, hashes: Sequence[bytes]) -> bytes:
    """The bytes of a bundle's `inclusion` file."""
    return b"%b\n%d\n" % (HEADER, size) + b"".join([b2a_base64(value) for value in hashes])


def parse(data: bytes) -> tuple[int, list[bytes]]:
    """The size and hashes of an `inclusion` file; `encode(*result) == data`.

    Raises:
        BatchMalformed: Anything that `encode` does not write.
        DecimalMalformed: The size is not a canonical decimal number.
    """
    if data.count(b"\n") > _LINES_BEFORE_HASHES + len(data) // _HASH_SIZE:
        raise BatchMalformed("lines shorter than the base64 of 32 bytes")
    lines = data.split(b"\n")
    if len(lines) <= _LINES_BEFORE_HASHES or lines[0] != HEADER or lines.pop():
        raise BatchMalformed(f"not {HEADER.decode()} with a size and hashes in lines")
    size = from_decimal(lines[1].decode("ascii", "replace"))
    encoded = lines[_LINES_BEFORE_HASHES:]
    try:
        hashes = [a2b_base64(line) for line in encoded]
    except Base64Error as error:
        raise BatchMalformed(f"a line is not base64: {error}") from error
    if set(map(len, hashes)) - {_HASH_SIZE} or encode(size, hashes) != data:
        raise BatchMalformed("a line is not the canonical base64 of 32 bytes")
    return size, hashes


def _fold(indices: Sequence[int], leaves: Mapping[int, bytes], size: int, supply: Iterator[bytes]) -> bytes:
    """The root, by keeping the perfect subtrees left of `place` on a stack, one for each 1 of its binary form."""
    stack: list[bytes] = []
    place = 0
    for index in indices:
        while place < index:
            level = _largest(place, index)
            _push(stack, place >> level, next(supply))
            place += 1 << level
        found = leaves[index]
        while index & 1:  # `_push`, spelled out: this is where the time goes
            found = sha256(b"\x01" + stack.pop() + found).digest()
            index >>= 1  # noqa: PLW2901
        stack.append(found)
        place += 1
    for start, _ in _cover_end(place, size):
        _push(stack, start // (start & -start), next(supply))
    found = stack.pop()
    while stack:
        found = sha256(b"\x01" + stack.pop() + found).digest()
    return found


def _push(stack: list[bytes], index: int, found: bytes) -> None:
    """Put the subtree with this index among those of its level beside its left siblings, joined as far as they go."""
    while index & 1:
        found = sha256(b"\x01" + stack.pop() + found).digest()
        index >>= 1
    stack.append(found)


def _largest(start: int, end: int) -> int:
    """Level of the largest perfect subtree that begins at `start` and does not pass `end`."""
    fitting = (end - start).bit_length() - 1
    return min(fitting, (start & -start).bit_length() - 1) if start else fitting


def _cover(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The (start, level) of the largest subtrees that make up [start, end), where a wanted leaf stands at `end`."""
    while start < end:
        level = _largest(start, end)
        yield start, level
        start += 1 << level


def _cover_end(start: int, size: int) -> Iterator[tuple[int, int]]:
    """The [start, end) of the largest subtrees right of a wanted leaf; the last may be imperfect."""
    while start < size:
        end = min(start + (start & -start), size)
        yield start, end
        start = end


def _check_indices(indices: Sequence[int], size: int) -> None:
    if not indices:
        raise BatchMalformed("a batch without a leaf proves nothing")
    if indices[0] < 0 or not indices[-1] < size <= merkle.MAX_SIZE:
        raise BatchMalformed(f"indices {indices[0]} to {indices[-1]} are not all inside a tree of {size} leaves")
