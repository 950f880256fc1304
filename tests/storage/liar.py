"""A reverse proxy in front of a real S3 server that fails and lies on demand, on loopback, in this process.

A request is passed on as it is, signature and all. A fault says which requests it takes, how often, and what becomes
of the answer; what was asked is kept in `Liar.seen`.
"""

import base64
import hashlib
import http.client
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"


@dataclass
class Answer:
    """An answer on its way back."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent: int | None = None
    """How many bytes of the body leave before the line breaks; None for all, and no break."""


@dataclass
class Fault:
    """What goes wrong with which requests."""

    takes: Callable[[str, str], bool]
    before: Callable[[], Answer | None] | None = None
    """Answers instead of the store; None closes the line."""
    after: Callable[[Answer], Answer | None] | None = None
    """Changes the store's answer; None closes the line instead."""
    asked: Callable[[bytes], bytes] | None = None
    """Changes the body on its way to the store."""
    breaks: bool = False
    """Resets the line while the body comes."""
    times: int = 1_000_000
    met: int = field(default=0)


class Liar:
    """A running proxy; `endpoint` is where clients go."""

    def __init__(self, upstream):
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.gone = threading.Event()
        self.guard = threading.Lock()
        self.server = ThreadingHTTPServer((HOST, 0), self._handler())
        self.server.daemon_threads = True
        self.endpoint = f"http://{HOST}:{self.server.server_port}"

    def inject(self, takes, **lie):
        """From now on, this goes wrong."""
        self.faults.append(Fault(takes, **lie))
        return self.faults[-1]

    def heal(self):
        """From now on, nothing goes wrong."""
        self.faults.clear()

    def fault(self, method, path):
        """What goes wrong with this request, if anything."""
        with self.guard:
            self.seen.append((method, path))
            for each in self.faults:
                if each.met < each.times and each.takes(method, path):
                    each.met += 1
                    return each
        return None

    def _handler(self):
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def handle_one(self):
                fault = liar.fault(self.command, self.path)
                if fault and fault.breaks:
                    self.close_connection = True  # with what was not read: that is a reset
                    return
                body = self.taken()
                if fault and fault.asked:
                    body = fault.asked(body)
                answer = fault.before() if fault and fault.before else self.ask(body)
                if fault and fault.after:
                    answer = fault.after(answer)
                if answer is None:
                    self.close_connection = True
                else:
                    self.give(answer)

            def taken(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def ask(self, body):
                line = http.client.HTTPConnection(liar.upstream, timeout=30)
                try:
                    line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in {"connection", "expect", "transfer-encoding", "content-length"}:
                            line.putheader(name, value)
                    line.putheader("Content-Length", str(len(body)))
                    line.endheaders(body)
                    found = line.getresponse()
                    return Answer(found.status, dict(found.getheaders()), found.read())
                finally:
                    line.close()

            def give(self, answer):
                bare = {"transfer-encoding", "connection", "content-length"}
                told = {name.lower(): value for name, value in answer.headers.items()}
                length = told.get("content-length", 0) if self.command == "HEAD" else len(answer.body)
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in bare:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.body if answer.sent is None else answer.body[: answer.sent])
                if answer.sent is not None:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815 - names that the server looks up

            def handle_expect_100(self):
                done = super().handle_expect_100()
                self.wfile.flush()
                return done

            def log_message(self, *_: Any):
                pass

            def handle(self):
                with suppress(OSError, ValueError):
                    super().handle()

        return Handler


@contextmanager
def lying(upstream):
    """A proxy for as long as this is entered."""
    liar = Liar(upstream)
    thread = threading.Thread(target=liar.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield liar
    finally:
        liar.gone.set()
        liar.server.shutdown()
        liar.server.server_close()
        thread.join()


# ---- which requests


def part_put(method, path):
    return method == "PUT" and "partNumber=" in path


def completion(method, path):
    return method == "POST" and "uploadId=" in path


def object_put(method, path):
    return method == "PUT" and "/objects/" in path and "?" not in path


def object_get(method, path):
    return method == "GET" and "/objects/" in path


def object_head(method, path):
    return method == "HEAD" and "/objects/" in path


def retention(method, path):
    return method == "PUT" and "retention" in path


def piece_put(method, path):
    return method == "PUT" and ".piece." in path


def anything(_method, _path):
    return True


# ---- what goes wrong


def busy():
    """The store is overloaded."""
    return Answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")


def full():
    """The store has no room."""
    return Answer(507, {"Content-Type": "application/xml"}, b"<Error><Code>InsufficientStorage</Code></Error>")


def absent():
    """The object is gone."""
    return Answer(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchVersion</Code></Error>")


def forbidden():
    """It may not be done."""
    return Answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")


def empty_success():
    """Nothing was done, and success is told."""
    return Answer(200, {}, b"")


def kept(data):
    """It was kept, whatever was asked."""
    told = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
    return lambda: Answer(200, {"x-amz-checksum-sha256": told, "x-amz-version-id": "1"}, b"")


def completed():
    """It was completed, whatever was asked."""
    text = b"<CompleteMultipartUploadResult><Key>key</Key></CompleteMultipartUploadResult>"
    return Answer(200, {"Content-Type": "application/xml"}, text)


def error_in_success():
    """A completion that went wrong after the status had left."""
    return Answer(
        200, {"Content-Type": "application/xml"}, b'<?xml version="1.0"?><Error><Code>InternalError</Code></Error>'
    )


def lost(_answer):
    """It was done, and no answer ever arrives."""
    return


def cut(answer):
    """The line breaks in the middle of the body."""
    return Answer(answer.status, answer.headers, answer.body, sent=len(answer.body) // 2)


def shortened(answer):
    """Half the body, as if that were all."""
    return Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2])


def with_a_bit_flipped(body):
    """One bit in the middle is another."""
    changed = bytearray(body)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def flipped(answer):
    """One bit of the body is another."""
    return Answer(answer.status, answer.headers, with_a_bit_flipped(answer.body))


def telling(**headers):
    """The answer says something else in these headers; None takes one away."""

    def change(answer):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in named}
        return Answer(answer.status, kept | {n: v for n, v in named.items() if v is not None}, answer.body)

    return change
