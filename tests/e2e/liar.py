"""A service that lies: the real one behind a proxy that holds its certificate and changes answers."""

import http.client
import ssl
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOPS = {"connection", "transfer-encoding", "content-length", "date", "server", "keep-alive"}


@dataclass
class Answer:
    """What the real service answered to a request, to be changed."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    asked: dict[str, str] = field(repr=False)


class Server(ThreadingHTTPServer):
    """One that does not tell on stderr, which the commands of this process share, that somebody has hung up."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Liar:
    """Listens where clients look for the service, and passes everything on to where it is.

    `lie` is called with each answer and may change it; None for an honest proxy.
    """

    def __init__(self, port, upstream, certificates):
        self._upstream = upstream
        self.lie = None
        self.told = 0
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = liar.ask(self.command, self.path, dict(self.headers), body)
                if liar.lie is not None and liar.lie(answer):
                    liar.told += 1
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in HOPS:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.pass_on
                raise AttributeError(name)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @contextmanager
    def leading_to(self, port):
        """Pass everything on to another service for a while."""
        before, self._upstream = self._upstream, port
        try:
            yield
        finally:
            self._upstream = before

    def again(self, answer, path):
        """What the service would have answered the same caller at another path."""
        return self.ask(answer.method, path, answer.asked, b"")

    def ask(self, method, path, headers, body):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = http.client.HTTPSConnection("127.0.0.1", self._upstream, context=context, timeout=60)
        try:
            line.request(method, path, body or None, headers | {"Connection": "close"})
            found = line.getresponse()
            return Answer(method, path, found.status, dict(found.getheaders()), found.read(), headers)
        finally:
            line.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
