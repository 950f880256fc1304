"""Answers that several routes give alike."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from fastapi import Response
from fastapi.responses import StreamingResponse

from app.services.records import Lodged

_CHUNK: Final = 1024 * 1024


def recorded(response: Response, lodged: Lodged) -> None:
    """201 for a new entry, 200 for one that stood there before."""
    response.status_code = 201 if lodged.fresh else 200
    response.headers["Cache-Control"] = "no-store"


def zipped(file: BinaryIO, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A ZIP from a temporary file, which is closed when it has been sent."""
    return from_file(file, "application/zip", status=status, headers=headers)


def from_file(file: BinaryIO, kind: str, *, status: int, headers: dict[str, str] | None = None) -> Response:
    """What lies in a temporary file, which is closed when it has been sent."""
    return StreamingResponse(_pieces(file), status, {"Cache-Control": "no-store", **(headers or {})}, media_type=kind)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece
