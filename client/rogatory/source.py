# ruff: noqa: PTH115, PTH116 - names are bytes here, which pathlib does not take
"""What is sent: one source for each path given, read once from beginning to end, its size known before.

A regular file or block device is its own plaintext. A folder, or the segments of one image (.E01, .E02 …), is one pax
archive; folders are walked without following links. Every file is checked to be the same before and after it was read:
what was hashed is what was there. Digests are taken while reading.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from custody.digest import Digester, Digests
from custody.inventory import Line
from custody.text import to_time
from rogatory import ewf, tar
from rogatory.errors import NotFound, Refused, UsageProblem
from rogatory.names import shown

_PIECE = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


class SourceMissing(NotFound):
    """A path given does not exist."""

    code = "source-missing"


class SourceChanged(Refused):
    """A file is no longer what it was when the send began."""

    code = "source-changed"


class SourceUnreadable(Refused):
    """A file cannot be read."""

    code = "source-unreadable"


class SourceUnsendable(UsageProblem):
    """Not something that can be sent: a pipe, a socket, standard input, two sources of one name."""

    code = "source-unsendable"


class Source(Protocol):
    """One plaintext.

    Attributes:
        name: What the receiver's inventory calls it, raw bytes.
        size: Bytes of plaintext.
        tops: First parts of all its paths in the inventory.
    """

    name: bytes
    size: int
    tops: frozenset[bytes]

    def pieces(self) -> Iterator[bytes]:
        """The plaintext in pieces of at most 1 MiB; may be called again to read anew.

        Raises:
            SourceChanged, SourceUnreadable: A file changed meanwhile, or cannot be read; its name is given.
        """

    def lines(self, item: str) -> list[Line]:
        """The inventory's lines, after `pieces` was exhausted, in ascending order of path."""

    def source_digests(self) -> list[dict[str, Any]]:
        """Digests of the medium that the source itself states, for the inventory's acquisition facts."""


