"""The digests that an acquisition tool stored inside an EWF-E01 image, read and not recomputed.

An EWF segment file is a signature and a list of sections; a descriptor of 76 bytes says each one's type, place of the
next, size and an Adler-32 of itself. The sections `hash` (MD5) and `digest` (MD5, SHA-1) stand in the last segment.
Nothing is decompressed; every offset is held to the file's bounds and must ascend, so hostile files end the walk.
What is found is somebody's claim about the medium: it goes into the inventory as *read*.

Source: the Expert Witness Compression Format as documented by libewf's authors.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"EVF\x09\x0d\x0a\xff\x00"
_FILE_HEADER = 13
_DESCRIPTOR = struct.Struct("<16sQQ40sI")
_MOST_SECTIONS = 1_000_000
_HASH_SIZE, _DIGEST_SIZE = 36, 80
_SEGMENT = re.compile(r"\.[EeLlSs](?:[0-9]{2}|[A-Za-z]{2})\Z")


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """A digest of the acquired medium as the image states it."""

    algorithm: str
    value: str


def is_ewf(path: Path) -> bool:
    """Whether a file begins as an EWF-E01 segment does."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def stored_digests(segments: Iterable[Path]) -> list[StoredDigest]:
    """The digests stored in an image's segments, sorted, each once; none where a file is not EWF or is damaged."""
    found: dict[tuple[str, str], None] = {}
    for path in segments:
        with path.open("rb") as file:
            for digest in read_segment(file, path.stat().st_size):
                found[digest.algorithm, digest.value] = None
    return [StoredDigest(*key) for key in sorted(found)]


def read_segment(file: BinaryIO, size: int) -> Sequence[StoredDigest]:
    """The digests of one segment file of `size` bytes; stops at whatever is not as it must be."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return []
    found: list[StoredDigest] = []
    place = _FILE_HEADER
    for _ in range(_MOST_SECTIONS):
        if place + _DESCRIPTOR.size > size:
            break
        file.seek(place)
        raw = file.read(_DESCRIPTOR.size)
        if len(raw) != _DESCRIPTOR.size:
            break
        kind, following, length, _, checksum = _DESCRIPTOR.unpack(raw)
        if zlib.adler32(raw[:-4]) != checksum:
            break
        name = kind.rstrip(b"\0")
        if name in (b"hash", b"digest") and length <= size - place:
            found += _read_digests(name, file.read(_HASH_SIZE if name == b"hash" else _DIGEST_SIZE))
        if following <= place:
            break
        place = following
    return found


def segment_family(path: Path) -> str | None:
    """What all segments of an image have in common: the path without its extension; None for other files."""
    return str(path)[: -len(path.suffix)] if _SEGMENT.search(path.name) else None


def segments_of(first: Path) -> list[Path]:
    """All segments of the image that `first` (.E01, .e01, .L01, .S01) begins, in order; just itself if it is none."""
    if not re.search(r"\.[EeLlSs]01\Z", first.name):
        return [first]
    found = [first]
    for suffix in _suffixes(first.suffix[1]):
        path = first.with_suffix(f".{suffix}")
        if not path.exists():
            break
        found.append(path)
    return found


def _suffixes(letter: str) -> Iterable[str]:
    """E02 … E99, EAA … EZZ, FAA … ZZZ: the order in which imaging tools number segments."""
    yield from (f"{letter}{number:02}" for number in range(2, 100))
    base = "a" if letter.islower() else "A"
    end = ord(base) + 26
    for first in range(ord(letter), end):
        for second in range(ord(base), end):
            yield from (f"{chr(first)}{chr(second)}{chr(third)}" for third in range(ord(base), end))


def _read_digests(name: bytes, data: bytes) -> list[StoredDigest]:
    if len(data) != (_HASH_SIZE if name == b"hash" else _DIGEST_SIZE):
        return []
    if zlib.adler32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return []
    values = [("md5", data[:16])]
    if name == b"digest":
        values.append(("sha1", data[16:36]))
    return [StoredDigest(algorithm, value.hex()) for algorithm, value in values if any(value)]
