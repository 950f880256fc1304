"""The two containers of a bundle: a ZIP of one narrow profile, or a directory with the same files.

General ZIP readers guess: they search for the end, believe one of two headers, skip what they do not know.
Each guess is a place to hide a second reading of the same file. Here the archive is tiled: local headers and
data from byte 0, the central directory right after them, its end right after that; both headers of a file must
be the very bytes that `write_archive` would write. Nothing is ever extracted by its name.

Methods: 0 (stored) and 8 (deflate). No ZIP64, so at most 65,534 files and less than 4 GiB; what is larger travels as
a directory. Specification: docs/spec/bundle.md, section "Container".
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from custody.errors import FormatError

MAX_FILES: Final = 100_000
MAX_RATIO: Final = 200
MAX_NAME: Final = 255
MAX_TOTAL: Final = 2**32
"""Bytes of all files together, in either container. A verifier holds about six times the chains it reads in memory."""
MAX_INFLATION: Final = 8
"""Deflated files may together be this many times the archive; entries and their hashes deflate to a quarter or so."""
FREE_INFLATION: Final = 24 * 1024 * 1024
"""… or this many bytes, whatever the archive's size: a small file must not take much memory to refuse."""
_MAX_ZIP_FILES: Final = 65_534
_MAX_ZIP: Final = 2**32 - 2
_STORED, _DEFLATED = 0, 8
_VERSION = 20
_DATE = 0x0021
"""1980-01-01, the first day a ZIP can name: times of files are no evidence, so none are told."""
_COMMON = struct.Struct("<HHHHHIIIHH")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*)*\Z")
_CHUNK = 1024 * 1024

Source = Callable[[], Iterable[bytes]]
"""Gives a file's bytes in pieces, the same each time it is called."""


class ArchiveMalformed(FormatError):
    """Not a ZIP of the profile, or a directory with something in it that is no plain file of a bundle."""

    code = "archive-malformed"


class ArchiveTooLarge(FormatError):
    """More files or bytes than the container holds; a directory, or several bundles, can."""

    code = "archive-too-large"


class Archive(Protocol):
    """Files by name; the names are checked, the contents are whatever stands there."""

    @property
    def names(self) -> Sequence[str]:
        """Sorted."""

    @property
    def damaged(self) -> AbstractSet[str]:
        """Files read so far that the container itself knows to be damaged."""

    def size(self, name: str) -> int:
        """Size of a file in bytes, as the container states it."""

    def read(self, name: str) -> bytes:
        """A file's bytes; raises ArchiveMalformed if they are not there as stated."""

    def close(self) -> None:
        """Let go of the file."""


def open_archive(path: Path) -> Archive:
    """The files in a ZIP of the profile or in a directory.

    Raises:
        ArchiveMalformed: Anything else.
        OSError: The path cannot be read.
    """
    return DirectoryArchive(path) if path.is_dir() else ZipArchive(path)


def check_name(name: str) -> str:
    """The name of a file of a bundle, unchanged.

    Raises:
        ArchiveMalformed: Other characters than `a-z0-9._-` between single slashes, a segment that begins with a dot,
            or more than 255 characters.
    """
    if len(name) > MAX_NAME or not _NAME.match(name):
        raise ArchiveMalformed(f"file name {name[:80]!r}, expected a-z 0-9 . _ - in segments that begin with no dot")
    return name


@dataclass(frozen=True, slots=True)
class _Member:
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    def common(self, name: bytes) -> bytes:
        """What both headers of the file say."""
        return _COMMON.pack(_VERSION, 0, self.method, 0, _DATE, self.crc, self.packed, self.size, len(name), 0)

    def local(self, name: bytes) -> bytes:
        return _LOCAL_MAGIC + self.common(name) + name

    def central(self, name: bytes) -> bytes:
        return b"".join(
            (
                _CENTRAL_MAGIC,
                struct.pack("<H", _VERSION),
                self.common(name),
                struct.pack("<HHHII", 0, 0, 0, 0, self.offset),
                name,
            )
        )


def write_archive(target: BinaryIO, files: Iterable[tuple[str, Source]], *, compress: bool = False) -> None:
    """Write a ZIP of the profile; the same files give the same bytes (compressed: with the same zlib).

    Stored files are the default: every bit of such an archive matters, while a deflated file can be spelled in several
    ways. Each source is read twice; nothing is held in memory but one piece (compressed: one file).

    Raises:
        ArchiveTooLarge: More than 65,534 files or 4 GiB.
        ArchiveMalformed: A name outside the profile, or one twice.
    """
    members: dict[str, _Member] = {}
    offset = 0
    for name, source in files:
        if check_name(name) in members:
            raise ArchiveMalformed(f"file {name!r} twice")
        member, packed = _pack(source, offset, compress=compress)
        members[name] = member
        header = member.local(name.encode())
        offset += len(header) + member.packed
        if offset > _MAX_ZIP or len(members) > _MAX_ZIP_FILES:
            raise ArchiveTooLarge(f"{len(members)} files, {offset} bytes: more than a ZIP without extensions holds")
        target.write(header)
        target.writelines(packed())
    directory = b"".join(member.central(name.encode()) for name, member in members.items())
    if offset + len(directory) > _MAX_ZIP:
        raise ArchiveTooLarge(f"{offset + len(directory)} bytes: more than a ZIP without extensions holds")
    target.write(directory)
    target.write(_end(len(members), len(directory), offset))


def _end(count: int, size: int, offset: int) -> bytes:
    return _END.pack(_END_MAGIC, 0, 0, count, count, size, offset, 0)


