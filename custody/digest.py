"""The two digests of a stream of bytes, and the digests of its parts on a fixed grid.

Every digest of evidence is two: SHA-256, which courts know, and BLAKE3-256, which is fast. A body is also
cut into parts of one size (the last may be shorter), each with its SHA-256, so that a large transfer can
be resumed and a damaged place be named. Sizes are bytes; digests are raw, 32 bytes; parts count from 1.
Memory is constant: one chunk of the caller's plus 32 bytes for each part. Specification: docs/spec/digests.md.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from blake3 import blake3

from custody.errors import FormatError

DIGEST_SIZE = 32
MIN_PART = 16 * 1024 * 1024
MAX_PART = 4 * 1024 * 1024 * 1024
MAX_PARTS = 10_000

_READ = 1024 * 1024
# Below this a hand-over between threads costs more than the shorter of the two hashes.
_PARALLEL = 256 * 1024

Bytes = bytes | bytearray | memoryview


class OffGrid(FormatError):
    """A size that no part grid can hold, or a part size outside its bounds."""

    code = "off-grid"


class DigestMalformed(FormatError):
    """Not 32 bytes."""

    code = "digest-malformed"


class Readable(Protocol):
    """What a binary file opened for reading offers."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Digests:
    """Size in bytes and both digests, raw, of one stream."""

    size: int
    sha256: bytes
    blake3: bytes


class Digester:
    """Both digests of bytes as they come.

    Not for use by two threads at once. Large chunks are hashed in two threads; when `update` returns, the
    chunk has been read and its buffer may be used again. `follow` does not wait for that.
    """

    def __init__(self) -> None:
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3()
        self._under_way = _UnderWay()

    def update(self, data: Bytes) -> None:
        """Take the next bytes of the stream."""
        view = memoryview(data).cast("B")
        self._under_way.settle()
        _together(view, self._updates())
        self._size += len(view)

    def follow(self, data: Bytes) -> None:
        """Take the next bytes of the stream and return while they are hashed.

        The buffer must stay as it is until the next call of any method here has returned: two buffers, used in
        turn, are enough.
        """
        view = memoryview(data).cast("B")
        self._under_way.begin(view, self._updates())
        self._size += len(view)

    def finish(self) -> Digests:
        """Size and digests of all bytes taken so far; changes nothing, so more may follow."""
        self._under_way.settle()
        return Digests(size=self._size, sha256=self._sha256.digest(), blake3=self._blake3.digest())

    def _updates(self) -> list[Callable[[memoryview], object]]:
        return [self._sha256.update, self._blake3.update]


class GridDigester:
    """The SHA-256 of each part of a stream, wherever the boundaries of the chunks fall.

    With `whole=True` both digests of the whole stream are taken in the same pass: see `body`.
    """

    def __init__(self, part_size: int, *, whole: bool = False) -> None:
        if not 1 <= part_size <= MAX_PART:
            raise OffGrid(f"part size {part_size}, expected 1 to {MAX_PART}")
        self.part_size = part_size
        self.parts: list[bytes] = []
        self._whole = Digester() if whole else None
        self._part = hashlib.sha256()
        self._filled = 0
        self._under_way = _UnderWay()

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        self._under_way.settle()
        return len(self.parts) * self.part_size + self._filled

    @property
    def body(self) -> Digests | None:
        """Both digests of all bytes taken so far, if they were asked for."""
        self._under_way.settle()
        return self._whole.finish() if self._whole else None

    def update(self, data: Bytes) -> None:
        """Take the next bytes of the stream; `parts` then holds every part that is full."""
        view = memoryview(data).cast("B")
        self._under_way.settle()
        _together(view, self._updates(len(view)))

    def follow(self, data: Bytes) -> None:
        """Take the next bytes of the stream and return while they are hashed; see `Digester.follow`."""
        view = memoryview(data).cast("B")
        self._under_way.begin(view, self._updates(len(view)))

    def finish(self) -> list[bytes]:
        """The digests of all parts, a last short one included; changes nothing, so more may follow."""
        self._under_way.settle()
        return [*self.parts, self._part.digest()] if self._filled else list(self.parts)

    def _updates(self, count: int) -> list[Callable[[memoryview], object]]:
        whole = self._whole
        if whole is None:
            return [self._cut]
        whole._size += count  # noqa: SLF001 - of this module
        return [self._cut, *whole._updates()]  # noqa: SLF001 - of this module

    def _cut(self, view: memoryview) -> None:
        while view:
            piece = view[: self.part_size - self._filled]
            self._part.update(piece)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == self.part_size:
                self.parts.append(self._part.digest())
                self._part, self._filled = hashlib.sha256(), 0


def digest_stream(source: Readable) -> Digests:
    """Read a stream to its end and give its size and both digests."""
    digester = Digester()
    while chunk := source.read(_READ):
        digester.update(chunk)
    return digester.finish()


def composite(parts: Sequence[bytes]) -> bytes:
    """SHA-256 of the concatenated part digests: the one value that commits to all parts and their order.

    It is no digest of the body: it cannot be compared with what `sha256sum` prints, and it says which
    parts only together with the part size.

    Raises:
        DigestMalformed: A part digest that is not 32 bytes, so that the concatenation would be ambiguous.
    """
    whole = hashlib.sha256()
    for part, digest in enumerate(parts, start=1):
        if len(digest) != DIGEST_SIZE:
            raise DigestMalformed(f"digest of part {part} has {len(digest)} bytes, expected {DIGEST_SIZE}")
        whole.update(digest)
    return whole.digest()


def grid(size: int, *, minimum: int = MIN_PART) -> int:
    """The part size for a body: the smallest power of two that needs at most 10,000 parts.

    `storage.parts.grid` states the same rule for the service, since neither package may import the other;
    tests/custody/test_digest.py holds the two together.

    Args:
        size: Of the body, in bytes.
        minimum: Smallest part size, a power of two; anything but the default is for tests.

    Raises:
        OffGrid: Larger than 10,000 parts of 4 GiB, or negative: such an item must be sent as several.
    """
    if not 0 <= size <= MAX_PARTS * MAX_PART:
        raise OffGrid(f"size {size}, expected 0 to {MAX_PARTS * MAX_PART}")
    part_size = minimum
    while part_size * MAX_PARTS < size:
        part_size *= 2
    return part_size


def _together(view: memoryview, updates: Sequence[Callable[[memoryview], object]]) -> None:
    """Feed one chunk to several hashes, side by side if it is large; return when all have taken it."""
    if len(view) < _PARALLEL:
        for update in updates:
            update(view)
        return
    others = [_pool().submit(update, view) for update in updates[1:]]
    updates[0](view)
    for other in others:
        other.result()


class _UnderWay:
    """Hashing of one chunk that goes on in other threads; of the next one only when it is done."""

    def __init__(self) -> None:
        self._jobs: list[Future[object]] = []

    def begin(self, view: memoryview, updates: Sequence[Callable[[memoryview], object]]) -> None:
        """Wait for the chunk before, then let this one be hashed; a small one is, at once."""
        self.settle()
        if len(view) < _PARALLEL:
            _together(view, updates)
        else:
            self._jobs = [_pool().submit(update, view) for update in updates]

    def settle(self) -> None:
        """Wait until nothing is under way."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads for hashing, shared by all digesters: hashlib and blake3 release the interpreter's lock."""
    return ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="digest")


if hasattr(os, "register_at_fork"):  # not on Windows; a forked child has the pool's object but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
