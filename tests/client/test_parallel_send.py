# ruff: noqa: PLR0917 - fixtures are many
"""Windows side by side: what is sent twice, what is ever sent, and what a line costs that breaks again and again."""

import os
import secrets
import socket
import struct
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from urllib.parse import urlsplit

import httpx
import pytest
from rogatory import Client
from rogatory.source import SourceChanged
from rogatory.tus import Pace, Target, Upload, held

from custody.sealing import body_size
from tests.backends import EMBEDDED, only
from tests.client.test_exchange_of_evidence import Crash, Line

MIB = 1024 * 1024
WINDOW = 16 * MIB
CUT = 30_000_000
SAME = 20


class Recorder(Line):
    """The real line; keeps every byte that ever left for an upload, at its place in the body, and breaks on demand."""

    def __init__(self, profile, bodies, *, breaks_after=None):
        super().__init__(profile, lambda _: None)
        self.bodies, self.left, self.sent = bodies, breaks_after, 0
        self.starts, self.turn = {}, threading.Lock()

    def handle_request(self, request):
        bytes_come = request.headers.get("Content-Type") == "application/offset+octet-stream"
        start = int(request.headers.get("Rogatory-Start", "0"))
        item = request.url.path.split("/")[5] if "/items/" in request.url.path else None
        if request.method == "PATCH":
            item, start = self.starts[request.url.path]
            start += int(request.headers["Upload-Offset"])
        if bytes_come:
            request.stream = self.kept(request.stream, item, start)
        answer = self._inner.handle_request(request)
        if request.method == "POST" and item and "Location" in answer.headers:
            self.starts[answer.headers["Location"]] = item, int(request.headers.get("Rogatory-Start", "0"))
        return answer

    def kept(self, stream, item, at):
        line = self

        class Kept(httpx.SyncByteStream):
            def __iter__(self):
                place = at
                for part in stream:
                    with line.turn:
                        line.sent += len(part)
                        if line.left is not None and line.sent > line.left:
                            raise Crash
                        line.bodies[item].append((place, part))
                    place += len(part)
                    yield part

        return Kept()


def one_body(pieces, size):
    """What left, laid over itself: every byte that left twice was the same; the body, and which bytes of it left."""
    body, seen = bytearray(size), bytearray(size)
    for at, part in pieces:
        there = seen[at : at + len(part)]
        if any(there):
            ours = bytes(new if known else old for new, known, old in zip(part, there, body[at:], strict=False))
            assert bytes(body[at : at + len(part)]) == ours
        body[at : at + len(part)] = part
        seen[at : at + len(part)] = b"\1" * len(part)
    return body, seen


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.dd"
    path.write_bytes(os.urandom(5 * WINDOW + 99))
    return path


@contextmanager
def line_of(client, line):
    made = Client(client.profile, transport=line)
    with made:
        yield made


def settled(look):
    """What is seen in the end, once it has been the same for a while; what comes later still is not counted."""
    seen = [look()]
    while len(seen) < SAME or len(set(seen[-SAME:])) > 1:
        time.sleep(0.02)
        seen.append(look())
    return seen[-1]


def arrived(client, package, size):
    """Bytes of the one large item that the service holds."""
    [row] = client.connection.get_json(f"/v1/packages/{package}")["items"]
    window = Upload.of_window(client.connection, Target(package, row["id"], size, WINDOW), 0, WINDOW)
    window.create_or_find()
    return sum(end - start for start, end in held(client.connection, window.whole, size))


def test_what_was_killed_between_its_windows_goes_on_and_sends_next_to_nothing_twice(
    police, court, exchange, terms, image, tmp_path
):
    bodies, broken_at = defaultdict(list), 3 * WINDOW + 5 * MIB
    killed = Recorder(police.profile, bodies, breaks_after=broken_at)
    with line_of(police, killed) as client, pytest.raises(Crash):
        client.send(exchange, [image], to=["court.fr"], terms=terms)
    [package] = police.unfinished_sends()
    size = body_size(image.stat().st_size)
    left = sum(len(part) for pieces in bodies.values() for _, part in pieces)
    lost = left - settled(lambda: arrived(police, package, size))  # in the buffers of a line that was there no more
    assert lost < left
    resumed = Recorder(police.profile, bodies)
    with line_of(police, resumed) as client:
        client.resume_send(package)
    again = sum(len(part) for pieces in bodies.values() for _, part in pieces)
    assert again - lost < 1.01 * size
    court.receive(package, tmp_path / "in")
    assert (tmp_path / "in" / "evidence" / "disk.dd").read_bytes() == image.read_bytes()


