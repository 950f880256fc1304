"""The public log: checkpoint, tiles and entry bundles, open to anyone, as C2SP tlog-tiles lays them out.

Outsiders see random bytes; whoever mirrors them can check every leaf, label and tail.
"""

from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Header, Response
from sqlalchemy import Engine

from app.db import log_reader
from app.db.unit_of_work import reading
from app.errors import NotFound
from custody.tiles import WIDTH, TileMalformed, parse_path

_FOREVER = "public, max-age=31536000, immutable"
_A_WHILE = "public, max-age=60"
_ASK = "no-cache"

IfNoneMatch = Annotated[str | None, Header()]


def public_log(*, origin: str, engine: Engine) -> APIRouter:
    """The routes of a log, under the path that its origin names.

    Args:
        origin: The log's name, `<host>[/<path>]`.
        engine: Its database.
    """
    _, slash, path = origin.partition("/")
    router = APIRouter(prefix=f"{slash}{path}".rstrip("/"), tags=["log"])

    @router.get("/checkpoint", response_class=Response)
    def checkpoint(if_none_match: IfNoneMatch = None) -> Response:
        """The newest signed checkpoint."""
        with reading(engine) as session:
            note = log_reader.newest_note(session)
        return _answer(note, "text/plain; charset=utf-8", _ASK, if_none_match)

    @router.get("/tile/{path:path}", response_class=Response)
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


def _answer(data: bytes, media_type: str, fresh: str, if_none_match: str | None) -> Response:
    tag = f'"{sha256(data).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": fresh}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
