"""What an S3 store writes down of an unfinished upload, all of it in the names of objects.

    uploads/<token>/begun                                   the upload exists
    uploads/<token>/00007/<turn>-<mark>.piece.<at>.<size>   bytes of part 7
    uploads/<token>/00007/<turn>-<mark>.whole.<size>.<sha256>.<etag>     part 7 was put
    uploads/<token>/00007/<turn>-<mark>.folded.<size>.<sha256>.<etag>    part 7 was folded from its pieces
    uploads/<token>/00007/<turn>-<mark>.broken              part 7 was begun anew, in vain

A listing says all there is to know, to any process. Nothing is overwritten: a record's turn is one more than the
highest its writer saw, and the highest turn is what counts. No clock takes part. Nothing is removed before the upload
ends, since pieces that were folded are still what a process reads whose database did not hear of the folding.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

from storage.interface import (
    DigestMismatch,
    GridViolation,
    PartDigest,
    StoreUnavailable,
    Truncated,
    UploadIncomplete,
    UploadNotFound,
)
from storage.keys import check_key
from storage.parts import MAX_PARTS

BEGUN = "begun"
_TOKEN = re.compile(r"([a-z0-9][a-z0-9+._-]*)~(0|[1-9][0-9]{0,9})~([A-Za-z0-9_-]+)\Z")
_RECORD = re.compile(
    r"([0-9]{5})/([0-9]{8})-([0-9a-f]{8})\."
    r"(?:(piece)\.([0-9]+)\.([0-9]+)|(whole|folded)\.([0-9]+)\.([0-9a-f]{64})\.([A-Za-z0-9-]{1,100})|(broken))\Z"
)
_ETAG = re.compile(r"[A-Za-z0-9-]{1,100}\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """What names an upload, and all that another process needs to go on with it.

    Attributes:
        key: Under which it will be published.
        part_size: Of its grid; 0 for what a crash left before the upload was wholly begun.
        upload_id: The store's own name for it.
    """

    key: str
    part_size: int
    upload_id: str

    def __str__(self) -> str:
        id_ = base64.urlsafe_b64encode(self.upload_id.encode()).rstrip(b"=").decode("ascii")
        return f"{self.key.replace('/', '+')}~{self.part_size}~{id_}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token.

        Raises:
            UploadNotFound: It is none.
        """
        match = _TOKEN.match(text)
        if match is None:
            raise UploadNotFound(f"no upload {text[:80]!r}")
        try:
            id_ = base64.urlsafe_b64decode(match[3] + "=" * (-len(match[3]) % 4)).decode()
        except (ValueError, binascii.Error):
            raise UploadNotFound(f"no upload {text[:80]!r}") from None
        return cls(check_key(match[1].replace("+", "/")), int(match[2]), id_)


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to a part.

    Attributes:
        name: Behind `uploads/<token>/`.
        part: Its number.
        turn: Rises with every record that knew of the others.
        kind: `piece`, `whole`, `folded` or `broken`.
        offset: Of a piece, inside the part.
        size: Of a piece or a part, bytes.
        sha256: Of a part, raw.
        etag: The store's own name for the bytes of a part.
    """

    name: str
    part: int
    turn: int
    kind: str
    offset: int = 0
    size: int = 0
    sha256: bytes = b""
    etag: str = ""

    @property
    def counts(self) -> bool:
        """Whether it says that the part is whole."""
        return self.kind in {"whole", "folded"}

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Read a record's name; None for any other."""
        match = _RECORD.match(name)
        if match is None:
            return None
        part, turn = int(match[1]), int(match[2])
        if match[4]:
            return cls(name, part, turn, "piece", offset=int(match[5]), size=int(match[6]))
        if match[7]:
            digest = bytes.fromhex(match[9])
            return cls(name, part, turn, match[7], size=int(match[8]), sha256=digest, etag=match[10])
        return cls(name, part, turn, "broken")


def next_turn(records: Iterable[Record]) -> int:
    """The turn of whoever has seen these."""
    return max((record.turn for record in records), default=0) + 1


def piece_name(part: int, turn: int, *, offset: int, size: int) -> str:
    """Name of a new piece."""
    return f"{_stem(part, turn)}.piece.{offset}.{size}"


