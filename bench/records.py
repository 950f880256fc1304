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

from bench import place
from bench.series import Effort, Row, Series
from tests import postgres

_EXCHANGES = 25


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
                rates, middles, tails = (Series(tuple(column)) for column in zip(*turns, strict=True))
                goals = (">= 1500", "<= 50") if flight == 100 else ("", "")
                yield Row(
                    "records", f"records proven over HTTP, {flight} in flight, {name}", "/s", rates, goal=goals[0]
                )
                yield Row("records", f"latency to proof, {flight} in flight, {name}: p50", "ms", middles, goal=goals[1])
                yield Row("records", f"latency to proof, {flight} in flight, {name}: p99", "ms", tails)


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

    def run(self, count: int, flight: int) -> tuple[float, float, float]:
        """Records a second, and the median and 99th percentile of the milliseconds to the answer."""
        self._alice.forget()
        requests = [self._request(self._matters[number % _EXCHANGES]) for number in range(count)]
        started = perf_counter()
        waits = asyncio.run(_fire(self._running.port, requests, flight))
        took = perf_counter() - started
        return count / took, median(waits), quantiles(waits, n=100)[98] if count > 1 else waits[0]

    def _request(self, matter) -> bytes:
        detail = {"recipients": [self._court.id]}
        said = self._alice.act("package.declared", matter.handle, {"package": secrets.token_hex(16)}, detail)
        body = json.dumps({"envelope": said.envelope.decode()}).encode()
        token = self._alice.headers["Authorization"]
        head = (
            f"POST /v1/exchanges/{matter.id}/packages HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _fire(port: int, requests: list[bytes], flight: int) -> list[float]:
    waits: list[float] = []
    left = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            started = perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length:")
            body = await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
            waits.append((perf_counter() - started) * 1000)
            assert head.startswith(b"HTTP/1.1 201"), (head, body)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(flight)))
    return waits
