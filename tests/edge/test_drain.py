"""Told to end, the real process finishes what is under way, keeps what has come of bodies, and ends with 0."""

import signal
import socket
import time

import pytest
from sqlalchemy import func, select

from app.db.log_models import LedgerRow, LogLeaf, Pending
from app.services.intake import PIECE
from tests.app.party import BYTES, MIB, TUS, token
from tests.edge.process import ServerProcess


@pytest.fixture
def serve(tmp_path):
    begun = []

    def begin(**settings):
        begun.append(ServerProcess(tmp_path, **settings))
        return begun[-1]

    yield begin
    for each in begun:
        each.end(signal.SIGKILL)


class Upload:
    """A PATCH that says how much it will bring, and brings what it is told to."""

    def __init__(self, server, length):
        self.server, court = server, server.authority()
        self.sender = server.authority().enrol()
        matter = self.sender.open_exchange(court)
        self.location = self.sender.create(self.sender.declare(matter, court), token(), length).headers["Location"]
        head = {**self.sender.headers, **TUS, **BYTES, "Host": "x", "Upload-Offset": "0", "Content-Length": str(length)}
        self.line = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.line.sendall(f"PATCH {self.location} HTTP/1.1\r\n{lines}\r\n".encode())

    def send(self, data):
        self.line.sendall(data)

    def arrived(self, size):
        """Return when that much is durable: the upload is asked again and again, without disturbing it."""
        end = time.monotonic() + 30
        while self.sender.offset(self.location) < size:
            assert time.monotonic() < end
            time.sleep(0.02)

    def answer(self):
        with self.line, self.line.makefile("rb") as file:
            return file.read()


def no_longer_listens(server):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return
    raise AssertionError("still takes connections")


def test_a_request_under_way_is_finished_and_nothing_new_is_taken(serve):
    server = serve(drain="60s")
    upload = Upload(server, 17 * MIB)
    upload.send(bytes(16 * MIB))
    upload.arrived(16 * MIB)
    server.process.send_signal(signal.SIGTERM)
    no_longer_listens(server)
    upload.send(bytes(MIB))
    assert upload.answer().startswith(b"HTTP/1.1 204 ")
    assert server.code() == 0
    assert server.log.read_text().count('"status": 204') == 1


def test_a_body_that_does_not_end_in_time_is_broken_off_and_its_tail_is_kept(serve, tmp_path):
    server = serve(drain="1s", min_part_size="32MiB")
    upload = Upload(server, 40 * MIB)
    sent = PIECE + 3 * MIB + 12_345
    upload.send(bytes(sent))
    upload.arrived(PIECE)
    server.process.send_signal(signal.SIGTERM)
    answer = upload.answer()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer
    assert b"retry-after: 5" in answer.lower()
    assert server.code() == 0
    server.ready.unlink()
    again = serve(port=server.port, min_part_size="32MiB")
    upload.sender.service, upload.sender._token = again, None
    assert upload.sender.offset(upload.location) == sent


def test_what_was_committed_is_in_the_log_when_the_process_has_ended(serve):
    server = serve()
    sender, court = server.authority().enrol(), server.authority()
    matter = sender.open_exchange(court)
    for _ in range(20):  # a look is on record before it is answered, and nobody waits for its proof
        sender.get(f"/v1/exchanges/{matter.id}/log")
    assert server.end() == 0
    with server.runtime.reading() as session:
        assert session.scalar(select(func.count()).select_from(Pending)) == 0
        query = select(func.count()).select_from(LedgerRow).join(LogLeaf, LogLeaf.ledger_id == LedgerRow.id)
        assert session.scalar(query.where(LedgerRow.chain == matter.handle)) == 21


def test_a_second_signal_ends_it_at_once(serve):
    server = serve(drain="1h")
    upload = Upload(server, 40 * MIB)
    upload.send(bytes(16 * MIB))
    upload.arrived(16 * MIB)
    server.process.send_signal(signal.SIGTERM)
    no_longer_listens(server)
    assert server.process.poll() is None
    assert server.end(signal.SIGTERM) == 128 + signal.SIGTERM
    upload.line.close()
