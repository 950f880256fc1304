"""What a store of ciphertext promises, and what it refuses.

A store keeps bodies (to 39 TiB, uploaded in parts) and small blobs (headers, parts lists) under keys of
`storage.keys`. What it promises is written as tests in tests/storage/contract.py, and every store passes
them. In short:

- Durable when it returns: after any call here, a loss of power takes nothing back.
- Create-exclusive: a key is never overwritten. The same bytes again succeed, other bytes are `AlreadyExists`.
- Checked on the way in: bytes that do not have the digest they were announced with are never kept.
- Nothing half-visible: a key is seen whole or not at all, whatever died when.
- Idempotent: a call that a crash cut off may be made again.

All calls block, and any number of threads and processes may make them. Two things a store leaves to its
caller: who may (it knows no parties), and which of two writers of one upload is the stale one (fence them
in the database; the store only sees that a stale writer never touches what is published and never makes
bytes count that were not checked).

`version` is the store's own name for one version of an object, "" where it keeps none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class StoreError(Exception):
    """Anything a store refuses or fails at; the `code` is stable."""

    code = "store-error"


class StoreFull(StoreError):
    """No space, or the quota is used up; nothing was kept."""

    code = "store-full"


class StoreUnavailable(StoreError):
    """The store cannot be read or written now, or gives damaged answers; nothing is known to be kept."""

    code = "store-unavailable"


class NotFound(StoreError):
    """No such object or version."""

    code = "object-not-found"


class UploadNotFound(NotFound):
    """No such upload: never begun, aborted, or completed and gone."""

    code = "upload-not-found"


class AlreadyExists(StoreError):
    """The key holds other bytes."""

    code = "already-exists"


class DigestMismatch(StoreError):
    """The bytes have another SHA-256 than announced."""

    code = "digest-mismatch"


class Truncated(StoreError):
    """Fewer bytes than promised, or than asked for."""

    code = "truncated"


class UploadIncomplete(StoreError):
    """A part that the completion names is not there as a whole."""

    code = "upload-incomplete"


class Superseded(StoreError):
    """Another writer began the same part anew; this one is the stale one and must stop."""

    code = "superseded"


class Locked(StoreError):
    """The object's lock has not run out."""

    code = "object-locked"


class LockShortened(StoreError):
    """A lock can only be lengthened."""

    code = "lock-shortened"


class KeyMalformed(StoreError):
    """Not a name that any store keeps things under."""

    code = "key-malformed"


class GridViolation(StoreError):
    """A size, part number or offset outside the part grid."""

    code = "grid-violation"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: its size in bytes, until when it cannot be deleted, when its last byte came.

    `written` is by the store's clock; a body may be published later.
    """

    key: str
    version: str
    size: int
    locked_until: datetime | None
    written: datetime


@dataclass(frozen=True, slots=True)
class PartDigest:
    """Size in bytes and raw SHA-256 of one part."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An upload that is neither completed nor aborted; `begun` is by the store's clock."""

    token: str
    key: str
    begun: datetime


class Store(Protocol):
    """Where ciphertext lives. Every method may raise `StoreUnavailable`, every writing one `StoreFull`."""

    def put(self, key: str, data: bytes, *, sha256: bytes) -> ObjectInfo:
        """Keep a small blob under a new key.

        Raises:
            DigestMismatch: The data have another digest; nothing was written.
            AlreadyExists: The key holds other bytes.
        """
        ...

    def begin(self, key: str, *, part_size: int) -> str:
        """Begin to upload a body in parts; return the token that names the upload from then on.

        The key is not reserved: of two uploads to one key the first to complete wins.
        """
        ...

    def put_piece(self, upload: str, part: int, offset: int, data: bytes) -> None:
        """Keep bytes of an unfinished part, `offset` inside it, over whatever lies there.

        If the part was whole already it is unfinished again.

        Raises:
            UploadNotFound: Completed, aborted or never begun.
            GridViolation: Beyond the part's end.
        """
        ...

    def read_pieces(self, upload: str, part: int, size: int) -> Iterator[bytes]:
        """The first `size` bytes of a part, whole or not, to take up its hash after a restart.

        Raises:
            UploadNotFound: Completed, aborted or never begun.
            Truncated: There are fewer bytes.
        """
        ...

    def put_part(self, upload: str, part: int, chunks: Iterable[bytes], *, size: int, sha256: bytes | None) -> bytes:
        """Keep a whole part, instead of whatever was kept for it; return its SHA-256.

        The part counts only when this returns. Give no digest where the bytes were checked by none.

        Raises:
            UploadNotFound: Completed, aborted or never begun.
            DigestMismatch: The chunks have another digest than given; the part is unfinished.
            Truncated: The chunks end before `size`.
            GridViolation: The chunks, or `size`, go beyond the part's end.
            Superseded: Another writer began this part meanwhile.
        """
        ...

    def fold(self, upload: str, part: int, *, size: int, sha256: bytes) -> None:
        """Make the pieces of a part a whole part, after reading them back.

        Raises:
            UploadNotFound: Completed, aborted or never begun.
            Truncated: The pieces end before `size`.
            DigestMismatch: What was read back has another digest; the part is unfinished.
            Superseded: Another writer began this part meanwhile.
        """
        ...

    def complete(self, upload: str, parts: Sequence[PartDigest]) -> ObjectInfo:
        """Publish an upload under its key, atomically; the parts are exactly those given, from 1.

        Made again after a crash, or after success, with the same parts, it succeeds. The digests compared
        are those found when each part was written; the body is not read again.

        Raises:
            UploadNotFound: No such upload, and the key does not hold these parts.
            UploadIncomplete: A part is missing or unfinished.
            DigestMismatch: A part is kept with another size or digest.
            GridViolation: No parts, or a part before the last is short.
            AlreadyExists: The key holds something else.
        """
        ...

    def abort(self, upload: str) -> None:
        """Drop an upload and its bytes; nothing happens where there is none, or it was completed."""
        ...

    def read(self, key: str, *, version: str = "", start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of an object, or of a range inside it, in chunks of at most 1 MiB.

        Errors that are known at once are raised by the call, not by the first chunk.

        Raises:
            NotFound: No such object or version.
            Truncated: The range ends behind the object, or the store has lost bytes.
        """
        ...

    def stat(self, key: str, *, version: str = "") -> ObjectInfo:
        """What is known of an object without reading it.

        Raises:
            NotFound: No such object or version.
        """
        ...

    def confirm(self, key: str, parts: Sequence[PartDigest], *, version: str = "") -> None:
        """Hold what the store itself has on record of a body to its parts; the bytes are not read.

        Raises:
            NotFound: No such object or version.
            DigestMismatch: It is kept with another size, or of other parts.
        """
        ...

    def lock(self, key: str, *, version: str = "", until: datetime) -> None:
        """Lock an object against deletion until an aware time, or lengthen its lock.

        Raises:
            NotFound: No such object or version.
            LockShortened: It is locked for longer.
        """
        ...

    def delete(self, key: str, *, version: str = "", now: datetime) -> None:
        """Remove an object whose lock has run out at `now`.

        Raises:
            NotFound: No such object or version.
            Locked: `now` is before the end of the lock.
        """
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of published objects that begin so, in the order of their characters."""
        ...

    def uploads(self) -> Iterator[UploadInfo]:
        """Uploads that are neither completed nor aborted, and remains of those a crash cut off."""
        ...

    def ping(self) -> None:
        """Write, sync and remove a byte; return only if the store can be written now."""
        ...