def broken_name(part: int, turn: int) -> str:
    """Name of the record that a part no longer counts."""
    return f"{_stem(part, turn)}.broken"


def part_name(part: int, turn: int, kind: str, *, size: int, sha256: bytes, etag: str) -> str:
    """Name of the record that a part is whole; kind is `whole` or `folded`.

    Raises:
        StoreUnavailable: An ETag of another alphabet.
    """
    bare = etag.strip('"')
    if not _ETAG.match(bare):
        raise StoreUnavailable(f"part {part}: the store answers with the ETag {etag[:80]!r}")
    return f"{_stem(part, turn)}.{kind}.{size}.{sha256.hex()}.{bare}"


def _stem(part: int, turn: int) -> str:
    return f"{part:05d}/{turn:08d}-{secrets.token_hex(4)}"


def _newest(records: Iterable[Record]) -> list[Record]:
    """The records of the highest turn: more than one only if writers did not see each other."""
    kept = list(records)
    turn = max((record.turn for record in kept), default=0)
    return [record for record in kept if record.turn == turn]


class Cut(NamedTuple):
    """Bytes to take from a piece."""

    piece: Record
    start: int
    length: int


def covering(records: Sequence[Record], size: int) -> list[Cut]:
    """What to read, in order, for the first `size` bytes of a part whose later pieces lie over the earlier ones.

    Pieces before a part that was put whole are no longer part of it.

    Raises:
        Truncated: They do not cover so many bytes.
    """
    floor = max((record.turn for record in records if record.kind in {"whole", "broken"}), default=0)
    pieces = [record for record in records if record.kind == "piece" and record.turn > floor]
    pieces.sort(key=lambda piece: (piece.turn, piece.name), reverse=True)
    edges = {0, size} | {edge for p in pieces for edge in (p.offset, p.offset + p.size) if 0 < edge < size}
    ordered = sorted(edges)
    cuts: list[Cut] = []
    for start, end in pairwise(ordered):
        over = next((p for p in pieces if p.offset <= start and end <= p.offset + p.size), None)
        if over is None:
            raise Truncated(f"the pieces end after {start} bytes, expected {size}")
        if cuts and cuts[-1].piece is over:
            cuts[-1] = Cut(over, cuts[-1].start, cuts[-1].length + end - start)
        else:
            cuts.append(Cut(over, start - over.offset, end - start))
    return cuts


def live_token(text: str) -> Token:
    """Read the token of an upload that was wholly begun.

    Raises:
        UploadNotFound: It is none.
    """
    token = Token.parse(text)
    if not token.part_size:
        raise UploadNotFound(f"upload {text[:80]!r} was never wholly begun")
    return token


def check_part(token: Token, part: int, size: int) -> None:
    """See that a part of this size lies on the grid.

    Raises:
        GridViolation: It does not.
    """
    if not 1 <= part <= MAX_PARTS:
        raise GridViolation(f"part {part}, expected 1 to {MAX_PARTS}")
    if not 1 <= size <= token.part_size:
        raise GridViolation(f"part {part} of {size} bytes, expected 1 to {token.part_size}")


def check_parts(token: Token, parts: Sequence[PartDigest], records: Sequence[Record]) -> list[str]:
    """Compare the parts that a completion names with those on record; their ETags.

    Raises:
        UploadIncomplete: A part is missing or unfinished.
        DigestMismatch: A part is kept with another size or digest.
        GridViolation: A part before the last is short.
    """
    by_part: dict[int, list[Record]] = {}
    for record in records:
        by_part.setdefault(record.part, []).append(record)
    etags = []
    for number, part in enumerate(parts, start=1):
        check_part(token, number, part.size)
        if part.size != token.part_size and number < len(parts):
            raise GridViolation(f"part {number} has {part.size} bytes, expected {token.part_size} before the last")
        kept = _newest(by_part.get(number, ()))
        if not kept or not all(record.counts for record in kept):
            raise UploadIncomplete(f"part {number} is not whole, expected {part.size} bytes")
        same = [record for record in kept if (record.size, record.sha256) == (part.size, part.sha256)]
        if not same:
            raise DigestMismatch(
                f"part {number} is kept as {kept[0].size} bytes {kept[0].sha256.hex()}, "
                f"expected {part.size} bytes {part.sha256.hex()}"
            )
        etags.append(same[0].etag)
    return etags
