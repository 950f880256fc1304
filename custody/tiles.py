"""Tiles: the public log cut into files that never change.

A tile holds up to 256 hashes of one level (level L: roots of perfect subtrees of 256^L leaves), an entry
bundle up to 256 leaves' data. Full ones have 8,192 bytes of hashes; the last of each level may be partial.
Source: C2SP tlog-tiles. Specification: docs/spec/log.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from custody.errors import FormatError
from custody.merkle import HASH_SIZE, MAX_SIZE

WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_SIZE = 0xFFFF
_LENGTH_SIZE = 2
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z", re.ASCII)


class TileMalformed(FormatError):
    """A path that names no tile, or a tile's bytes that are not of its width."""

    code = "tile-malformed"


@dataclass(frozen=True, slots=True)
class Tile:
    """A place in the log's files: level 0 to 63 or none for leaf data, number in its level, width 1 to 256."""

    level: int | None
    n: int
    width: int


def tile_path(level: int, n: int, width: int = WIDTH) -> str:
    """Path of a tile of hashes, below the log's prefix.

    Raises:
        TileMalformed: Level, number or width out of bounds.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise TileMalformed(f"tile level {level}, expected 0 to {MAX_LEVEL}")
    return f"tile/{level}/{_number(n, width)}"


def entries_path(n: int, width: int = WIDTH) -> str:
    """Path of an entry bundle, below the log's prefix.

    Raises:
        TileMalformed: Number or width out of bounds.
    """
    return f"tile/entries/{_number(n, width)}"


def parse_path(path: str) -> Tile:
    """The tile or entry bundle that a path names, in its only spelling.

    Raises:
        TileMalformed: The path names none.
    """
    match = _PATH.match(path)
    if match is None:
        raise TileMalformed(f"{path[:80]!r} names no tile")
    level = None if match[1] == "entries" else int(match[1])
    n = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3] or WIDTH)
    spelled = entries_path(n, width) if level is None else tile_path(level, n, width)
    if spelled != path:
        raise TileMalformed(f"{path!r} is another spelling of {spelled!r}")
    return Tile(level=level, n=n, width=width)


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """The bytes of an entry bundle: each leaf's data after its length in two bytes.

    Raises:
        TileMalformed: None, more than 256, or data over 65,535 bytes.
    """
    if not 1 <= len(entries) <= WIDTH or any(len(data) > MAX_ENTRY_SIZE for data in entries):
        raise TileMalformed(f"{len(entries)} leaves in an entry bundle, or one over {MAX_ENTRY_SIZE} bytes")
    return b"".join(len(data).to_bytes(_LENGTH_SIZE, "big") + data for data in entries)


def parse_entries(data: bytes, width: int) -> list[bytes]:
    """The data of exactly `width` leaves; `encode_entries(result) == data`.

    Raises:
        TileMalformed: More or fewer leaves, or a length that runs past the end.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) < width:
        start = place + _LENGTH_SIZE
        place = start + int.from_bytes(data[place:start], "big")
        entries.append(data[start:place])
    if place != len(data) or len(entries) != width or not 1 <= width <= WIDTH:
        raise TileMalformed(f"an entry bundle of {len(data)} bytes does not hold exactly {width} leaves")
    return entries


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a tile of hashes.

    Raises:
        TileMalformed: None, more than 256, or one that is not 32 bytes.
    """
    if not 1 <= len(hashes) <= WIDTH or any(len(value) != HASH_SIZE for value in hashes):
        raise TileMalformed(f"{len(hashes)} hashes in a tile, or one that is not {HASH_SIZE} bytes")
    return b"".join(hashes)


def parse_hashes(data: bytes, width: int) -> list[bytes]:
    """Exactly `width` hashes of a tile.

    Raises:
        TileMalformed: Another length.
    """
    if not 1 <= width <= WIDTH or len(data) != width * HASH_SIZE:
        raise TileMalformed(f"{len(data)} bytes in a tile of {width} hashes")
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


def _number(n: int, width: int) -> str:
    if not 0 <= n <= MAX_SIZE // WIDTH or not 1 <= width <= WIDTH:
        raise TileMalformed(f"tile number {n} of width {width}")
    digits = str(n)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    path = "/".join((*(f"x{group}" for group in groups[:-1]), groups[-1]))
    return path if width == WIDTH else f"{path}.p/{width}"
