"""One upload of the local store: the body as it grows, and the file that says which parts of it count.

    uploads/<token>/body     the parts, each at its place on the grid
    uploads/<token>/parts    64 bytes of header, then a slot of 64 bytes for each part

A slot holds a part's size and SHA-256 once the part is durable; before, the mark of the writer that has
begun it. Slots do not straddle disk sectors and carry a check, so one that was torn counts as unfinished.

Every change is made under a lock on `parts` that lasts for one write, never for a transfer. Under it a
writer looks whether the part is still its own and the body is still an upload, so a writer that was
thought dead harms neither its successor's part nor a published body.
"""

import fcntl
import hashlib
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from storage.interface import (
    DigestMismatch,
    GridViolation,
    PartDigest,
    StoreUnavailable,
    Superseded,
    Truncated,
    UploadIncomplete,
    UploadNotFound,
)
from storage.parts import MAX_PARTS
from storage.syscalls import DIRECTORY_MODE, Reader, Syscalls, create_durably, sync_directories, write_at

_MAGIC = b"rogatory/parts/1"
_HEADER = struct.Struct(">16sQ40x")
_SLOT = struct.Struct(">Q32s16s")
_SLOT_SIZE = 64
_AT_ONCE = 1024 * 1024
"""Bytes that one look at the part's claim and one write may be for."""

_CHECK = _SLOT_SIZE - _SLOT.size


class Slot(NamedTuple):
    """What is known of a part: its size (0: unfinished) and SHA-256, or who is writing it."""

    size: int
    sha256: bytes
    claim: bytes


_UNTOUCHED = Slot(0, bytes(32), bytes(16))


def make(system: Syscalls, directory: Path, part_size: int) -> None:
    """Make the files of a new upload, durably."""
    system(os.mkdir, directory, DIRECTORY_MODE)
    create_durably(system, directory / "body", b"")
    create_durably(system, directory / "parts", _HEADER.pack(_MAGIC, part_size))
    sync_directories(system, directory, directory.parent)


def remove(system: Syscalls, directory: Path) -> None:
    """Remove an upload's files, or what a crash has left of them, durably.

    `parts` goes before the body: `PartFile.writable` relies on it.
    """
    for name in ("parts", "body"):
        with suppress(FileNotFoundError, NotADirectoryError):
            system.attempt(os.unlink, directory / name)
    with suppress(FileNotFoundError):
        system.attempt(os.rmdir, directory)
    sync_directories(system, directory.parent, directory.parent)


@contextmanager
def opened(system: Syscalls, directory: Path) -> Iterator["PartFile"]:
    """The files of an upload, for one call.

    Raises:
        UploadNotFound: There are none, or not all of them.
    """
    files: list[int] = []
    try:
        for name in ("parts", "body"):
            files.append(_open(system, directory / name))  # noqa: PERF401 - what is open must be closed
        yield PartFile(system, directory, parts=files[0], body=files[1])
    finally:
        for fd in files:
            os.close(fd)


