"""The public log: checkpoint, tiles and entry bundles, open to anyone, as C2SP tlog-tiles lays them out.

Outsiders see random bytes; whoever mirrors them can check every leaf, label and tail.
"""

from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Request, Response
from sqlalchemy import Engine

from app.api.models import RecordOut, StampedOut, StepsOut
from app.api.problems import documented
from app.db import cosignatures, log_reader
from app.db.unit_of_work import reading
from app.errors import NotFound, TooLarge
from app.services import stamping, succession, witnessing
from app.services.runtime import Runtime
from custody.text import to_time
from custody.tiles import WIDTH, TileMalformed, parse_path

_FOREVER = "public, max-age=31536000, immutable"
_A_WHILE = "public, max-age=60"
_ASK = "no-cache"
_TEXT = "text/plain; charset=utf-8"

_READ: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/plain": {}, "application/octet-stream": {}}},
    304: {"description": "What was asked for is what is known already"},
    **documented("not-found"),
}

IfNoneMatch = Annotated[str | None, Header()]


def public_log(*, origin: str, engine: Engine) -> APIRouter:
    """The routes of a log, under the path that its origin names.

    Args:
        origin: The log's name, `<host>[/<path>]`.
        engine: Its database.
    """
    router = _below(origin)

    @router.get("/checkpoint", response_class=Response, responses=_READ)
    def checkpoint(if_none_match: IfNoneMatch = None) -> Response:
        """The newest signed checkpoint, with all cosignatures at hand."""
        with reading(engine) as session:
            note = log_reader.newest_note(session)
        return _answer(note, _TEXT, _ASK, if_none_match)

    @router.get("/tile/{path:path}", response_class=Response, responses=_READ)
    def tile(path: str, if_none_match: IfNoneMatch = None) -> Response:
        """A tile of hashes, or an entry bundle; of any width up to what the log has."""
        try:
            wanted = parse_path(f"tile/{path}")
        except TileMalformed as error:
            raise NotFound(str(error)) from error
        with reading(engine) as session:
            if wanted.level is None:
                data = log_reader.entry_bundle(session, n=wanted.n, width=wanted.width)
            else:
                data = log_reader.tile(session, level=wanted.level, n=wanted.n, width=wanted.width)
        fresh = _FOREVER if wanted.width == WIDTH else _A_WHILE
        return _answer(data, "application/octet-stream", fresh, if_none_match)

    return router


def _below(origin: str) -> APIRouter:
    _, slash, path = origin.partition("/")
    return APIRouter(prefix=f"{slash}{path}".rstrip("/"), tags=["log"])


def cosigning(runtime: Runtime) -> APIRouter:
    """What witnesses and those who rely on them use, beside the log's own files."""
    router = _below(runtime.origin)
    _add_times(router, runtime)

    @router.get("/cosigned", response_class=Response, responses=_READ)
    def cosigned(if_none_match: IfNoneMatch = None) -> Response:
        """The newest checkpoint whose cosignatures satisfy the service's policy."""
        size = witnessing.newest_cosigned(runtime)
        if size is None:
            raise NotFound("no checkpoint is cosigned by enough witnesses yet")
        with runtime.reading() as session:
            note = cosignatures.cosigned_note(session, size)
        return _answer(note, _TEXT, _ASK, if_none_match)

    @router.get("/cosigned/{key}", response_class=Response, responses=_READ)
    def cosigned_by(key: str, if_none_match: IfNoneMatch = None) -> Response:
        """The newest checkpoint that the key with this full id cosigned."""
        with runtime.reading() as session:
            note = cosignatures.newest_note_of(session, key)
        if note is None:
            raise NotFound("no checkpoint is cosigned by a key of this full id")
        return _answer(note, _TEXT, _ASK, if_none_match)

    _show_policies(router, runtime)

    @router.post(
        "/cosignatures",
        status_code=204,
        responses=documented("bad-request", "not-entitled", "state-conflict", "too-large"),
    )
    def hand_back(note: Annotated[bytes, Depends(note_body)]) -> Response:
        """Take a checkpoint that a witness has cosigned; signatures are all that counts."""
        witnessing.hand_back(runtime, note)
        return Response(status_code=204)

    return router


def _add_times(router: APIRouter, runtime: Runtime) -> None:
    @router.get("/stamped", responses=documented("not-found"))
    def stamped() -> StampedOut:
        """How far the log is stamped by third parties; the stamps themselves come with bundles."""
        found = stamping.newest(runtime)
        if found is None:
            raise NotFound("no checkpoint is stamped")
        return StampedOut(size=found.size, time=to_time(found.at), published=found.published)


def _show_policies(router: APIRouter, runtime: Runtime) -> None:
    @router.get("/policy", response_class=Response, responses=_READ)
    def policy(if_none_match: IfNoneMatch = None) -> Response:
        """The policy under which the service collects cosignatures; binds nobody."""
        return _answer(runtime.witnesses.text.encode(), _TEXT, _ASK, if_none_match)

    @router.get("/auditors", response_class=Response, responses=_READ)
    def auditors(if_none_match: IfNoneMatch = None) -> Response:
        """The same for auditors."""
        return _answer(runtime.auditors.text.encode(), _TEXT, _ASK, if_none_match)

    @router.get("/steps", responses=documented("not-found"))
    def steps() -> StepsOut:
        """The entries by which what a trust file says of this log may change, in the order of the log."""
        return StepsOut(records=[RecordOut.of(record) for record in succession.steps(runtime)])


async def note_body(request: Request) -> bytes:
    """The body, of bounded size."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > witnessing.MAX_NOTE:
            raise TooLarge(f"more than {witnessing.MAX_NOTE} bytes")
    return bytes(found)


def _answer(data: bytes, media_type: str, fresh: str, if_none_match: str | None) -> Response:
    tag = f'"{sha256(data).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": fresh}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