def _pack(source: Source, offset: int, *, compress: bool) -> tuple[_Member, Source]:
    crc = size = 0
    for piece in source():
        crc, size = zlib.crc32(piece, crc), size + len(piece)
    if compress:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = b"".join([*(packer.compress(piece) for piece in source()), packer.flush()])
        if len(packed) < size <= MAX_RATIO * len(packed):
            return _Member(_DEFLATED, crc, len(packed), size, offset), lambda: (packed,)
    return _Member(_STORED, crc, size, size, offset), source


class ZipArchive:
    """A ZIP of the profile, read by place: names and sizes are known, contents are read on demand.

    A wrong CRC-32 is no error here: it says less than the packing list, which names the file (`damaged` does too).
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self._members = dict(self._scan(self._file.seek(0, os.SEEK_END)))
        except BaseException:
            self._file.close()
            raise
        self.names = sorted(self._members)
        self.damaged: set[str] = set()
        """Files read so far whose CRC-32 is not the stated one."""

    def close(self) -> None:
        self._file.close()

    def size(self, name: str) -> int:
        return self._members[name].size

    def read(self, name: str) -> bytes:
        member = self._members[name]
        packed = self._at(member.offset + _LOCAL.size + len(name), member.packed)
        data = packed if member.method == _STORED else _inflate(packed, member.size, name)
        if zlib.crc32(data) != member.crc:
            self.damaged.add(name)
        return data

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise ArchiveMalformed(f"archive ends inside {size} bytes at {offset}")
        return data

    def _scan(self, length: int) -> Iterator[tuple[str, _Member]]:
        if not _END.size <= length <= _MAX_ZIP + _END.size:
            raise ArchiveMalformed(f"{length} bytes, expected a ZIP of the profile or a directory")
        end = self._at(length - _END.size, _END.size)
        _, _, _, count, _, size, start, _ = _END.unpack(end)
        if end != _end(count, size, start) or start + size + _END.size != length or count > _MAX_ZIP_FILES:
            raise ArchiveMalformed("the last 22 bytes are no end of a ZIP that fills the file without comment or gap")
        directory = self._at(start, size)
        place = expected = inflated = 0
        seen: set[str] = set()
        for _ in range(count):
            name, member, place = _central(directory, place)
            if member.offset != expected or name in seen:
                raise ArchiveMalformed(f"file {name!r} stands twice, or at {member.offset}, expected {expected}")
            seen.add(name)
            header = member.local(name.encode())
            if self._at(expected, len(header)) != header:
                raise ArchiveMalformed(f"local header of {name!r} at {expected} differs from the central directory")
            expected += len(header) + member.packed
            inflated += member.size if member.method == _DEFLATED else 0
            if inflated > max(FREE_INFLATION, MAX_INFLATION * length):
                raise ArchiveMalformed(f"{length} bytes of archive inflate to {inflated} or more")
            yield name, member
        if place != size or expected != start:
            raise ArchiveMalformed("the central directory does not fill its place, or files do not reach up to it")


def _central(directory: bytes, place: int) -> tuple[str, _Member, int]:
    try:
        fields = _CENTRAL.unpack_from(directory, place)
    except struct.error as error:
        raise ArchiveMalformed(f"the central directory ends inside a header at {place}") from error
    method, crc, packed, size, name_size, offset = (fields[index] for index in (4, 7, 8, 9, 10, 16))
    end = place + _CENTRAL.size + name_size
    raw = directory[place + _CENTRAL.size : end]
    name = check_name(raw.decode("ascii", "replace"))
    member = _Member(method, crc, packed, size, offset)
    if directory[place:end] != member.central(raw):
        raise ArchiveMalformed(f"central header of {name!r} has other fields than the profile's")
    if method not in (_STORED, _DEFLATED) or (method == _STORED and packed != size) or size > MAX_RATIO * packed:
        raise ArchiveMalformed(
            f"{name!r}: method {method}, {size} bytes in {packed}, expected stored, or deflated to 1/200 at least"
        )
    return name, member, end


def _inflate(packed: bytes, size: int, name: str) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        data = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise ArchiveMalformed(f"{name!r} does not inflate: {error}") from error
    if len(data) != size or not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise ArchiveMalformed(f"{name!r} does not inflate to exactly its {size} bytes")
    return data


class DirectoryArchive:
    """A directory with the files of a bundle: plain files only, no links, nothing else."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self._sizes = dict(self._scan("", 0))
        if sum(self._sizes.values()) > MAX_TOTAL:
            raise ArchiveMalformed(f"{sum(self._sizes.values())} bytes of files, expected at most {MAX_TOTAL}")
        self.names = sorted(self._sizes)
        self.damaged: set[str] = set()

    def close(self) -> None:
        """Nothing is held open."""

    def size(self, name: str) -> int:
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._root / check_name(name), flags), "rb") as file:
            data = file.read(self._sizes[name] + 1)
        if len(data) != self._sizes[name]:
            raise ArchiveMalformed(f"{name!r} changed its size while it was read")
        return data

    def _scan(self, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
        if depth > 3:  # registry/<authority>/<file> is the deepest
            raise ArchiveMalformed(f"directory {prefix!r} is deeper than a bundle's")
        with os.scandir(self._root / prefix) as found:
            for number, item in enumerate(found):
                name = check_name(prefix + item.name)
                if number > MAX_FILES:
                    raise ArchiveMalformed(f"more than {MAX_FILES} files")
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    yield from self._scan(name + "/", depth + 1)
                elif stat.S_ISREG(status.st_mode):
                    yield name, status.st_size
                else:
                    raise ArchiveMalformed(f"{name!r} is neither a plain file nor a directory")
