"""Records over HTTP: from the first byte of a request to the signed checkpoint and inclusion proof in its answer.

Each request brings a signed statement (package.declared) that the service verifies, records, sequences and proves
before it answers. The statements are signed beforehand; the client here only sends and waits.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

from bench import place
from bench.series import Effort, Row, Series
from tests import postgres

_EXCHANGES = 25
_NOT_NOW, _PAUSE = b"HTTP/1.1 503", 0.2


def over_http(effort: Effort, root: Path) -> Iterator[Row]:
    """1 and 100 in flight, on SQLite and on PostgreSQL (whose fsync is on)."""
    for name in ("SQLite", "PostgreSQL"):
        with ExitStack() as stack:
            settings = {}
            if name == "PostgreSQL":
                server = stack.enter_context(Synced())
                database = server.database()
                settings["ROGATORY_DATABASE"] = database.url
            running = stack.enter_context(place.service(root / name, settings))
            load = _Load(running)
            load.run(effort.records // 10, 10)
            for flight, count in ((1, effort.records // 10), (100, effort.records)):
                turns = [load.run(count, flight) for _ in range(effort.repeat)]
                yield from _rows(turns, f"{flight} in flight, {name}", goals=flight == 100)


def _rows(turns: list["_Turn"], about: str, *, goals: bool) -> Iterator[Row]:
    rates, middles, tails, again = zip(*turns, strict=True)
    note = f"{sum(again)} refused (503) and sent again" if any(again) else ""
    work, wanted = f"records proven over HTTP, {about}", ">= 1500" if goals else ""
    yield Row("records", work, "/s", Series(rates), goal=wanted, note=note)
    wanted = "<= 50" if goals else ""
    yield Row("records", f"latency to proof, {about}: p50", "ms", Series(middles), goal=wanted)
    yield Row("records", f"latency to proof, {about}: p99", "ms", Series(tails))


class _Turn(NamedTuple):
    """Records a second, median and 99th percentile of the milliseconds to the answer, how often it was "not now"."""

    rate: float
    middle: float
    tail: float
    again: int


class Synced:
    """The tests' server, but one that syncs."""

    def __enter__(self) -> postgres.Server:
        self._fast = dict(postgres.SETTINGS)
        postgres.SETTINGS.update({"fsync": "on", "synchronous_commit": "on", "shared_buffers": "128MB"})
        self._server = postgres.Server()
        return self._server

    def __exit__(self, *_: object) -> None:
        postgres.SETTINGS.clear()
        postgres.SETTINGS.update(self._fast)
        self._server.stop()


class _Load:
    """Two authorities with exchanges between them, and requests to declare packages there."""

    def __init__(self, running: place.Service) -> None:
        self._running = running
        self._court = running.authority("fr.court")
        self._alice = running.authority("nl.police").enrol()
        self._matters = [self._alice.open_exchange(self._court) for _ in range(_EXCHANGES)]

    def run(self, count: int, flight: int) -> _Turn:
        """So many records, so many of them at once."""
        self._alice.forget()
        requests = [self._request(self._matters[number % _EXCHANGES]) for number in range(count)]
        started = perf_counter()
        waits, again = asyncio.run(_fire(self._running.port, requests, flight))
        took = perf_counter() - started
        return _Turn(count / took, median(waits), quantiles(waits, n=100)[98] if count > 1 else waits[0], again)

    def _request(self, matter) -> bytes:
        detail = {"recipients": [self._court.id]}
        said = self._alice.act("package.declared", matter.handle, {"package": secrets.token_hex(16)}, detail)
        body = json.dumps({"envelope": said.envelope.decode()}).encode()
        token = self._alice.headers["Authorization"]
        head = (
            f"POST /v1/exchanges/{matter.id}/packages HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Idempotency-Key: {secrets.token_hex(16)}\r\n\r\n"
        )
        return head.encode() + body


async def _fire(port: int, requests: list[bytes], flight: int) -> tuple[list[float], int]:
    """Milliseconds to each record, however often it was asked for, and how often one had to be asked for again."""
    waits: list[float] = []
    left = iter(requests)
    again = 0

    async def one() -> None:
        nonlocal again
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            started = perf_counter()
            while (answer := await _ask(reader, writer, request)).startswith(_NOT_NOW):
                again += 1
                await asyncio.sleep(_PAUSE)
            waits.append((perf_counter() - started) * 1000)
            assert answer.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200")), answer  # 200: it was recorded before
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(flight)))
    return waits, again


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length:")
    return head + await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
