"""As much of WebSocket (RFC 6455) as it takes to steer a browser on this machine: text both ways, nothing else."""

import base64
import secrets
import socket
from urllib.parse import urlsplit

_TEXT, _CLOSE, _PING = 1, 8, 9


class WebSocket:
    """A connection to a `ws://127.0.0.1…` address."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=120)
        self._file = self._socket.makefile("rb")
        lines = [
            f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}", "Sec-WebSocket-Version: 13",
        ]  # fmt: skip
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if b" 101 " not in self._file.readline():
            raise ConnectionError(f"{url} is no WebSocket")
        while self._file.readline().strip():
            pass

    def send(self, text):
        data, mask = text.encode(), secrets.token_bytes(4)
        size = len(data)
        if size < 126:
            head = bytes([0x80 | _TEXT, 0x80 | size])
        elif size < 2**16:
            head = bytes([0x80 | _TEXT, 0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | _TEXT, 0x80 | 127]) + size.to_bytes(8, "big")
        whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        self._socket.sendall(head + mask + whole.to_bytes(size, "big"))

    def receive(self):
        """The next message's text."""
        found = b""
        while True:
            first, second = self._file.read(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
            data = self._file.read(size)
            if first & 0x0F == _CLOSE:
                raise ConnectionError("the browser closed the connection")
            if first & 0x0F >= _PING:
                continue
            found += data
            if first & 0x80:
                return found.decode()

    def close(self):
        self._file.close()
        self._socket.close()
