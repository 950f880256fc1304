"""The outermost layer: limits on requests, security headers, one line of log for each request, and no leak of errors.

uvicorn has no deadlines for bodies and takes Content-Length beside Transfer-Encoding; here both end. What is logged is
structured and holds no path, no name, no token and no text of a caller: route template, status, time, sizes, and
the id of the principal.
"""

import json
import logging
import math
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.api import gate
from app.api.problems import problem
from app.api.traffic import BrokenOff, Exchange, Message, Receive, Scope, Send, Traffic
from app.errors import Refusal
from custody.errors import CustodyError
from custody.text import to_time

App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 32 * 1024

_PROBES: Final = frozenset({"/livez", "/readyz"})
"""Counted for nobody: whoever watches the service must not be refused because others were many."""

_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_log = logging.getLogger("rogatory.requests")


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: App, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            await send(message)

        exchange = Exchange(scope, receive, guarded, self._traffic)
        scope.setdefault("state", {})["exchange"] = exchange
        self._traffic.under_way.add(exchange)
        try:
            await self._serve(scope, exchange)
        except BrokenOff:
            pass  # the connection ends without the end of the answer, and so the other side knows
        except Exception as error:  # noqa: BLE001 - the last place where one can be caught
            _report(error)
            if not exchange.status:
                await problem("internal", "the service made a mistake")(scope, receive, exchange.send)
        finally:
            self._traffic.under_way.discard(exchange)
            exchange.end()
            _tell(scope, exchange)

    async def _serve(self, scope: Scope, exchange: Exchange) -> None:
        refused = _refuse(scope)
        if refused is not None:
            await problem("bad-request", refused, headers={"Connection": "close"})(
                scope, exchange.receive, exchange.send
            )
            return
        address = scope["client"][0] if scope.get("client") else ""
        shows = any(name == b"authorization" for name, _ in scope["headers"])
        limits = self._traffic.limits
        wait = 0.0
        if scope["path"] not in _PROBES:
            wait = limits.debt(address) if shows else limits.stranger(address)
        if wait and not (shows and await run_in_threadpool(_is_known, scope)):
            headers = {"Retry-After": str(math.ceil(wait)), "Connection": "close"}
            detail = "more requests without a valid token than one address may send in a minute"
            await problem("overloaded", detail, headers=headers)(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            if shows and exchange.login is None:
                limits.was_stranger(address)


def _is_known(scope: Scope) -> bool:
    """Whether the token that is shown holds; looked at before anything else only where an address has sent too much."""
    try:
        gate.identify(Request(scope))
    except (Refusal, CustodyError):
        return False
    return True


def _tell(scope: Scope, exchange: Exchange) -> None:
    """One line of log."""
    facts = {
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", None),
        "status": exchange.status,
        "ms": round((time.monotonic() - exchange.begun) * 1000, 1),
        "in": exchange.came,
        "out": exchange.went,
        "broken": exchange.broken or None,
        "principal": scope.get("state", {}).get("principal"),
    }
    _log.info("request", extra={"facts": {name: value for name, value in facts.items() if value is not None}})


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
