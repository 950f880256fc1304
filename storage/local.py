"""The local-disk store: one directory of one filesystem, one file for each object.

    objects/<key>       published objects, the exact bytes
    records/<key>       what the store knows beside the bytes: size, composite of the parts, lock
    uploads/<token>/    unfinished bodies (see `storage.partfile`)
    temp/               files on their way to another name; anything old there is debris (`LocalStore.sweep`)
    guards/             lock files, one for each 256th of the keys

Data are synced before the name that shows them is made (link, which refuses a taken name), and the
directories after it, so that a key is durable and whole or not there. Files have mode 0600, directories
0700. The lock on an object binds this code, not whoever administers the machine. docs/adr/0001 says why.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from storage import partfile
from storage.interface import (
    AlreadyExists,
    DigestMismatch,
    GridViolation,
    Locked,
    LockShortened,
    NotFound,
    ObjectInfo,
    PartDigest,
    StoreError,
    StoreUnavailable,
    Truncated,
    UploadInfo,
    UploadNotFound,
)
from storage.keys import check_key, check_prefix
from storage.parts import MAX_PART
from storage.syscalls import (
    DIRECTORY_MODE,
    FILE_MODE,
    Reader,
    Syscalls,
    create_durably,
    make_directories,
    sync_directories,
)

_TOKEN = re.compile(r"([a-z0-9][a-z0-9+._-]*)~[0-9a-f]{32}\Z")
_ROOMS = ("objects", "records", "uploads", "temp", "guards")


@dataclass(frozen=True, slots=True)
class _Record:
    """What the store knows of an object beside its bytes; `parts` is the hex composite, "" for a blob."""

    size: int
    parts: str = ""
    locked_until: datetime | None = None

    @classmethod
    def of(cls, parts: Sequence[PartDigest]) -> "_Record":
        """Of a body that is made of these parts."""
        composite = hashlib.sha256(b"".join(part.sha256 for part in parts)).hexdigest()
        return cls(sum(part.size for part in parts), composite)

    def encode(self) -> bytes:
        until = self.locked_until.astimezone(UTC).isoformat() if self.locked_until else None
        return json.dumps({"size": self.size, "parts": self.parts, "locked_until": until}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "_Record":
        fields = json.loads(data)
        until = fields["locked_until"]
        return cls(int(fields["size"]), str(fields["parts"]), datetime.fromisoformat(until) if until else None)


class LocalStore:
    """A `storage.interface.Store` on a directory; any number of threads and processes may have it open."""

    def __init__(self, root: Path, *, system: Syscalls | None = None) -> None:
        """Open the store at `root`, making what is missing of its directories."""
        self._system = system or Syscalls()
        with suppress(FileExistsError):
            self._system.attempt(os.mkdir, root, DIRECTORY_MODE)
        self._objects, self._records, self._uploads, self._temp, self._guards = (root / room for room in _ROOMS)
        for room in _ROOMS:
            make_directories(self._system, root / room, root)
        sync_directories(self._system, root, root.parent)

    def put(self, key: str, data: bytes, *, sha256: bytes) -> ObjectInfo:
        """See `Store.put`."""
        found = hashlib.sha256(data).digest()
        if found != sha256:
            raise DigestMismatch(f"data have SHA-256 {found.hex()}, expected {sha256.hex()}")
        with self._guard(key):
            if self._size(key) is None:
                self._forget(key)
                with self._temporary(data) as path:
                    self._link(path, key)
            elif not self._has(key, data):
                raise AlreadyExists(f"{key} holds other bytes")
            sync_directories(self._system, (self._objects / key).parent, self._objects)
            return self.stat(key)

    def begin(self, key: str, *, part_size: int) -> str:
        """See `Store.begin`."""
        if not 1 <= part_size <= MAX_PART:
            raise GridViolation(f"part size {part_size}, expected 1 to {MAX_PART}")
        token = f"{check_key(key).replace('/', '+')}~{secrets.token_hex(16)}"
        partfile.make(self._system, self._uploads / token, part_size)
        return token

    def put_piece(self, upload: str, part: int, offset: int, data: bytes) -> None:
        """See `Store.put_piece`."""
        with self._opened(upload) as files:
            files.put_piece(part, offset, data)

    def read_pieces(self, upload: str, part: int, size: int) -> Iterator[bytes]:
        """See `Store.read_pieces`."""
        with self._opened(upload) as files:
            return files.read(part, size)

    def put_part(self, upload: str, part: int, chunks: Iterable[bytes], *, size: int, sha256: bytes | None) -> bytes:
        """See `Store.put_part`; the chunks are written as they come, one at a time."""
        with self._opened(upload) as files:
            return files.put_part(part, chunks, size=size, sha256=sha256)

    def fold(self, upload: str, part: int, *, size: int, sha256: bytes) -> None:
        """See `Store.fold`; the bytes stay where they are."""
        with self._opened(upload) as files:
            files.fold(part, size=size, sha256=sha256)

    def complete(self, upload: str, parts: Sequence[PartDigest]) -> ObjectInfo:
        """See `Store.complete`."""
        if not parts:
            raise GridViolation("no parts, expected at least one")
        key = _key_of(upload)
        record = _Record.of(parts)
        with self._guard(key):
            if not self._holds(key, record):
                with self._opened(upload) as files, files.writable(fcntl.LOCK_EX):
                    files.check(parts)
                    if self._size(key) is not None:
                        raise AlreadyExists(f"{key} holds something else")
                    files.trim(record.size)
                    self._note(key, record)
                    self._link(self._uploads / upload / "body", key)
            sync_directories(self._system, (self._objects / key).parent, self._objects)
            partfile.remove(self._system, self._uploads / upload)
            return self.stat(key)

    def abort(self, upload: str) -> None:
        """See `Store.abort`."""
        try:
            key = _key_of(upload)
        except UploadNotFound:
            return
        with self._guard(key):
            if self._size(key) is None:
                self._forget(key)
            partfile.remove(self._system, self._uploads / upload)

    def read(self, key: str, *, version: str = "", start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Store.read`."""
        size = self.stat(key, version=version).size
        wanted = size - start if length is None else length
        if start < 0 or wanted < 0 or start + wanted > size:
            raise Truncated(f"range {start} + {wanted} of {key}, expected inside {size} bytes")
        try:
            fd = self._system.attempt(os.open, self._objects / key, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise NotFound(f"no object {key}") from error
        reader = Reader(self._system, fd, start=start, length=wanted)
        held = self._system(os.fstat, fd).st_size
        if held < start + wanted:
            reader.close()
            raise Truncated(f"{key} has {held} bytes left, expected {size}")
        return reader

    def stat(self, key: str, *, version: str = "") -> ObjectInfo:
        """See `Store.stat`; the size is the one published, whatever the file has now."""
        held = None if version else self._file(key)
        if held is None:
            raise NotFound(f"no object {key}" + (f" version {version[:80]}" if version else ""))
        record = self._recorded(key) or _Record(held.st_size)
        written = datetime.fromtimestamp(held.st_mtime, UTC)
        return ObjectInfo(key=key, version="", size=record.size, locked_until=record.locked_until, written=written)

    def confirm(self, key: str, parts: Sequence[PartDigest], *, version: str = "") -> None:
        """See `Store.confirm`; the file's own size counts beside the record."""
        info, wanted = self.stat(key, version=version), _Record.of(parts)
        if not self._holds(key, wanted):
            held = f"{self._size(key)} bytes, published as {info.size} bytes"
            raise DigestMismatch(f"{key} has {held}, expected {wanted.size} bytes of parts {wanted.parts}")

    def lock(self, key: str, *, version: str = "", until: datetime) -> None:
        """See `Store.lock`."""
        if until.tzinfo is None:
            raise ValueError("time without a zone, expected an aware one")
        with self._guard(key):
            info = self.stat(key, version=version)
            if info.locked_until and until < info.locked_until:
                raise LockShortened(
                    f"{key} is locked until {info.locked_until}, expected no earlier than that: {until}"
                )
            self._note(key, replace(self._recorded(key) or _Record(info.size), locked_until=until.astimezone(UTC)))

    def delete(self, key: str, *, version: str = "", now: datetime) -> None:
        """See `Store.delete`."""
        with self._guard(key):
            if self._size(key) is None:
                self._forget(key)
            until = self.stat(key, version=version).locked_until
            if until and now < until:
                raise Locked(f"{key} is locked until {until}, now is {now}")
            self._system(os.unlink, self._objects / key)
            sync_directories(self._system, (self._objects / key).parent, (self._objects / key).parent)
            self._forget(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """See `Store.keys`."""
        yield from self._walk("", check_prefix(prefix))

    def uploads(self) -> Iterator[UploadInfo]:
        """See `Store.uploads`; an upload was begun when its directory last gained or lost a name."""
        for token in sorted(self._system(os.listdir, self._uploads)):
            with suppress(UploadNotFound, FileNotFoundError):
                key = _key_of(token)
                begun = self._system.attempt(os.stat, self._uploads / token).st_mtime
                yield UploadInfo(token=token, key=key, begun=datetime.fromtimestamp(begun, UTC))

    def ping(self) -> None:
        """See `Store.ping`."""
        with self._temporary(b"."):
            pass

    def sweep(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what crashes have left in `temp` from before an aware time; how many files it was, or would be."""
        removed = 0
        for name in self._system(os.listdir, self._temp):
            with suppress(FileNotFoundError):
                if self._system.attempt(os.stat, self._temp / name).st_mtime < before.timestamp():
                    if not dry_run:
                        self._system.attempt(os.unlink, self._temp / name)
                    removed += 1
        return removed

    @contextmanager
    def _guard(self, key: str) -> Iterator[None]:
        """Keep every other writer of this key, and of some others, away."""
        stripe = hashlib.sha256(check_key(key).encode()).hexdigest()[:2]
        fd = self._system(os.open, self._guards / stripe, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            self._system(fcntl.flock, fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def _opened(self, upload: str) -> Iterator[partfile.PartFile]:
        _key_of(upload)
        with partfile.opened(self._system, self._uploads / upload) as files:
            yield files

    @contextmanager
    def _temporary(self, data: bytes) -> Iterator[Path]:
        """A synced file with these bytes, removed afterwards if it still has this name."""
        path = self._temp / secrets.token_hex(16)
        try:
            create_durably(self._system, path, data)
            yield path
        finally:
            with suppress(StoreError, FileNotFoundError):
                self._system.attempt(os.unlink, path)

    def _link(self, path: Path, key: str) -> None:
        target = self._objects / key
        make_directories(self._system, target.parent, self._objects)
        self._system(os.link, path, target)

    def _size(self, key: str) -> int | None:
        """Bytes the object's file has; None if there is no object."""
        found = self._file(key)
        return None if found is None else found.st_size

    def _file(self, key: str) -> os.stat_result | None:
        """The object's file; None if there is no object."""
        try:
            found = self._system.attempt(os.lstat, self._objects / check_key(key))
        except (FileNotFoundError, NotADirectoryError):
            self._system(os.lstat, self._objects)  # an absent store must not look like an empty one
            return None
        return found if modes.S_ISREG(found.st_mode) else None

    def _has(self, key: str, data: bytes) -> bool:
        view, at = memoryview(data), 0
        if self.stat(key).size != len(data):
            return False
        for chunk in self.read(key):
            if chunk != view[at : at + len(chunk)]:
                return False
            at += len(chunk)
        return True

    def _holds(self, key: str, record: _Record) -> bool:
        known = self._recorded(key)
        size = self._size(key)
        return known is not None and (size, known.size, known.parts) == (record.size, record.size, record.parts)

    def _recorded(self, key: str) -> _Record | None:
        try:
            fd = self._system.attempt(os.open, self._records / key, os.O_RDONLY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return _Record.decode(self._system(os.read, fd, 4096))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreUnavailable(f"the record of {key} is damaged") from error
        finally:
            os.close(fd)

    def _note(self, key: str, record: _Record) -> None:
        target = self._records / key
        make_directories(self._system, target.parent, self._records)
        with self._temporary(record.encode()) as path:
            self._system(os.replace, path, target)
        sync_directories(self._system, target.parent, self._records)

    def _forget(self, key: str) -> None:
        """Remove the record of an object that is not there, so that a later one does not inherit it."""
        try:
            self._system.attempt(os.unlink, self._records / key)
        except (FileNotFoundError, NotADirectoryError):
            return
        sync_directories(self._system, (self._records / key).parent, (self._records / key).parent)

    def _walk(self, above: str, prefix: str) -> Iterator[str]:
        """Keys below a directory; names are ordered as the whole keys are, so `a-b` comes before `a/b`."""
        for name in self._names(above):
            key = above + name
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._walk(key, prefix)
            elif key.startswith(prefix):
                yield key

    def _names(self, above: str) -> list[str]:
        """Names in a directory of objects, those of directories with a slash, sorted."""
        names = []
        with suppress(FileNotFoundError):
            for name in self._system.attempt(os.listdir, self._objects / above):
                with suppress(FileNotFoundError):
                    found = self._system.attempt(os.lstat, self._objects / above / name)
                    names.append(f"{name}/" if modes.S_ISDIR(found.st_mode) else name)
        return sorted(names)


def _key_of(upload: str) -> str:
    match = _TOKEN.match(upload)
    if not match:
        raise UploadNotFound(f"no upload {upload[:80]!r}")
    return check_key(match[1].replace("+", "/"))
