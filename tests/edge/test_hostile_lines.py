"""Row 14: slow and oversize clients are cut off and starve nobody, and cost the real process little memory."""

import asyncio
import contextlib
import statistics
import threading
import time

import pytest

from tests.app.party import MIB, Item
from tests.edge.process import ServerProcess

CONNECTIONS = 200
SECONDS = 20
GROWTH = 64 * MIB
PAUSE = 1.0
HOST = b"Host: x\r\n"
DEEP = b"[" * 200_000
REGISTRY = b"POST /v1/authorities/a-1/registry HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
TOKEN = b"POST /oauth/token HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"


def with_token(head, length):
    def begin(token):
        return head + b"Authorization: " + token + b"\r\nContent-Length: %d\r\n\r\n" % length

    return begin


OPENING = b"POST /v1/exchanges HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
KINDS = {
    "headers that never end, byte by byte": (b"GET /livez HTTP/1.1\r\nX-Slow: ", b"x"),
    "nothing at all": (b"", b""),
    "empty lines for ever": (b"\r\n", b"\r\n"),
    "a body of a stranger, byte by byte": (TOKEN + b"Content-Length: 1000\r\n\r\n", b"x"),
    "a body of a member, byte by byte": (with_token(OPENING, 1_000_000), b" "),
    "a length that lies": (REGISTRY + b"Content-Length: 1000\r\n\r\n{", b""),
    "a length beyond all limits": (REGISTRY + b"Content-Length: 99999999999\r\n\r\n{", b"x"),
    "a body that was refused and goes on": (OPENING + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "a header of 1 MiB": (b"GET /livez HTTP/1.1\r\nX-Large: " + b"x" * MIB, b"x"),
    "many headers": (b"GET /livez HTTP/1.1\r\n" + b"X-Y: z\r\n" * 60_000, b"X-Y: z\r\n"),
    "deep brackets of a stranger": (REGISTRY + b"Content-Length: %d\r\n\r\n" % len(DEEP) + DEEP, b""),
    "deep brackets of a member": (lambda token: with_token(OPENING, len(DEEP))(token) + DEEP, b""),
    "length and chunks at once": (
        OPENING + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"",
    ),
    "chunks of one byte": (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers without end": (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: y\r\n"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", b"\x00"),
}
"""What is sent at first, and then each second."""


class Storm:
    """Connections that misbehave, each kind again and again until told to stop; then they wait to be cut off."""

    def __init__(self, port, token):
        self.port, self.token = port, token
        self.cut = dict.fromkeys(KINDS, 0)
        self.open = 0
        self.calm = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._rage()))

    async def _rage(self):
        names = list(KINDS)
        await asyncio.gather(*(self._line(names[number % len(names)]) for number in range(CONNECTIONS)))

    async def _line(self, name):
        while not self.calm.is_set():
            await self._misbehave(name)
            await asyncio.sleep(PAUSE)

    async def _misbehave(self, name):
        first, then = KINDS[name]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open += 1
        try:
            writer.write(first(self.token) if callable(first) else first)
            while not reader.at_eof():  # nothing but the other side ends this
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await reader.read(65536)
                writer.write(then)
                await writer.drain()
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            self.cut[name] += 1
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = ServerProcess(tmp_path_factory.mktemp("storm"))
    yield made
    assert made.end() == 0


def day(sender, court, receiver):
    """What a law-abiding party does: log in, act, upload, look, be answered. Every step asserts its own status."""
    sender.forget()
    receiver.forget()
    matter = sender.open_exchange(court)
    package = sender.declare(matter, court)
    items = [Item(b"x" * size, [court.identity.recipient]) for size in (10, MIB)]
    for item in items:
        sender.upload(package, item)
        sender.put_header(package, item.header)
    sender.post(f"/v1/packages/{package}/seal", sender.manifest(matter, package, items, [court]))
    receiver.get(f"/v1/packages/{package}/manifest")
    receiver.get("/v1/exchanges")


def test_hostile_lines_starve_nobody(server, effort):
    court, police = server.authority(), server.authority()
    sender, receiver, outsider = police.enrol(), court.enrol(), server.authority().enrol()
    spent, times = [], []
    server.http.event_hooks["response"].append(lambda answer: times.append((answer.read(), answer.elapsed)[1]))
    for _ in range(3):
        day(sender, court, receiver)
    before, times[:] = server.memory(), []
    storm = Storm(server.port, outsider.headers["Authorization"].encode())
    storm.thread.start()
    days, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        day(sender, court, receiver)
        days += 1
        spent.append(server.memory() - before)
    storm.calm.set()
    storm.thread.join(timeout=120)
    assert not storm.thread.is_alive(), f"{storm.open} connections were never cut off: {storm.cut}"
    assert all(storm.cut.values()), storm.cut
    assert days >= 5
    assert max(spent) <= GROWTH
    worst = statistics.quantiles([each.total_seconds() for each in times], n=100)[98]
    effort.tell(
        f"{sum(storm.cut.values())} cut off; {len(times)} lawful requests, none refused, p99 {worst * 1000:.0f} ms; "
        f"memory grew by {max(spent) / MIB:.0f} MiB"
    )
    day(sender, court, receiver)
