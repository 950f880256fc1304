"""Where an upload stands, as a value: what a request needs to know to go on with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.db.models import PartialUpload, Upload, UploadWay
from storage.parts import MAX_PART

NAMED: Final = 100
"""A concatenation of more partial uploads is told by the upload's own name."""


@dataclass(frozen=True)
class Place:
    """Where an upload, or a partial upload of it, stands; all of it durable.

    Attributes:
        upload: The item's upload, where this is a partial one; else the same as `id`.
        length: Of what is sent to this place: the body, or the partial upload's share of it.
        offset: Bytes of that which are kept.
        start: Where in the body it begins.
        parts: Composite of the parts, hex, once the upload is complete.
        fence: Rises with every request that writes.
        token: Of the store's upload that keeps the bytes.
        concat: Value of `Upload-Concat`; empty for an upload that comes whole.
    """

    id: str
    upload: str
    package: str
    item: str
    length: int
    part_size: int
    offset: int
    fence: int
    expires: datetime
    token: str
    start: int = 0
    way: UploadWay = UploadWay.WHOLE
    parts: str | None = None
    concat: str = ""

    @property
    def partial(self) -> bool:
        """Whether it is a partial upload."""
        return self.id != self.upload

    @property
    def loose(self) -> bool:
        """Whether it is a piece: kept as it comes, for its place on the grid is not known."""
        return self.partial and self.way is UploadWay.PIECES


def place_of(row: Upload, parts: str | None = None, joined: list[str] | None = None) -> Place:
    """Where an upload stands, from its row.

    Args:
        row: Its row.
        parts: Once it is complete.
        joined: The partial uploads it is made of, in their order, once they are concatenated.
    """
    concat = ""
    if row.way is not UploadWay.WHOLE:
        named = joined if joined and len(joined) <= NAMED else [row.id]
        concat = "final;" + " ".join(f"/v1/uploads/{each}" for each in named)
    return Place(
        id=row.id,
        upload=row.id,
        package=row.package_id,
        item=row.item_id,
        length=row.length,
        part_size=row.part_size,
        offset=row.offset,
        fence=row.fence,
        expires=row.expires_at,
        token=row.store_token,
        way=row.way,
        parts=parts,
        concat=concat,
    )


def place_in(row: Upload, partial: PartialUpload) -> Place:
    """Where a partial upload stands; a piece lies in one part of its own."""
    window = partial.start is not None
    return Place(
        id=partial.id,
        upload=row.id,
        package=row.package_id,
        item=row.item_id,
        length=partial.length,
        part_size=row.part_size if window else MAX_PART,
        offset=partial.offset,
        fence=partial.fence,
        expires=row.expires_at,
        token=row.store_token if window else partial.store_token,
        start=partial.start or 0,
        way=row.way,
        concat="partial",
    )
