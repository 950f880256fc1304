"""The age v1 header as text: version line, recipient stanzas, MAC line; read strictly, never beyond its end.

The header is the small, replaceable half of a sealed item; the body is the other (`custody.sealing.stream`).
This module knows spelling and shape and holds no key: what opens a header is in `custody.sealing.filekey`.
Reading is injective: `encode_header(h.stanzas, h.mac) == h.raw` for every header that is read at all.
Limits: 512 KiB and 256 stanzas; each stanza costs its reader a key agreement, so thousands would be an attack.

Source: age v1 format (c2sp.org/age), docs/spec/sealing.md.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from custody.errors import FormatError, UnsupportedError, VerificationError

MAX_HEADER = 512 * 1024
MAX_STANZAS = 256
X25519 = "x25519"
HYBRID = "mlkem768x25519"
FILE_KEY_SIZE = 16

_VERSION = b"age-encryption.org/v1\n"
_OTHER_VERSION = re.compile(rb"age-encryption\.org/v[0-9]+\n|-----BEGIN AGE ENCRYPTED FILE-----\r?\n")
_ARGUMENTS = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n")
_MAC_LINE = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
_MAC_LINE_LENGTH = 48
_COLUMNS = 64
_BYTES_PER_LINE = 48
_WRAPPED_SIZE = FILE_KEY_SIZE + 16
# Stanza type as spelled in the header: (its kind here, size of its one argument in bytes).
_SHAPES = {"X25519": (X25519, 32), "mlkem768x25519": (HYBRID, 1120)}


class HeaderMalformed(FormatError):
    """Not a header, not its one spelling, or beyond the limits."""

    code = "header-malformed"


class HeaderUnsupported(UnsupportedError):
    """An age file of another version, or in ASCII armour: not understood here, and not broken."""

    code = "header-unsupported"


class HeaderRefused(VerificationError):
    """A sound header, but not of the kind and number of stanzas that were announced."""

    code = "header-refused"


class Readable(Protocol):
    """A source of bytes; `readline` stops after at most `limit` bytes."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Up to `size` bytes."""

    def readline(self, limit: int | None = -1, /) -> bytes:
        """Up to the next line feed, itself included."""


@dataclass(frozen=True)
class Stanza:
    """One recipient's share of a header: type and arguments (printable ASCII), body (any bytes)."""

    arguments: tuple[str, ...]
    body: bytes

    @property
    def kind(self) -> str:
        """`mlkem768x25519`, `x25519`, or `other:` and the type as it stands: a type `x25519` is not that kind."""
        known = _SHAPES.get(self.arguments[0])
        return known[0] if known else f"other:{self.arguments[0]}"

    @property
    def share(self) -> bytes:
        """The key agreement's public half of a stanza of a known kind, whose shape was checked on reading."""
        return from_base64(self.arguments[1].encode())