def _open(system: Syscalls, path: Path) -> int:
    try:
        return system.attempt(os.open, path, os.O_RDWR | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UploadNotFound(f"no upload {path.parent.name}") from error


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces where they lie in memory; what is still to come is passed on as it comes."""
    if not isinstance(chunks, Sequence):
        yield from chunks
        return
    held, size = list[bytes](), 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _AT_ONCE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


class PartFile:
    """An open upload. Each call opens its own, since a lock belongs to the descriptor."""

    def __init__(self, system: Syscalls, directory: Path, *, parts: int, body: int) -> None:
        self._system, self._directory = system, directory
        self._parts, self._body = parts, body
        magic, self.part_size = _MAGIC, 0
        header = system(os.pread, parts, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            magic, self.part_size = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise StoreUnavailable(f"upload {directory.name} has a damaged list of parts")
        if not self.part_size:  # begun by a process that died before it could tell anyone
            raise UploadNotFound(f"upload {directory.name} was never wholly begun")

    def put_piece(self, part: int, offset: int, data: bytes) -> None:
        """Write bytes of an unfinished part and make them durable."""
        if not 0 <= offset <= self.part_size - len(data):
            raise GridViolation(f"piece {offset} + {len(data)}, expected inside a part of {self.part_size}")
        start = self._start(part)
        with self.writable(fcntl.LOCK_EX):
            if self._slot(part) != _UNTOUCHED:
                self._claim(part)
            write_at(self._system, self._body, data, start + offset)
        self._system(os.fsync, self._body)

    def put_part(self, part: int, chunks: Iterable[bytes], *, size: int, sha256: bytes | None) -> bytes:
        """Write a whole part and let it count once it is durable; its SHA-256."""
        start = self._start(part, size)
        with self.writable(fcntl.LOCK_EX):
            claim = self._claim(part)
        digest, written = hashlib.sha256(), 0
        for chunk in _gathered(chunks):
            if written + len(chunk) > size:
                raise GridViolation(f"part {part} has more bytes than the {size} announced")
            with self.writable(fcntl.LOCK_SH):
                self._hold(part, claim)
                write_at(self._system, self._body, chunk, start + written)
            digest.update(chunk)
            written += len(chunk)
        if written < size:
            raise Truncated(f"part {part} ends after {written} bytes, expected {size}")
        self._record(part, claim, size=size, found=digest.digest(), expected=sha256)
        return digest.digest()

    def fold(self, part: int, *, size: int, sha256: bytes) -> None:
        """Read the pieces of a part back and let them count as the part."""
        self._start(part, size)
        with self.writable(fcntl.LOCK_EX):
            claim = self._claim(part)
        digest = hashlib.sha256()
        for chunk in self.read(part, size):
            digest.update(chunk)
        self._record(part, claim, size=size, found=digest.digest(), expected=sha256)

    def read(self, part: int, size: int) -> Reader:
        """The first bytes of a part, as they lie there."""
        start = self._start(part, size)
        held = self._system(os.fstat, self._body).st_size - start
        if held < size:
            raise Truncated(f"part {part} has {max(0, held)} bytes, expected {size}")
        return Reader(self._system, _open(self._system, self._directory / "body"), start=start, length=size)

    def check(self, parts: Sequence[PartDigest]) -> None:
        """Compare the parts that a completion names with those kept; call it with the lock held."""
        for number, (part, last) in enumerate(zip(parts, [False] * (len(parts) - 1) + [True], strict=True), start=1):
            self._start(number, part.size)
            if part.size != self.part_size and not last:
                raise GridViolation(f"part {number} has {part.size} bytes, expected {self.part_size} before the last")
            kept = self._slot(number)
            if not kept.size:
                raise UploadIncomplete(f"part {number} is not whole, expected {part.size} bytes")
            if (kept.size, kept.sha256) != (part.size, part.sha256):
                raise DigestMismatch(
                    f"part {number} is kept as {kept.size} bytes {kept.sha256.hex()}, "
                    f"expected {part.size} bytes {part.sha256.hex()}"
                )

    def trim(self, size: int) -> None:
        """Cut off what a stale writer left behind the last part, and make the body durable as it is."""
        held = self._system(os.fstat, self._body).st_size
        if held < size:
            raise UploadIncomplete(f"body has {held} bytes, expected {size}")
        if held > size:
            self._system(os.ftruncate, self._body, size)
        self._system(os.fsync, self._body)

    @contextmanager
    def writable(self, lock: int) -> Iterator[None]:
        """Keep others from completing the upload, and with LOCK_EX from writing, while the context lasts.

        A published body has a second name until `parts` is gone. The body is looked at first: had it lost
        its second name by then, `parts` would be seen gone.

        Raises:
            UploadNotFound: It was completed or aborted meanwhile.
        """
        self._system(fcntl.flock, self._parts, lock)
        try:
            alone = self._system(os.fstat, self._body).st_nlink == 1
            if not alone or self._system(os.fstat, self._parts).st_nlink != 1:
                raise UploadNotFound(f"upload {self._directory.name} was completed or aborted")
            yield
        finally:
            fcntl.flock(self._parts, fcntl.LOCK_UN)

    def _start(self, part: int, size: int = 1) -> int:
        if not 1 <= part <= MAX_PARTS:
            raise GridViolation(f"part {part}, expected 1 to {MAX_PARTS}")
        if not 1 <= size <= self.part_size:
            raise GridViolation(f"part {part} of {size} bytes, expected 1 to {self.part_size}")
        return (part - 1) * self.part_size

    def _claim(self, part: int) -> bytes:
        """Mark a part as begun by this writer; durably if it counted before, since its bytes will change."""
        counted = self._slot(part).size > 0
        claim = secrets.token_bytes(16)
        self._write_slot(part, Slot(0, bytes(32), claim))
        if counted:
            self._system(os.fsync, self._parts)
        return claim

    def _hold(self, part: int, claim: bytes) -> None:
        if self._slot(part).claim != claim:
            raise Superseded(f"part {part} was begun anew by another writer")

    def _record(self, part: int, claim: bytes, *, size: int, found: bytes, expected: bytes | None) -> None:
        if expected is not None and found != expected:
            raise DigestMismatch(f"part {part} has SHA-256 {found.hex()}, expected {expected.hex()}")
        self._system(os.fsync, self._body)
        with self.writable(fcntl.LOCK_EX):
            self._hold(part, claim)
            self._write_slot(part, Slot(size, found, bytes(16)))
            self._system(os.fsync, self._parts)

    def _slot(self, part: int) -> Slot:
        data = self._system(os.pread, self._parts, _SLOT_SIZE, part * _SLOT_SIZE)
        if data[_SLOT.size :] != _check(part, data[: _SLOT.size]):
            return _UNTOUCHED
        return Slot(*_SLOT.unpack(data[: _SLOT.size]))

    def _write_slot(self, part: int, slot: Slot) -> None:
        data = _SLOT.pack(*slot)
        write_at(self._system, self._parts, data + _check(part, data), part * _SLOT_SIZE)


def _check(part: int, data: bytes) -> bytes:
    return hashlib.sha256(part.to_bytes(8, "big") + data).digest()[:_CHECK]