@only(EMBEDDED)  # what leaves the client, whatever it comes to
@pytest.mark.parametrize("place", [77, 2 * WINDOW + 77], ids=["acknowledged", "sent and not acknowledged"])
def test_no_byte_of_a_changed_window_ever_leaves_under_its_old_key(police, court, exchange, terms, tmp_path, place):
    image = tmp_path / "disk.dd"
    image.write_bytes(os.urandom(3 * WINDOW + 99))
    bodies = defaultdict(list)
    killed = Recorder(police.profile, bodies, breaks_after=2 * WINDOW + 9 * MIB)
    with line_of(police, killed) as client, pytest.raises(Crash):
        client.send(exchange, [image], to=["court.fr"], terms=terms, parallel=1)
    [package] = police.unfinished_sends()
    flip(image, place)
    for _ in range(2):
        with line_of(police, Recorder(police.profile, bodies)) as client, pytest.raises(SourceChanged):
            client.resume_send(package)
    flip(image, place)
    with line_of(police, Recorder(police.profile, bodies)) as client:
        sent = client.resume_send(package)
    for member in [*sent.manifest.payload["items"], sent.manifest.payload["inventory"]]:
        body, seen = one_body(bodies.pop(member["id"]), member["size"])
        assert all(seen)
        assert member["sha256"] == sha256(body).hexdigest()
    assert not bodies


def flip(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


def test_many_items_of_all_sizes_arrive_and_the_progress_of_each_ends_at_its_size(
    police, court, exchange, terms, tmp_path
):
    paths = []
    for number, size in enumerate([0, 1, 70_000, WINDOW + 5, *[1000] * 8]):
        path = tmp_path / f"{number:02}.bin"
        path.write_bytes(secrets.token_bytes(size))
        paths.append(path)
    told = defaultdict(list)
    sent = police.send(
        exchange, paths, to=["court.fr"], terms=terms, parallel=3,
        progress=lambda progress: told[progress.item].append((progress.done, progress.size)),
    )  # fmt: skip
    assert set(told) == {-1, *range(len(paths))}
    for each in told.values():
        assert each == sorted(each)
        assert each[-1][0] == each[-1][1]
    court.receive(sent.package, tmp_path / "in")
    for path in paths:
        assert (tmp_path / "in" / "evidence" / path.name).read_bytes() == path.read_bytes()


def test_a_low_rate_leaves_in_small_steps_shared_by_all_lanes():
    clock, slept = [0.0], []
    pace = Pace(2048.0, sleep=slept.append, clock=lambda: clock[0])
    assert pace.slice <= 1024
    for _ in range(8):
        pace.spend(pace.slice)
    assert slept[-1] == pytest.approx(8 * pace.slice / 2048.0)
    assert Pace(1e12).slice == Pace().slice


class Cutting:
    """A way to the service that breaks after every so many bytes; counts all that came."""

    def __init__(self, port, every):
        self.upstream, self.every, self.came, self.cuts = port, every, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.upstream))
                threading.Thread(target=self.there, args=(near, far), daemon=True).start()
                threading.Thread(target=self.back, args=(far, near), daemon=True).start()

    def there(self, near, far):
        with suppress(OSError):
            while data := near.recv(65536):
                self.came += len(data)
                if self.came // self.every > self.cuts:
                    self.cuts += 1
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                far.sendall(data)
        self.end(near, far)

    def back(self, far, near):
        with suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)
        self.end(near, far)

    @staticmethod
    def end(*sockets):
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@only(EMBEDDED)  # about the client and the line; 300 MB of it
def test_a_line_that_breaks_every_30_mb_of_a_large_part_sends_less_than_a_tenth_again(service, police, exchange):
    way = Cutting(urlsplit(service.facts["url"]).port, CUT)
    profile = replace(police.profile, server=f"https://localhost:{way.port}")
    size, block = 10 * CUT, memoryview(bytes(WINDOW))
    package = secrets.token_hex(16)
    detail = {"recipients": ["court.fr"], "handling": "evidence"}
    said = police.speaker.act("package.declared", exchange.handle, subject={"package": package}, detail=detail)
    police.lodge.lodge(f"/v1/exchanges/{exchange.id}/packages", said, event="package.declared")
    with Client(profile) as client:
        upload = Upload.create(
            client.connection, package=package, item=secrets.token_hex(16), size=size, part_size=4096 * MIB,
        )  # fmt: skip
        for start in range(0, size, WINDOW):
            upload.write(start, block[: size - start], lambda _: None)
        assert upload.offset == size
    assert way.cuts >= 10
    assert way.came < 1.1 * size
