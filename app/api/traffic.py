"""Requests under way: their bodies, held to deadlines and limits while they come and go; and how all of them end.

A body must keep coming, and a request whose principal is ended while it runs does not go on: every few seconds the
registry is asked again. When the service drains, bodies that still come are broken off, which keeps what has come.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app.api.limits import Limits
from app.auth.jwt_syntax import TokenRefused
from app.errors import DatabaseDown
from app.services import login

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_JSON: Final = 20 * 1024 * 1024
"""Bytes of a body that is held as a whole, of a request with a token."""

MAX_STRANGERS: Final = 256 * 1024
"""The same, of one without."""

PATIENCE: Final = 15.0
"""Seconds without a byte after which a request's body is given up."""

SLOWEST: Final = 1024
"""Bytes a second, taken over the time that was spent waiting for them, once that is more than GRACE seconds."""

GRACE: Final = 12.0
ASK_AGAIN: Final = 5.0
"""Seconds after which the principal of a running request is looked up again."""

_UPLOADS: Final = re.compile(r"/v1/packages/[^/]+/items/[^/]+/uploads\Z")
_GONE: Final[Message] = {"type": "http.disconnect"}


class BrokenOff(Exception):
    """An answer that does not go on: the service stops, or the principal was ended."""


class Traffic:
    """All requests of this process that are under way, and what they may take together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.under_way: set[Exchange] = set()

    def break_off(self) -> None:
        """Let no body come or go any further; in the event loop's thread."""
        for exchange in list(self.under_way):
            exchange.break_off("stopping")


class Exchange:
    """One request and its answer, counted.

    Attributes:
        status: Of the answer; 0 before it begins.
        came: Bytes of the request's body.
        went: Bytes of the answer's.
        broken: Code of the refusal that ends it before its time, or empty.
        login: Whose it is, once that is known.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, traffic: Traffic) -> None:
        self._scope, self._receive, self._send, self._traffic = scope, receive, send, traffic
        self.begun = self._asked = time.monotonic()
        self.status = self.came = self.went = 0
        self.broken = ""
        self.login: login.Login | None = None
        self._waited = 0.0
        self._held = 0
        self._holder = traffic.limits.strangers_bodies
        self._whole = False
        self._waiting: asyncio.Timeout | None = None
        self._streams = _streams(scope)

    def begin(self, found: login.Login) -> None:
        """It is known whose request this is, and before anything of its body was read.

        Raises:
            TooMany: The authority has sent too much.
        """
        self._traffic.limits.enter(found.caller.authority)
        self.login, self._holder = found, self._traffic.limits.bodies
        self._asked = time.monotonic()

    def end(self) -> None:
        """It is over; what it took is free again."""
        self._holder.give_back(self._held)
        if self.login is not None:
            self._traffic.limits.leave(self.login.caller.authority)

    def break_off(self, code: str) -> None:
        """Let no more of its body come or go."""
        self.broken = self.broken or code
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def receive(self) -> Message:
        """The next piece of the body, or that there is none any more."""
        if self._whole or self.status:  # whoever waits now waits for the other side to go away
            return await self._receive()
        if self.broken:
            return _GONE
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE) as self._waiting:
                message = await self._receive()
        except TimeoutError:
            return _GONE
        finally:
            self._waiting = None
        self._waited += time.monotonic() - begun
        size = len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        self.came += size
        if self._waited > GRACE and self.came < self._waited * SLOWEST:
            return _GONE
        self._hold(size)
        await self._go_on(size)
        return _GONE if self.broken else message

    async def send(self, message: Message) -> None:
        """A piece of the answer.

        Raises:
            BrokenOff: No more of it may go.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self.broken and message.get("more_body"):
            raise BrokenOff(self.broken)
        size = len(message.get("body", b""))
        self.went += size
        await self._send(message)
        await self._go_on(size)

    def _hold(self, size: int) -> None:
        """Keep within what one body, and all of them, may take while they are held as a whole."""
        if self._streams:
            return
        most = MAX_STRANGERS if self.login is None else MAX_JSON
        if self.came > most or _announced(self._scope) > most:
            raise HTTPException(413, f"a body beyond {most} bytes")
        if not self._holder.take(size):
            raise HTTPException(429, "too many large bodies at once", {"Retry-After": "2"})
        self._held += size

    async def _go_on(self, size: int) -> None:
        """Slow down whose authority takes much, and see from time to time that the principal still stands."""
        if self.login is None or not size:
            return
        pause = self._traffic.limits.pause(self.login.caller.authority, size)
        if pause:
            await asyncio.sleep(pause)
        if time.monotonic() - self._asked > ASK_AGAIN:
            self._asked = time.monotonic()
            runtime = self._scope["app"].state.runtime
            with contextlib.suppress(DatabaseDown):  # what counts is committed there, and will be refused if it must
                try:
                    await run_in_threadpool(login.check_standing, self.login, runtime)
                except TokenRefused as refused:
                    self.break_off(refused.code)


def _streams(scope: Scope) -> bool:
    """Whether a request brings bytes of a body, which are never held as a whole: a PATCH, or a creation with bytes."""
    return scope["method"] == "PATCH" or (scope["method"] == "POST" and bool(_UPLOADS.match(scope["path"])))


def _announced(scope: Scope) -> float:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else math.inf
    return 0
