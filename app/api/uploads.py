"""tus 1.0: creation, creation-with-upload, concatenation, checksum, expiration, termination, onto the part grid.

A PATCH is read as it comes and written by worker threads, one buffer filling while others are written; memory does
not grow with the body. What a broken PATCH had brought is kept. `Upload-Metadata` is dropped unread: clients put file
names into it by habit.
"""

import asyncio
import base64
import re
from collections import deque
from contextlib import suppress
from email.utils import format_datetime
from typing import Annotated, ClassVar, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.deps import CallerDep, Id, RuntimeDep
from app.api.problems import Refused, documented
from app.auth.policy import Caller
from app.db.models import UploadWay
from app.errors import BadRequest, TooLarge
from app.services import concatenation, partial_creation, upload_creation, uploads
from app.services.intake import Checksum, Intake
from app.services.places import Place
from app.services.runtime import Runtime

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,concatenation,checksum,expiration,termination"
ALGORITHMS: Final = {"sha256": 32, "sha1": 20}
CONTENT_TYPE: Final = "application/offset+octet-stream"
_AHEAD: Final = 3
"""Whole parts of one request that are kept at once while the next one comes."""

_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z", re.ASCII)
_UPLOAD: Final = re.compile(r"/v1/uploads/([0-9a-f]{32})\Z", re.ASCII)
_TUS: Final = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}

router = APIRouter(prefix="/v1", tags=["uploads"])


def tus(tus_resumable: Annotated[str | None, Header(description="1.0.0")] = None) -> None:
    """Every request says which tus it speaks."""
    if tus_resumable != VERSION:
        raise Refused(
            "tus-version", f"Tus-Resumable is not {VERSION}", headers={"Tus-Version": VERSION, "Tus-Resumable": VERSION}
        )