@dataclass(frozen=True, slots=True)
class _Print:
    """What tells a file from a changed one without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Print":
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class FileSource:
    """A regular file or a block device as its own plaintext."""

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self.name = os.fsencode(path.name) or b"root"
        self.tops = frozenset({self.name})
        self._print = _Print.of(path.stat())
        self._device = stat.S_ISBLK(path.stat().st_mode)
        self.size = _device_size(path) if self._device else self._print.size
        self._digests: Digests | None = None

    def pieces(self) -> Iterator[bytes]:
        digester = Digester()
        for piece in _read(self._path, None if self._device else self._print, self.size, follow=True):
            digester.update(piece)
            yield piece
        self._digests = digester.finish()

    def lines(self, item: str) -> list[Line]:
        assert self._digests is not None
        kind = "device" if self._device else "file"
        mtime = None if self._device else time_text(self._print.mtime_ns)
        return [_line(self.name, kind, self._digests, [(item, 0, self.size)], mtime)]

    def source_digests(self) -> list[dict[str, Any]]:
        return [] if self._device else _stored([Path(os.fsdecode(self._path))])


class TarSource:
    """Several files as one archive.

    Args:
        name: Of the source.
        members: With the path on disk of each, in ascending order of raw path bytes, none twice.
        segments: Files of an image, whose stored digests are to be read.
    """

    def __init__(
        self, name: bytes, members: Sequence[tuple[tar.Member, bytes, _Print]], segments: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.tops = frozenset(member.path.partition(b"/")[0] for member, _, _ in members)
        self._members, self._segments = members, segments
        self.size = tar.total_size(member for member, _, _ in members)
        self._read: list[tuple[int, Digests]] = []

    def pieces(self) -> Iterator[bytes]:
        self._read, place = [], 0
        held: list[bytes] = []
        for member, path, fingerprint in self._members:
            head = tar.header(member)
            held.append(head)
            place += len(head)
            if member.type == "file":
                digester = Digester()
                for piece in _read(path, fingerprint, member.size, follow=False):
                    digester.update(piece)
                    held.append(piece)
                    if sum(map(len, held)) >= _PIECE:
                        yield b"".join(held)
                        held.clear()
                self._read.append((place, digester.finish()))
                held.append(tar.padding(member.size))
                place += member.size + -member.size % tar.BLOCK
            elif member.type == "symlink":
                _check_still(path, fingerprint, member)
            if len(held) > 256:
                yield b"".join(held)
                held.clear()
        for member, path, fingerprint in self._members:  # last, so that a changed file is named before its folder
            if member.type == "directory":
                _check_still(path, fingerprint, member)
        yield b"".join([*held, tar.END])

    def lines(self, item: str) -> list[Line]:
        read = iter(self._read)
        found = []
        for member, _, _ in self._members:
            mtime = time_text(member.mtime_ns)
            if member.type == "file":
                place, digests = next(read)
                found.append(_line(member.path, "file", digests, [(item, place, member.size)], mtime))
            else:
                target = member.target if member.type == "symlink" else None
                found.append(Line(path=member.path, type=member.type, target=target, mtime=mtime))
        return found

    def source_digests(self) -> list[dict[str, Any]]:
        return _stored(self._segments)


def sources(paths: Sequence[Path]) -> list[Source]:
    """One source for each path; the segments of one image, named singly or by the first, are one.

    Raises:
        SourceMissing: A path does not exist.
        SourceUnsendable: A path is no file, folder or block device, or two have one name.
    """
    found: list[Source] = []
    taken: set[str] = set()
    for path in paths:
        family = ewf.segment_family(path)
        if family is not None:
            if family in taken:
                continue
            taken.add(family)
        found.append(_source(path))
    names: set[bytes] = set()
    for source in found:
        for name in sorted(source.tops & names):
            raise SourceUnsendable(f"two sources are called {shown(name)!r}", hint="send them in two packages")
        names |= source.tops
    return found


def time_text(nanoseconds: int) -> str | None:
    """A file's time as formats spell it; None for years they cannot."""
    try:
        return to_time(_EPOCH + timedelta(microseconds=nanoseconds // 1000))
    except OverflowError:
        return None


def _source(path: Path) -> Source:
    if str(path) == "-":
        raise SourceUnsendable(
            "standard input cannot be sent: its size is not known and it cannot be read again",
            hint="write it to a file first, then send the file",
        )
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise SourceMissing(f"{shown(os.fsencode(path))} does not exist") from error
    except OSError as error:
        raise SourceUnreadable(f"{shown(os.fsencode(path))} cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        return _folder(path)
    if stat.S_ISREG(mode):
        first = _first_segment(path)
        segments = ewf.segments_of(first)
        return _segment_set(segments) if len(segments) > 1 else FileSource(path)
    if stat.S_ISBLK(mode):
        return FileSource(path)
    raise SourceUnsendable(f"{shown(os.fsencode(path))} is no file, folder or block device")


def _first_segment(path: Path) -> Path:
    """The .E01 beside a later segment, if there is one."""
    if ewf.segment_family(path) is None:
        return path
    first = path.with_suffix(f".{path.suffix[1]}01")
    return first if first.exists() else path


def _segment_set(segments: Sequence[Path]) -> TarSource:
    members = []
    for path in segments:
        status = path.stat()
        member = tar.Member(os.fsencode(path.name), "file", status.st_size, status.st_mtime_ns)
        members.append((member, os.fsencode(path), _Print.of(status)))
    members.sort(key=lambda row: row[0].path)
    return TarSource(os.fsencode(segments[0].name), members, segments)


def _folder(path: Path) -> TarSource:
    name = os.fsencode(path.resolve().name) or b"root"
    root = os.fsencode(path.resolve())
    members = [(tar.Member(name, "directory", 0, path.stat().st_mtime_ns), root, _Print.of(path.stat()))]
    members += _walk(root, name)
    members.sort(key=lambda row: row[0].path)
    return TarSource(name, members)


def _walk(root: bytes, name: bytes) -> Iterator[tuple[tar.Member, bytes, _Print]]:
    pending = [(root, name)]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as listing:
                for entry in listing:
                    member, fingerprint = _member(entry, prefix + b"/" + entry.name)
                    if member.type == "directory":
                        pending.append((entry.path, member.path))
                    yield member, entry.path, fingerprint
        except OSError as error:
            raise SourceUnreadable(f"{shown(folder)} cannot be read: {error.strerror}") from error


def _member(entry: "os.DirEntry[bytes]", path: bytes) -> tuple[tar.Member, _Print]:
    status = entry.stat(follow_symlinks=False)
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return tar.Member(path, "file", status.st_size, status.st_mtime_ns), _Print.of(status)
    if stat.S_ISDIR(mode):
        return tar.Member(path, "directory", 0, status.st_mtime_ns), _Print.of(status)
    if stat.S_ISLNK(mode):
        return tar.Member(path, "symlink", 0, status.st_mtime_ns, os.readlink(entry.path)), _Print.of(status)
    raise SourceUnsendable(
        f"{shown(entry.path)} is a pipe, socket or device inside a folder, which no archive can carry as evidence",
        hint="send an image of the medium, or a copy of the folder without it",
    )


def _read(path: bytes, expected: _Print | None, size: int, *, follow: bool) -> Iterator[bytes]:
    """The bytes of a file, checked to be the file that was listed, before and after."""
    try:
        handle = os.open(path, _OPEN | (0 if follow else _NO_LINKS))
    except OSError as error:
        if expected is not None and isinstance(error, FileNotFoundError):
            raise SourceChanged(f"{shown(path)} was removed during the send") from error
        raise SourceUnreadable(f"{shown(path)} cannot be read: {error.strerror}") from error
    try:
        _check_print(path, expected, os.fstat(handle))
        left = size
        while left:
            piece = _read_piece(path, handle, min(left, _PIECE))
            if not piece:
                raise SourceChanged(f"{shown(path)} became shorter during the send: {left} bytes are missing")
            left -= len(piece)
            yield piece
        _check_print(path, expected, os.fstat(handle))
        if expected is not None:
            _check_print(path, expected, os.stat(path, follow_symlinks=follow))
    except FileNotFoundError as error:
        raise SourceChanged(f"{shown(path)} was removed during the send") from error
    finally:
        os.close(handle)


def _read_piece(path: bytes, handle: int, size: int) -> bytes:
    try:
        return os.read(handle, size)
    except OSError as error:
        raise SourceUnreadable(f"{shown(path)} cannot be read: {error.strerror}") from error


def _check_print(path: bytes, expected: _Print | None, status: os.stat_result) -> None:
    if expected is not None and _Print.of(status) != expected:
        raise SourceChanged(
            f"{shown(path)} changed during the send: size {expected.size}, now {status.st_size}, "
            f"or another modification time or file",
            hint="make sure that nothing writes there, then begin a new package",
        )


def _check_still(path: bytes, expected: _Print, member: tar.Member) -> None:
    try:
        status = os.stat(path, follow_symlinks=False)
        target = os.readlink(path) if member.type == "symlink" else b""
    except OSError as error:
        raise SourceChanged(f"{shown(path)} was removed during the send") from error
    found = _Print.of(status)
    same = (found.inode, found.mtime_ns) == (expected.inode, expected.mtime_ns)
    if not same or (member.type == "symlink" and target != member.target):
        what = "has other files than when the send began" if member.type == "directory" else "changed during the send"
        raise SourceChanged(f"{shown(path)} {what}")


def _line(path: bytes, kind: str, digests: Digests, extents: list[tuple[str, int, int]], mtime: str | None) -> Line:
    return Line(
        path=path,
        type=kind,
        size=digests.size,
        sha256=digests.sha256,
        blake3=digests.blake3,
        extents=extents,
        mtime=mtime,
    )


def _device_size(path: Path) -> int:
    try:
        with path.open("rb", buffering=0) as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _stored(segments: Iterable[Path]) -> list[dict[str, Any]]:
    listed = [path for path in segments if ewf.is_ewf(path)]
    return [
        {
            "algorithm": digest.algorithm,
            "value": digest.value,
            "how": "read",
            "source": shown(os.fsencode(listed[0].name)),
        }
        for digest in ewf.stored_digests(listed)
    ]