@dataclass(frozen=True)
class Header:
    """A header as read: `raw` are its exact bytes, `mac` the 32 bytes nobody has checked yet."""

    raw: bytes
    stanzas: tuple[Stanza, ...]
    mac: bytes

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each stanza, in order."""
        return tuple(stanza.kind for stanza in self.stanzas)

    @property
    def authenticated(self) -> bytes:
        """The bytes that the MAC covers: all up to and including the three dashes."""
        return self.raw[: 3 - _MAC_LINE_LENGTH]


def to_base64(data: bytes) -> bytes:
    """RFC 4648 section 4 without padding, as age spells bytes."""
    return base64.b64encode(data).rstrip(b"=")


def from_base64(text: bytes) -> bytes:
    """Bytes of unpadded base64 in its only spelling.

    Raises:
        HeaderMalformed: Padding, foreign characters, or unused bits that are not zero.
    """
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise HeaderMalformed(f"{text[:80]!r} is not base64: {error}") from error
    if to_base64(data) != text:
        raise HeaderMalformed(f"{text[:80]!r} is not the canonical unpadded base64 of its bytes")
    return data


def encode_stanzas(stanzas: Iterable[Stanza]) -> bytes:
    """The part of a header that its MAC covers."""
    lines = [_VERSION]
    for stanza in stanzas:
        lines.append(f"-> {' '.join(stanza.arguments)}\n".encode())
        text = to_base64(stanza.body)
        lines += [text[start : start + _COLUMNS] + b"\n" for start in range(0, len(text) + 1, _COLUMNS)]
    lines.append(b"---")
    return b"".join(lines)


def encode_header(stanzas: Iterable[Stanza], mac: bytes) -> bytes:
    """The whole header."""
    return encode_stanzas(stanzas) + b" " + to_base64(mac) + b"\n"


def read_header(source: Readable | bytes) -> Header:
    """Read a header and leave the source at the first byte of the body.

    Given bytes, what follows the header is not looked at. The reader may conclude that the header is well-formed
    and that stanzas of known kinds have their exact sizes; neither that it is authentic nor that anyone can open it.

    Raises:
        HeaderMalformed: Not a header in its one spelling, no stanza, a passphrase stanza that is not alone, more
            than 256 stanzas, more than 512 KiB, or the source ends first.
        HeaderUnsupported: Another version of age, or ASCII armour.
    """
    lines = _Lines(io.BytesIO(source) if isinstance(source, bytes) else source)
    first = lines.next()
    if first != _VERSION:
        if _OTHER_VERSION.fullmatch(first):
            raise HeaderUnsupported(f"first line is {first!r}, expected {_VERSION!r}")
        raise HeaderMalformed(f"first line is {first[:80]!r}, expected {_VERSION!r}")
    stanzas: list[Stanza] = []
    while not (line := lines.next()).startswith(b"---"):
        if len(stanzas) == MAX_STANZAS:
            raise HeaderMalformed(f"more than {MAX_STANZAS} stanzas")
        stanzas.append(_read_stanza(line, lines))
    found = _MAC_LINE.fullmatch(line)
    if not found:
        raise HeaderMalformed(f"last line is {line[:80]!r}, expected three dashes, a space and 43 characters of base64")
    if not stanzas:
        raise HeaderMalformed("no stanza, expected at least one")
    if len(stanzas) > 1 and any(stanza.arguments[0] == "scrypt" for stanza in stanzas):
        raise HeaderMalformed("a passphrase stanza beside others, expected it alone")
    return Header(lines.taken(), tuple(stanzas), from_base64(found[1]))


def read_exact_header(header: bytes) -> Header:
    """Read a header that must be all there is.

    Raises:
        HeaderMalformed: As `read_header`, or bytes follow.
        HeaderUnsupported: As `read_header`.
    """
    result = read_header(header)
    if len(result.raw) != len(header):
        raise HeaderMalformed(f"{len(header) - len(result.raw)} bytes after the header, expected none")
    return result


def check_header(header: bytes, *, kind: str, count: int) -> None:
    """Check what can be checked without a key: exactly `count` stanzas, each exactly of `kind`, nothing else.

    A stanza of any other type (grease, a passphrase, a plugin) is refused: it could be a covert recipient.
    Says nothing about who the recipients are: a header does not name them.

    Raises:
        HeaderMalformed, HeaderUnsupported: As `read_exact_header`.
        HeaderRefused: Another kind or another number of stanzas.
    """
    kinds = read_exact_header(header).kinds
    if len(kinds) != count:
        raise HeaderRefused(f"{len(kinds)} stanzas, expected {count}")
    for place, found in enumerate(kinds):
        if found != kind:
            raise HeaderRefused(f"stanza {place} is of kind {found[:40]!r}, expected {kind}")


class _Lines:
    """Lines of a source up to the size limit, and all the bytes taken so far."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._lines: list[bytes] = []
        self._left = MAX_HEADER

    def next(self) -> bytes:
        line = self._source.readline(self._left)
        if not line.endswith(b"\n"):
            limit = f"after {MAX_HEADER} bytes" if len(line) == self._left else "where the source ends"
            raise HeaderMalformed(f"no end of the header {limit}")
        self._left -= len(line)
        self._lines.append(line)
        return line

    def taken(self) -> bytes:
        return b"".join(self._lines)


def _read_stanza(line: bytes, lines: _Lines) -> Stanza:
    found = _ARGUMENTS.fullmatch(line)
    if not found:
        raise HeaderMalformed(
            f"{line[:80]!r} begins no stanza: expected ->, then printable arguments, one space before each"
        )
    parts: list[bytes] = []
    while not parts or len(parts[-1]) == _BYTES_PER_LINE:
        text = lines.next()[:-1]
        if len(text) > _COLUMNS:
            raise HeaderMalformed(f"a line of {len(text)} characters in a stanza, expected at most {_COLUMNS}")
        parts.append(from_base64(text))
    stanza = Stanza(tuple(found[1].decode("ascii").split(" ")), b"".join(parts))
    _check_shape(stanza)
    return stanza


def _check_shape(stanza: Stanza) -> None:
    known = _SHAPES.get(stanza.arguments[0])
    if not known:
        return
    if len(stanza.arguments) != 2:
        raise HeaderMalformed(f"{len(stanza.arguments) - 1} arguments in a stanza of {known[0]}, expected 1")
    if len(stanza.share) != known[1]:
        raise HeaderMalformed(f"a share of {len(stanza.share)} bytes in a stanza of {known[0]}, expected {known[1]}")
    if len(stanza.body) != _WRAPPED_SIZE:
        raise HeaderMalformed(f"a wrapped key of {len(stanza.body)} bytes, expected {_WRAPPED_SIZE}")
