"""Reading bodies by a handle: single ranges, digests, and the released header in front if it is asked for."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from anyio import CancelScope
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from app.api.answers import recorded
from app.api.deps import CallerDep, Id, OnceWithoutBody, RuntimeDep
from app.api.gate import GuardedRoute
from app.api.models import Recorded, RecordOut
from app.api.problems import Refused, documented
from app.errors import Gone
from app.services import downloads
from app.services.downloads import Content, Read
from app.services.runtime import Runtime

router = APIRouter(prefix="/v1/downloads", tags=["downloads"], route_class=GuardedRoute)

COUNTED: Final = 32 * 1024 * 1024
"""Bytes after which a running answer is counted, and after which it notices that its handle has ended."""

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,16})-([0-9]{1,16})?|-([0-9]{1,16}))\Z", re.ASCII)
_OCTETS: Final = "application/octet-stream"
_READ = documented(
    "token-refused",
    "token-expired",
    "not-found",
    "not-entitled",
    "gone",
    "state-conflict",
    "range-refused",
    "store-down",
)
_BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {}}},
    206: {"content": {"application/octet-stream": {}}},
}


@dataclass(frozen=True)
class Span:
    """What of the content is sent; `partial` if the request named it."""

    start: int
    length: int
    partial: bool


@router.head("/{download}/items/{item}", response_class=Response, responses={**_BYTES, **_READ})
@router.get("/{download}/items/{item}", response_class=Response, responses={**_BYTES, **_READ})
async def read(
    *,
    request: Request,
    download: Id,
    item: Id,
    caller: CallerDep,
    runtime: RuntimeDep,
    header: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$", description="Header to stand in front")] = None,
    wanted: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """The stored body of an item, or header and body: a plain age file."""
    command = Read(download=download, item=item, header=header, caller=caller, at=runtime.now())
    found = await run_in_threadpool(downloads.content, command, runtime)
    tag = f'"{found.sha256}"' if not found.header else f'"{found.sha256}.{found.header_sha256}"'
    span = _span(wanted if if_range in (None, tag) else None, found.size)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store, no-transform",
        "Content-Length": str(span.length),
    }
    if not found.header:
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(found.sha256)).decode()}:"
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{found.size}"
    status = 206 if span.partial else 200
    if request.method == "HEAD":
        return Response(None, status, headers, _OCTETS)
    pieces = await run_in_threadpool(downloads.chunks, found, span.start, span.length, runtime)
    return _Counted(found, pieces, runtime, status=status, headers=headers)


@router.post(
    "/{download}/close",
    status_code=201,
    responses=documented("token-refused", "token-expired", "not-found", "not-entitled", "gone", "not-yet-published"),
    dependencies=[OnceWithoutBody],
)
def close(download: Id, caller: CallerDep, runtime: RuntimeDep, response: Response) -> Recorded:
    """Be done with a handle; how many bytes went out goes on record."""
    lodged = downloads.close(download, caller, runtime.now(), runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


def _span(wanted: str | None, size: int) -> Span:
    """The range asked for; the whole where none is, or more than one."""
    match = _RANGE.match(wanted.replace(" ", "")) if wanted else None
    if match is None:
        return Span(0, size, partial=False)
    first, last, suffix = match.groups()
    start = max(0, size - int(suffix)) if suffix is not None else int(first)
    end = size - 1 if last is None else min(int(last), size - 1)
    if start >= size or (last is not None and int(last) < start) or suffix == "0":
        raise Refused(
            "range-refused", f"the range lies outside of {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return Span(start, end - start + 1, partial=True)


class _Counted(StreamingResponse):
    """Bytes of a body, counted as they go out, whether or not the other side stays to the end."""

    def __init__(
        self, found: Content, pieces: Iterator[bytes], runtime: Runtime, *, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(_pieces(pieces), status, headers, _OCTETS)
        self._found, self._runtime = found, runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, and put on record how much it was: on the way, and what is left at the end.

        Raises:
            Gone: The handle was closed or has lapsed meanwhile; the answer breaks off.
        """
        uncounted = 0

        async def counting(message: Message) -> None:
            nonlocal uncounted
            await send(message)
            uncounted += len(message.get("body", b""))
            if uncounted >= COUNTED:
                now, uncounted = uncounted, 0
                if not await run_in_threadpool(downloads.count, self._found.download, now, self._runtime):
                    raise Gone("the download was closed or has expired")

        try:
            await super().__call__(scope, receive, counting)
        finally:
            if uncounted:
                with CancelScope(shield=True):
                    await run_in_threadpool(downloads.count, self._found.download, uncounted, self._runtime)


async def _pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await run_in_threadpool(_next, pieces):
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")
