"""uvicorn's HTTP/1.1 with a deadline for headers: who connects and says nothing is shown out."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DEADLINE: Final = 10.0
"""Seconds from a connection, or from the first byte of a further request, to the end of its headers."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose headers do not come."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a further request."""
        super().on_message_begin()
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(DEADLINE, self._show_out)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _show_out(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
