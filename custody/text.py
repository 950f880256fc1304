"""The three spellings of bytes and time at the edges: lower-case hex, strict base64, UTC to the microsecond.

Common decoders are lenient (white space, missing padding, stray bits, upper case); each of those would be
a second spelling of the same value. Everything here re-encodes and compares.
"""

import base64
import binascii
import re
from datetime import UTC, datetime

from custody.errors import FormatError

_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z\Z", re.ASCII)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class TextMalformed(FormatError):
    """Not the one spelling of bytes or of a time."""

    code = "text-malformed"


def from_hex(text: str, size: int | None = None) -> bytes:
    """Bytes of lower-case hex; `size` in bytes when it is fixed.

    Raises:
        TextMalformed: Not hex, upper case, or of another size.
    """
    if not _HEX.match(text):
        raise TextMalformed(f"{text[:80]!r} is not lower-case hex")
    data = bytes.fromhex(text)
    if size is not None and len(data) != size:
        raise TextMalformed(f"{len(data)} bytes in hex, expected {size}")
    return data


def to_base64(data: bytes) -> str:
    """RFC 4648 section 4, padded."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, size: int | None = None) -> bytes:
    """Bytes of padded standard base64 in its only spelling; `size` in bytes when it is fixed.

    Raises:
        TextMalformed: Not base64, not its only spelling, or of another size.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TextMalformed(f"{text[:80]!r} is not base64: {error}") from error
    if to_base64(data) != text:
        raise TextMalformed(f"{text[:80]!r} is not the canonical base64 of its bytes")
    if size is not None and len(data) != size:
        raise TextMalformed(f"{len(data)} bytes in base64, expected {size}")
    return data


def to_time(at: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ` of an aware time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def from_time(text: str) -> datetime:
    """The aware UTC time of its only spelling.

    Raises:
        TextMalformed: Another spelling, or no instant of the calendar.
    """
    if not _TIME.match(text):
        raise TextMalformed(f"{text[:40]!r} is not a time YYYY-MM-DDTHH:MM:SS.ffffffZ")
    try:
        return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise TextMalformed(f"{text!r} is not a time: {error}") from error