Tus = Depends(tus)
_SEEN = (
    "token-refused", "token-expired", "not-found", "not-entitled", "state-conflict", "gone", "tus-version", "too-large",
    "store-down", "store-full", "overloaded",
)  # fmt: skip
_TAKEN = (*_SEEN, "offset-mismatch", "upload-superseded", "checksum-mismatch")
_SENT = documented(*_SEEN)
_CREATED = documented(*_TAKEN)
_PATCHED = documented(*_TAKEN, "media-type")
_BODY = {"requestBody": {"content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}


@router.options("/uploads/{upload}", status_code=204, responses=documented())  # noqa: FAST003 - the same for all
@router.options("/packages/{package}/items/{item}/uploads", status_code=204, responses=documented())
def options(runtime: RuntimeDep) -> Response:
    """What of tus is spoken here."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": VERSION,
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(runtime.settings.max_item_size),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


@router.post(
    "/packages/{package}/items/{item}/uploads", status_code=201, responses=_CREATED, dependencies=[Tus],
    openapi_extra=_BODY, response_class=Response,
)  # fmt: skip
async def create(
    *,
    package: Id,
    item: Id,
    request: Request,
    caller: CallerDep,
    runtime: RuntimeDep,
    upload_length: Annotated[str | None, Header(description="Bytes of the body, or of the partial upload")] = None,
    upload_concat: Annotated[str | None, Header(description="`partial`, or `final;` and partial uploads")] = None,
    rogatory_start: Annotated[str | None, Header(description="Where in the body a partial upload begins")] = None,
    rogatory_item_length: Annotated[str | None, Header(description="Bytes of the body, with Rogatory-Start")] = None,
    upload_checksum: Annotated[str | None, Header(description="Algorithm and base64 digest of this request")] = None,
    part_size: Annotated[int | None, Query(ge=1, description="Grid; by default the smallest allowed")] = None,
) -> Response:
    """Begin to upload the body of an item, or a part of it beside others, or concatenate such parts.

    Finds the upload that is open there; its first bytes may come along.
    """
    if upload_concat is not None and upload_concat != "partial":
        if upload_length is not None:
            raise BadRequest("a final upload has the length of its partial uploads, expected no Upload-Length")
        joining = concatenation.Concatenate(
            package=package, item=item, named=_named(upload_concat), caller=caller, at=runtime.now()
        )
        place = await run_in_threadpool(concatenation.concatenate, joining, runtime)
        return Response(status_code=201, headers=_located(place))
    length, checksum = _number("Upload-Length", upload_length), _checksum(upload_checksum)
    brings = _is_bytes(request)
    if brings:
        _check_length(request, offset=0, length=length)
    start = None if rogatory_start is None else _number("Rogatory-Start", rogatory_start)
    body = length if start is None else _number("Rogatory-Item-Length", rogatory_item_length)
    command = upload_creation.Create(
        package=package, item=item, length=body, part_size=part_size, caller=caller, at=runtime.now()
    )
    if upload_concat is None:
        place, fresh = await run_in_threadpool(upload_creation.create, command, runtime)
    else:
        partial = partial_creation.CreatePartial(whole=command, start=start, length=length)
        place, fresh = await run_in_threadpool(partial_creation.create_partial, partial, runtime)
    headers = _located(place)
    if brings and place.offset == 0:
        headers |= await _take(request, runtime, upload=place.id, offset=0, checksum=checksum, caller=caller)
    return Response(status_code=201 if fresh else 200, headers=headers)


@router.head("/uploads/{upload}", responses=_SENT, dependencies=[Tus], response_class=Response)
def see(upload: Id, caller: CallerDep, runtime: RuntimeDep) -> Response:
    """Where an upload stands; what it says is durable."""
    place = uploads.see(upload, caller, runtime.now(), runtime)
    headers = {"Upload-Length": str(place.length), **_where(place)}
    if place.way is UploadWay.WINDOWS and not place.partial and place.parts is None:
        ranges = uploads.held(place, runtime)
        headers["Rogatory-Held"] = ",".join(f"{start}-{end}" for start, end in ranges)
    return Response(headers=headers)


@router.patch(
    "/uploads/{upload}", status_code=204, responses=_PATCHED, dependencies=[Tus], openapi_extra=_BODY,
    response_class=Response,
)  # fmt: skip
async def send(
    *,
    upload: Id,
    request: Request,
    caller: CallerDep,
    runtime: RuntimeDep,
    upload_offset: Annotated[str | None, Header(description="Where the bytes begin")] = None,
    upload_checksum: Annotated[str | None, Header(description="Algorithm and base64 digest of this request")] = None,
) -> Response:
    """Send the next bytes of a body; the answer's offset is durable."""
    if not _is_bytes(request):
        raise Refused("media-type", f"the body's type is another, expected {CONTENT_TYPE}")
    offset, checksum = _number("Upload-Offset", upload_offset), _checksum(upload_checksum)
    headers = await _take(request, runtime, upload=upload, offset=offset, checksum=checksum, caller=caller)
    return Response(status_code=204, headers=headers)


@router.delete("/uploads/{upload}", status_code=204, responses=_SENT, dependencies=[Tus], response_class=Response)
def terminate(upload: Id, caller: CallerDep, runtime: RuntimeDep) -> Response:
    """End an upload that is not complete; its bytes go."""
    uploads.terminate(upload, caller, runtime.now(), runtime)
    return Response(status_code=204, headers=dict(_TUS))


async def _take(
    request: Request, runtime: Runtime, *, upload: str, offset: int, checksum: Checksum | None, caller: Caller
) -> dict[str, str]:
    """Bring the request's content into an upload, from where it stands; where it stands then."""
    place = await run_in_threadpool(uploads.take_over, upload, offset, caller, runtime.now(), runtime)
    if place.parts is not None:
        return _where(place)
    _check_length(request, offset=place.offset, length=place.length)
    intake = await run_in_threadpool(Intake, runtime, place, checksum)
    try:
        await _drain(request, intake)
        await run_in_threadpool(intake.end)
    finally:
        intake.leave()
    return _where(place, offset=intake.offset, parts=intake.composite)


async def _drain(request: Request, intake: Intake) -> None:
    """Move the body into the upload: a buffer fills while threads keep those before it."""
    keeping = _Keeping(intake)
    at, chunks, filled = intake.offset, list[bytes](), 0
    try:
        try:
            async for data in request.stream():
                rest = data
                while rest:
                    room = intake.room(at)
                    if not room:
                        raise TooLarge(f"bytes beyond the upload's length of {at}")
                    piece, rest = rest[: room - filled], rest[room - filled :]
                    chunks.append(piece)
                    filled += len(piece)
                    if filled == room:
                        await keeping.begin(chunks, at, filled)
                        at, chunks, filled = at + filled, [], 0
        except ClientDisconnect:
            if chunks and intake.keeps_fragments:
                await keeping.begin(chunks, at, filled)
            await keeping.settle()
            raise
        if chunks:
            await keeping.begin(chunks, at, filled)
        await keeping.settle()
    finally:
        await keeping.end()


class _Keeping:
    """Buffers of one request that are being kept: whole parts side by side, everything else one after the other."""

    spare: ClassVar[int] = 24
    """Buffers that all requests of this process together may have beyond one each; touched on the event loop only."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._under_way: deque[asyncio.Future[None]] = deque()
        self._alone = True

    async def begin(self, chunks: list[bytes], at: int, size: int) -> None:
        """Give a buffer to a thread, after those that it must wait for; raises what one of them ended with."""
        alone = self._intake.stands_alone(at, size)
        most = _AHEAD if alone and self._alone else 0
        while len(self._under_way) > most or (self._under_way and not _Keeping.spare):
            await self._settle_first()
        self._alone = alone
        if self._under_way:
            _Keeping.spare -= 1
        self._under_way.append(asyncio.ensure_future(run_in_threadpool(self._intake.put, chunks, at)))

    async def settle(self) -> None:
        """Return when all is kept; raises what one of them ended with."""
        while self._under_way:
            await self._settle_first()

    async def end(self) -> None:
        """Wait for what is still under way, whatever it ends with."""
        with suppress(IndexError):
            while True:
                first = self._under_way[0]
                if not first.done():
                    await asyncio.wait([first])
                self._drop_first()

    async def _settle_first(self) -> None:
        first = self._under_way[0]
        await asyncio.wait([first])
        self._drop_first()
        first.result()

    def _drop_first(self) -> None:
        first = self._under_way.popleft()
        if self._under_way:
            _Keeping.spare += 1
        if not first.cancelled():
            first.exception()  # looked at, even where another one's is raised


def _number(name: str, value: str | None) -> int:
    if value is None or not _NUMBER.match(value):
        raise BadRequest(f"{name} is no number of bytes")
    return int(value)


def _named(value: str) -> list[str]:
    """Ids of the uploads that `final;` names, by path or by address."""
    kind, _, names = value.partition(";")
    found = [_UPLOAD.search(name) for name in names.split()]
    if kind.strip() != "final" or not all(found):
        raise BadRequest("Upload-Concat is neither partial nor final; and addresses of partial uploads")
    return [match[1] for match in found if match]


def _checksum(value: str | None) -> Checksum | None:
    if value is None:
        return None
    algorithm, space, digest = value.partition(" ")
    try:
        expected = base64.b64decode(digest, validate=True)
    except ValueError:  # what is no base64, or no ASCII
        expected = b""
    if not space or ALGORITHMS.get(algorithm) != len(expected):
        raise BadRequest(f"Upload-Checksum is no digest of {' or '.join(ALGORITHMS)}")
    return Checksum(algorithm, expected)


def _is_bytes(request: Request) -> bool:
    return request.headers.get("content-type", "").lower() == CONTENT_TYPE


def _check_length(request: Request, *, offset: int, length: int) -> None:
    announced = request.headers.get("content-length")
    if announced is not None and offset + _number("Content-Length", announced) > length:
        raise TooLarge(f"{announced} bytes from {offset} on, the upload has {length}")


def _located(place: Place) -> dict[str, str]:
    partial = {"Rogatory-Upload": f"/v1/uploads/{place.upload}"} if place.partial else {}
    return {"Location": f"/v1/uploads/{place.id}", **partial, **_where(place)}


def _where(place: Place, *, offset: int | None = None, parts: str | None = None) -> dict[str, str]:
    composite = parts or place.parts
    headers = {
        **_TUS,
        "Upload-Expires": format_datetime(place.expires, usegmt=True),
        "Rogatory-Part-Size": str(place.part_size),
    }
    if place.concat:
        headers["Upload-Concat"] = place.concat
    if place.partial or composite or not place.concat:  # of a final upload nothing is known before it is complete
        headers["Upload-Offset"] = str(place.offset if offset is None else offset)
    return headers | ({"Rogatory-Parts": composite} if composite else {})
