"""As much of DER as it takes to look into a time stamp: tag, length, content; nothing is converted.

Definite lengths in their shortest form and tags below 31, which is all that X.509 and CMS use. Source: X.690 sections
8.1 and 10.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from custody.errors import FormatError

INTEGER: Final = 0x02
OCTETS: Final = 0x04
OBJECT_ID: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31


class DerMalformed(FormatError):
    """Bytes that are not the DER that was expected."""

    code = "der-malformed"


class Element(NamedTuple):
    """One element: its tag octet, its content, and all of its bytes."""

    tag: int
    content: bytes
    data: bytes


def read(data: bytes, tag: int) -> Element:
    """The one element that `data` is.

    Raises:
        DerMalformed: It is none, has another tag, or something follows.
    """
    found, end = _element(data, 0)
    if end != len(data):
        raise DerMalformed(f"{len(data) - end} bytes after an element of {end}")
    if found.tag != tag:
        raise DerMalformed(f"tag {found.tag:#04x}, expected {tag:#04x}")
    return found


def children(element: Element) -> list[Element]:
    """The elements that a constructed element holds.

    Raises:
        DerMalformed: Its content is no row of elements.
    """
    found, at = [], 0
    while at < len(element.content):
        child, at = _element(element.content, at)
        found.append(child)
    return found


def within(parent: Element, place: int, tag: int) -> Element:
    """The child at a place, which must have that tag.

    Raises:
        DerMalformed: There is none, or it is another.
    """
    row = children(parent)
    if place >= len(row) or row[place].tag != tag:
        found = f"tag {row[place].tag:#04x}" if place < len(row) else "nothing"
        raise DerMalformed(f"{found} at place {place}, expected tag {tag:#04x}")
    return row[place]


def build(tag: int, parts: Sequence[bytes]) -> bytes:
    """An element of that tag around the parts."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _element(data: bytes, at: int) -> tuple[Element, int]:
    start = at
    if len(data) < at + 2:
        raise DerMalformed(f"element cut off at byte {at}")
    tag, size = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise DerMalformed(f"long tag at byte {at}")
    at += 2
    if size >= 0x80:
        count = size & 0x7F
        octets = data[at : at + count]
        size, at = int.from_bytes(octets, "big"), at + count
        if size < 0x80 or octets[0] == 0:
            raise DerMalformed(f"length at byte {start + 1} is not in its shortest form")
    if len(data) < at + size:
        raise DerMalformed(f"element at byte {start} says {size} bytes, {len(data) - at} are left")
    return Element(tag, data[at : at + size], data[start : at + size]), at + size
