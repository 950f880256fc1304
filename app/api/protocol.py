"""uvicorn's HTTP/1.1 with deadlines where it has none: for headers, for what nobody waits for, and for readers.

Whoever connects and says nothing, sends a header without end, goes on sending what was refused, or does not read its
answer, is shown out. The bytes of a body have their deadlines in `app.api.traffic`.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DEADLINE: Final = 10.0
"""Seconds from a connection, or from the first byte of a further request, to the end of its headers."""

MAX_HEAD: Final = 64 * 1024
"""Bytes taken without a header's end, or a byte of a body, coming of them. Far more than one read brings may pass."""

LINGER: Final = 10.0
"""Seconds for which the rest of a body is taken that was answered before it was there: the answer is to arrive."""

READ_WITHIN: Final = 30.0
SLOWEST_READER: Final = 1024
"""A reader who takes fewer bytes a second, over that many seconds in which more wait for it, is given up."""

LAST_BYTES_WITHIN: Final = 64.0
"""Seconds for the bytes that still lie in the buffer when a connection is closed: 64 KiB at the slowest."""

PER_ADDRESS: Final = 512
"""Connections from one address at once; a proxy, which has one address for all, is not counted."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose other side does not do its part."""

    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _incoming = False
    _head_done = False
    _idle_bytes = 0
    _unread = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if not self.config.proxy_headers and self._crowds():
            self.transport.abort()
            return
        self._wait(DEADLINE)

    def data_received(self, data: bytes) -> None:
        """Take bytes; they must come to something."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head()
        elif self._deadline is None and not self._incoming and (self.cycle is None or self.cycle.response_complete):
            self._wait(DEADLINE)  # empty lines, which begin no request

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a further request."""
        super().on_message_begin()
        self._incoming, self._head_done = True, False
        if self._deadline is None:
            self._wait(DEADLINE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers, which come behind the body, are nobody's business here."""
        if not self._head_done:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._stop()
        self._head_done, self._idle_bytes = True, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request is there."""
        self._stop()
        self._incoming, self._idle_bytes = False, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is on its way; what still comes of the request is taken for a while."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_in(LAST_BYTES_WITHIN)
        elif self._incoming and self._deadline is None:
            self._wait(LINGER)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for long enough."""
        super().timeout_keep_alive_handler()
        self._abort_in(LAST_BYTES_WITHIN)

    def pause_writing(self) -> None:
        """The other side takes less than there is: watch it."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._stop_watching()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop()
        self._stop_watching()
        super().connection_lost(exc)

    def _crowds(self) -> bool:
        if self.client is None:
            return False
        others: Any = self.connections
        same = [other for other in others if other.client is not None and other.client[0] == self.client[0]]
        return len(same) > PER_ADDRESS

    def _wait(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._show_out)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _show_out(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
            self._abort_in(LAST_BYTES_WITHIN)

    def _refuse_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("Headers without end.")
            self._abort_in(LAST_BYTES_WITHIN)
        else:
            self.transport.abort()

    def _abort_in(self, seconds: float) -> None:
        """Closing sends what is left first; whoever does not take even that is not waited for."""
        self._stop()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _watch_reader(self) -> None:
        self._stop_watching()
        self._reading = self.loop.call_later(READ_WITHIN, self._look_at_reader)

    def _stop_watching(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _look_at_reader(self) -> None:
        """Writing has been paused all the time, so whatever left the buffer was read."""
        left = self.transport.get_write_buffer_size()
        if self._unread - left < SLOWEST_READER * READ_WITHIN:
            self.transport.abort()
            return
        self._unread = left
        self._watch_reader()
