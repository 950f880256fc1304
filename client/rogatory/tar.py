"""Deterministic pax archives: the same members give the same bytes, on any machine, and their size is known beforehand.

Members are files, directories and symbolic links in ascending order of raw path bytes. Owners, modes and device
numbers are constants: they are not evidence that an archive could carry faithfully. Extended headers hold the records
`path`, `linkpath`, `size`, `mtime` and no others, and only where the plain field cannot; no GNU types. Any tar reads
them.

Source: POSIX.1-2017, pax, *ustar Interchange Format* and *pax Extended Header*.
"""

from collections.abc import Iterable
from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)
_FIELD = 100
_MOST_OCTAL = 8**11 - 1
_SECOND = 1_000_000_000
_TYPES = {"file": b"0", "symlink": b"2", "directory": b"5"}
_MODES = {"file": 0o644, "symlink": 0o777, "directory": 0o755}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        path: Raw bytes, relative, without a slash at the end.
        type: `file`, `directory` or `symlink`.
        size: Bytes of content; 0 for all but files.
        mtime_ns: Nanoseconds since 1970.
        target: A link's target.
    """

    path: bytes
    type: str
    size: int = 0
    mtime_ns: int = 0
    target: bytes = b""


def header(member: Member) -> bytes:
    """Everything of a member before its content: whole blocks."""
    name = member.path + (b"/" if member.type == "directory" else b"")
    records = []
    if member.type == "symlink" and not _fits(member.target):
        records.append(_record(b"linkpath", member.target))
    seconds, rest = divmod(member.mtime_ns, _SECOND)
    if rest or not 0 <= seconds <= _MOST_OCTAL:
        records.append(_record(b"mtime", _decimal(member.mtime_ns)))
    if not _fits(name):
        records.append(_record(b"path", name))
    if member.size > _MOST_OCTAL:
        records.append(_record(b"size", b"%d" % member.size))
    extended = b"".join(records)
    before = b""
    if extended:
        before = _ustar(b"pax-header", b"x", size=len(extended)) + extended + padding(len(extended))
    return before + _ustar(
        name,
        _TYPES[member.type],
        size=min(member.size, _MOST_OCTAL) if member.size <= _MOST_OCTAL else 0,
        mtime=min(max(seconds, 0), _MOST_OCTAL),
        mode=_MODES[member.type],
        link=member.target,
    )


def padding(size: int) -> bytes:
    """Zeros that fill the last block of so many bytes."""
    return bytes(-size % BLOCK)


def total_size(members: Iterable[Member]) -> int:
    """Bytes of the archive of these members."""
    return sum(len(header(member)) + member.size + -member.size % BLOCK for member in members) + len(END)


def _fits(name: bytes) -> bool:
    return len(name) <= _FIELD and name.isascii()


def _record(key: bytes, value: bytes) -> bytes:
    """A record counts its own length, the digits of that length included."""
    body = b" %b=%b\n" % (key, value)
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d%b" % (length, body)


def _decimal(nanoseconds: int) -> bytes:
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    sign = b"-" if nanoseconds < 0 else b""
    return b"%b%d.%09d" % (sign, seconds, rest) if rest else b"%b%d" % (sign, seconds)


def _ustar(name: bytes, kind: bytes, *, size: int, mtime: int = 0, mode: int = 0o644, link: bytes = b"") -> bytes:
    fields = [
        name[:_FIELD].ljust(_FIELD, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        b" " * 8,
        kind,
        link[:_FIELD].ljust(_FIELD, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        bytes(167),
    ]
    block = b"".join(fields)
    checksum = b"%06o\0 " % sum(block)
    return block[:148] + checksum + block[156:]
