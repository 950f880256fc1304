"""A witness that is asked: the HTTP interface of C2SP tlog-witness, and nothing beside it.

Small on purpose: one thread for each of a few connections, each of which ends after a minute; bodies as large as a
request can be. There is nothing to log in to: what is not signed by a log that is followed gets a refusal.
Specification: docs/spec/witness.md, sections 1 and 2.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Timer
from typing import Any, Final

from custody.witness import MAX_REQUEST, SIZE_TYPE, AddCheckpoint, OldDiffers, RequestMalformed, WitnessRefusal
from rogatory.errors import ClientError
from rogatory.witness import Witness

MOST_CONNECTIONS: Final = 32
_LIFETIME: Final = 60.0
_SILENCE: Final = 15.0
_HEX: Final = frozenset("0123456789abcdef")
_PLACE_LENGTH: Final = 64
_TEXT: Final = "text/plain; charset=utf-8"


class WitnessServer(ThreadingHTTPServer):
    """Answers for a witness until `shutdown`.

    Args:
        address: Host and port; port 0 takes a free one.
        witness: Who answers.
        prefix: Path before the interface's own, without a slash at its end.
        time: The clock, POSIX seconds.
        tls: Certificate chain and key in PEM files; plain HTTP without, for behind a proxy or on loopback.
        tell: Called with each refusal and each cosigned size, in words.
    """

    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        witness: Witness,
        *,
        prefix: str = "",
        time: Callable[[], int],
        tls: tuple[Path, Path] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.witness, self.prefix, self.time, self.tell = witness, prefix.rstrip("/"), time, tell
        self._room = BoundedSemaphore(MOST_CONNECTIONS)
        self._live: set[socket.socket] = set()
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*tls)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = str(self.server_address[0]), self.server_address[1]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{shown}:{port}{self.prefix}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection if there is room; the others are closed, and may come again."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer what comes over one connection, for a minute at most."""
        spoken = request
        end = Timer(_LIFETIME, lambda: self._cut(spoken))
        end.daemon = True
        end.start()
        self._live.add(spoken)
        try:
            request.settimeout(_SILENCE)
            if self._tls is not None:
                spoken = self._tls.wrap_socket(request, server_side=True)
                self._live.add(spoken)
            super().process_request_thread(spoken, client_address)
        except OSError:
            self.shutdown_request(spoken)
        finally:
            end.cancel()
            self._live -= {request, spoken}
            self._room.release()

    def server_close(self) -> None:
        """Take no more connections, and end those that are open."""
        for each in list(self._live):
            self._cut(each)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A line that broke is nothing to tell; whatever else it was, the connection has ended without an answer."""

    @staticmethod
    def _cut(request: socket.socket) -> None:
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "rogatory-witness"
    sys_version = ""

    def do_POST(self) -> None:
        """add-checkpoint."""
        body = self._body()
        if body is None:
            return
        if self.path != f"{self.server.prefix}/add-checkpoint":
            self._answer(404, b"there is nothing here\n")
            return
        try:
            request = AddCheckpoint.parse(body)
            lines = self.server.witness.cosign(request, time=self.server.time())
        except RequestMalformed as error:
            self._answer(400, f"{error}\n".encode())
        except OldDiffers as error:
            self._answer(error.status, f"{error.size}\n".encode(), SIZE_TYPE)
        except WitnessRefusal as error:
            self.server.tell(f"{error.status} {error.code}: {error}")
            self._answer(error.status, f"{error}\n".encode())
        except (ClientError, OSError) as error:
            self.server.tell(f"500: {error}")
            self._answer(500, b"the witness cannot remember now, so it does not cosign\n")
        else:
            self._answer(200, lines)

    def do_GET(self) -> None:
        """The newest checkpoint cosigned."""
        place, _, last = self.path.removeprefix(f"{self.server.prefix}/").partition("/")
        asked = self.path.startswith(f"{self.server.prefix}/") and last == "checkpoint"
        found = None
        if asked and len(place) == _PLACE_LENGTH and set(place) <= _HEX:
            found = self.server.witness.remembered(place)
        if found is None:
            self._answer(404, b"no checkpoint was cosigned here\n")
        else:
            self._answer(200, found.note)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library names it
        """Nothing: who asks is of no interest, what is refused is told by name."""

    def _body(self) -> bytes | None:
        """The body, or None after an answer that ends the connection."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self._answer(411, b"a body needs its length\n", end=True)
            return None
        if len(length) > len(str(MAX_REQUEST)) or int(length) > MAX_REQUEST:
            self._answer(413, f"more than {MAX_REQUEST} bytes\n".encode(), end=True)
            return None
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            return None
        return body

    def _answer(self, status: int, body: bytes, kind: str = _TEXT, *, end: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if end:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
