"""The outermost layer: limits on requests, security headers, one line of log for each request, and no leak of errors.

uvicorn has no deadlines for bodies and takes Content-Length beside Transfer-Encoding; here both end. What is logged is
structured and holds no path, no name, no token and no text of a caller: route template, status, time, sizes, and
the id of the principal.
"""

import asyncio
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.exceptions import HTTPException

from app.api.problems import problem
from custody.text import to_time

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_JSON: Final = 20 * 1024 * 1024
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 32 * 1024
PATIENCE: Final = 15.0
"""Seconds without a byte after which a request's body is given up."""

SLOWEST: Final = 1024
"""Bytes a second, taken over the time that was spent waiting for them, once that is more than GRACE seconds."""

GRACE: Final = 30.0

_UPLOADS: Final = re.compile(r"/v1/packages/[^/]+/items/[^/]+/uploads\Z")
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_log = logging.getLogger("rogatory.requests")


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        refused = _refuse(scope)
        try:
            if refused is not None:
                await problem("bad-request", refused, headers={"Connection": "close"})(scope, receive, exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the last place where one can be caught
            _report(error)
            if not exchange.status:
                await problem("internal", "the service made a mistake")(scope, receive, exchange.send)
        finally:
            exchange.report()


class _Exchange:
    """One request and its answer, counted."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._begun = time.monotonic()
        self._came = self._went = 0
        self._waited = 0.0
        self._whole = False
        self.status = 0
        self._limit = None if _streams(scope) else MAX_JSON

    async def receive(self) -> Message:
        if self._whole or self.status:  # whoever waits now waits for the other side to go away
            return await self._receive()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._whole = not message.get("more_body", False)
        self._came += len(message.get("body", b""))
        self._waited += time.monotonic() - begun
        if self._waited > GRACE and self._came < self._waited * SLOWEST:
            return {"type": "http.disconnect"}
        if self._limit is not None and self._came > self._limit:
            raise HTTPException(413, f"a body beyond {self._limit} bytes")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_SECURITY]
        self._went += len(message.get("body", b""))
        await self._send(message)

    def report(self) -> None:
        route = self._scope.get("route")
        facts = {
            "method": self._scope["method"],
            "route": getattr(route, "path", None),
            "status": self.status,
            "ms": round((time.monotonic() - self._begun) * 1000, 1),
            "in": self._came,
            "out": self._went,
            "principal": self._scope.get("state", {}).get("principal"),
        }
        _log.info("request", extra={"facts": {name: value for name, value in facts.items() if value is not None}})


def _streams(scope: Scope) -> bool:
    """Whether a request brings bytes of a body, which are never held as a whole: a PATCH, or a creation with bytes."""
    return scope["method"] == "PATCH" or (scope["method"] == "POST" and bool(_UPLOADS.match(scope["path"])))


def _refuse(scope: Scope) -> str | None:
    """Why a request is not looked at at all, if so."""
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return f"too many headers, expected at most {MAX_HEADERS} of {MAX_HEADER_BYTES} bytes"
    names = [name for name, _ in headers]
    if b"content-length" in names and b"transfer-encoding" in names:
        return "both Content-Length and Transfer-Encoding, expected one"
    for single in (b"content-length", b"host", b"authorization", b"upload-offset", b"idempotency-key"):
        if names.count(single) > 1:
            return f"the header {single.decode()} stands there twice"
    return None


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line; of an exception its type and places only, never its text."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        facts = {
            "time": to_time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            facts |= _places(record.exc_info[1])
        return json.dumps(facts, ensure_ascii=True, default=str)


def start_logging(level: str) -> None:
    """Send everything that is logged in this process to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("uvicorn.error", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _report(error: BaseException) -> None:
    logging.getLogger("rogatory.errors").error("error", extra={"facts": _places(error)})


def _places(error: BaseException) -> dict[str, Any]:
    """Type and places of an error; its text could hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-8:]]
    found: dict[str, Any] = {"error": type(error).__name__, "where": where}
    if error.__cause__ is not None:
        found["cause"] = type(error.__cause__).__name__
    return found
