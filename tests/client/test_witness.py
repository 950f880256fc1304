"""A witness remembers before it answers, answers as the protocol says, and keeps what proves a fork."""

import http.client
import os
import socket
import ssl
import stat
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import httpx
import pytest
from rogatory import private_files, witness_server
from rogatory.cli import session
from rogatory.cli import witness as command
from rogatory.log import LogAhead, LogWrong, Mirror
from rogatory.private_files import FileExposed
from rogatory.witness import LogForked, LogShrunk, NotComplete, Witness, WitnessMalformed, mirror_log, once
from rogatory.witness_server import WitnessServer

from app.auth import certificates
from custody import leaf, tail, tiles
from custody.checkpoint import open_checkpoint, sign_checkpoint
from custody.note import parse_note
from custody.witness import MAX_REQUEST, AddCheckpoint, WitnessRefusal, cosignatures, read_answer
from tests import reference
from tests.custody.test_witness import LEAVES, LOG, LOG_KEYS, ORIGIN, TIME, checkpoint, note, path, request

ROOT = Path(__file__).resolve().parents[2]
PLACE = reference.h(ORIGIN.encode()).hex()
OTHERS = [b"x", *LEAVES]


@pytest.fixture
def found(tmp_path):
    made = Witness.create(tmp_path / "witness", "lyon.example/witness")
    made.follow(ORIGIN, LOG_KEYS)
    return made


@pytest.fixture
def server(found):
    told = []
    with WitnessServer(("127.0.0.1", 0), found, prefix="/w", time=lambda: TIME, tell=told.append) as serving:
        thread = Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        serving.told = told
        yield serving
        serving.shutdown()
        thread.join()


def post(server, body, where="/w/add-checkpoint", **headers):
    line = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    line.request("POST", where, body, headers)
    answer = line.getresponse()
    data = answer.read()
    line.close()
    return SimpleNamespace(status=answer.status, body=data, type=answer.headers["Content-Type"])


def get(server, where):
    line = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    line.request("GET", where)
    answer = line.getresponse()
    data = answer.read()
    line.close()
    return answer.status, data


class FakeLog:
    """A log as a witness reads it."""

    def __init__(self, size, leaves=LEAVES):
        self.size, self.leaves, self.handed = size, leaves, []

    def checkpoint(self):
        return note(self.size, self.leaves)

    def consistency(self, old, new):
        return list(path(old, new, self.leaves))

    def hand_back(self, data):
        self.handed.append(data)

    def entries(self, n, width):
        return tiles.encode_entries(self.leaves[n * 256 : n * 256 + width])


def real_leaves(count, *, twice=False, wrong_tail=False, no_tail=False):
    """Entry leaves and a right tail, with one thing wrong if it is asked for."""
    labels = [reference.h(bytes([number])) for number in range(count)]
    if twice:
        labels[-1] = labels[0]
    tree = tail.TailTree()
    for label in labels:
        tree.add(label)
    data = [leaf.entry_leaf(label, reference.h(b"c" + label)) for label in labels]
    return data if no_tail else [*data, leaf.tail_leaf(reference.h(b"") if wrong_tail else tree.root())]


class TestItsHome:
    def test_keys_are_private_and_are_those_it_has_next_time(self, found):
        for file in ("ed25519.pem", "mldsa44.pem", "name"):
            assert stat.S_IMODE((found.directory / file).stat().st_mode) == 0o600
        assert Witness(found.directory).keys == found.keys
        assert Witness(found.directory).logs() == {ORIGIN: LOG_KEYS}
        with pytest.raises(private_files.FileExists):
            Witness.create(found.directory, "another")

    def test_a_key_open_to_others_is_not_used(self, found):
        (found.directory / "mldsa44.pem").chmod(0o640)
        with pytest.raises(FileExposed):
            Witness(found.directory)

    def test_a_memory_that_cannot_be_read_stops_it(self, found):
        found.cosign(request(0, 5), time=TIME)
        (found.directory / "memory" / PLACE).write_bytes(b"?")
        with pytest.raises(WitnessMalformed):
            found.cosign(request(5, 6), time=TIME)


class TestAsked:
    def test_each_status_has_its_bytes(self, server):
        kept = request(0, 5)
        for body, status, type_, said in (
            (b"old 0\n\nnonsense", 400, "text/plain; charset=utf-8", None),
            (AddCheckpoint(0, (), note(5, signers=LOG[:1])).encode(), 403, "text/plain; charset=utf-8", None),
            (request(4, 5).encode(), 409, "text/x.tlog.size", b"0\n"),
            (AddCheckpoint(6, (), note(5)).encode(), 400, "text/plain; charset=utf-8", None),
            (kept.encode(), 200, "text/plain; charset=utf-8", None),
            (kept.encode(), 409, "text/x.tlog.size", b"5\n"),
            (AddCheckpoint(5, (), note(9)).encode(), 422, "text/plain; charset=utf-8", None),
            (request(5, 5).encode(), 200, "text/plain; charset=utf-8", None),
            (request(5, 9).encode(), 200, "text/plain; charset=utf-8", None),
        ):
            answer = post(server, body)
            assert (answer.status, answer.type) == (status, type_)
            assert said is None or answer.body == said
        lines = post(server, request(9, 9).encode()).body.decode()
        assert lines.endswith("\n")
        assert [line.split()[:2] for line in lines.splitlines()] == [["—", "lyon.example/witness"]] * 2
        other = AddCheckpoint(0, (), sign_checkpoint(checkpoint(5, origin="other.example/log"), LOG, TIME))
        assert post(server, other.encode()).status == 404

    def test_what_it_cosigned_last_is_shown_to_anybody(self, server, found):
        assert get(server, f"/w/{PLACE}/checkpoint")[0] == 404
        post(server, request(0, 5).encode())
        status, data = get(server, f"/w/{PLACE}/checkpoint")
        assert status == 200
        assert open_checkpoint(data, origin=ORIGIN, log=LOG_KEYS)[0] == checkpoint(5)
        assert set(cosignatures(data, found.keys)) == set(found.keys)

    @pytest.mark.parametrize(
        "where", ["/", "/w/", "/w/checkpoint", "/w/../name", f"/w/{'A' * 64}/checkpoint", "/w/%2e%2e/checkpoint"]
    )
    def test_there_is_nothing_beside_it(self, server, where):
        assert get(server, where)[0] == 404
        assert post(server, request(0, 5).encode(), where).status == 404

    def test_what_is_too_large_or_without_length_is_not_read(self, server):
        line = socket.create_connection(server.server_address[:2], timeout=20)
        line.sendall(b"POST /w/add-checkpoint HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (MAX_REQUEST + 1))
        assert line.recv(100).startswith(b"HTTP/1.1 413")
        line.close()
        assert post(server, iter([b"old 0\n"]), **{"Transfer-Encoding": "chunked"}).status == 411

    def test_more_connections_than_it_has_room_for_are_closed_and_the_others_answered(self, server):
        server._room = witness_server.BoundedSemaphore(2)
        idle = [socket.create_connection(server.server_address[:2], timeout=20) for _ in range(3)]
        assert idle[2].recv(1) == b""
        for line in idle:
            line.close()

    def test_a_race_of_requests_never_sets_it_back(self, server, found):
        post(server, request(0, 3).encode())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda size: post(server, request(3, size).encode()), [20, 4, 9, 12, 4, 31, 5, 20]))
        good = [answer for answer in answers if answer.status == 200]
        assert len(good) == 1
        assert {answer.status for answer in answers} == {200, 409}
        kept = found.held(ORIGIN).checkpoint
        assert {answer.body for answer in answers if answer.status == 409} == {b"%d\n" % kept.size}


def told(**changes):
    given = {"listen": "127.0.0.1:0", "prefix": "", "certificate": None, "key": None, "behind_proxy": False}
    return SimpleNamespace(**given | {"ready_file": None, "directory": None} | changes)


class TestCommand:
    """`witness serve` as it is typed: what it says of TLS is what it does."""

    @pytest.fixture(autouse=True)
    def profile(self, monkeypatch, found):
        monkeypatch.setattr(session, "load_profile", lambda _: SimpleNamespace(directory=found.directory.parent))

    @contextmanager
    def serving(self, monkeypatch, tmp_path, **changes):
        """The command at work; where it says it answers."""
        up, served = Event(), []

        def forever(server):
            served.append(server)
            up.set()
            ThreadingHTTPServer.serve_forever(server, 0.02)

        monkeypatch.setattr(WitnessServer, "serve_forever", forever)
        ready, terminal = tmp_path / "ready", SimpleNamespace(note=lambda _: None, warn=lambda _: None)
        thread = Thread(target=command.serve, args=(told(ready_file=ready, **changes), terminal))
        thread.start()
        try:
            assert up.wait(20)
            yield ready.read_text().strip()
        finally:
            served[0].shutdown()
            thread.join()

    def test_with_a_certificate_it_cosigns_over_tls_and_over_nothing_less(self, monkeypatch, tmp_path, found):
        paths = certificates.ensure(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
        given = {"certificate": paths.server_cert, "key": paths.server_key}
        with self.serving(monkeypatch, tmp_path, **given) as url:
            trusting = ssl.create_default_context(cafile=paths.ca_cert)
            plain = url.replace("https", "http")
            with httpx.Client(verify=trusting, trust_env=False) as http:
                answer = http.post(f"{url}/add-checkpoint", content=request(0, 5).encode())
                with pytest.raises(httpx.HTTPError):
                    http.post(f"{plain}/add-checkpoint", content=request(5, 9).encode())
                assert http.get(f"{url}/{PLACE}/checkpoint").status_code == 200
            with httpx.Client(trust_env=False) as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
                stranger.get(f"{url}/{PLACE}/checkpoint")
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.load_verify_locations(paths.ca_cert)
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with httpx.Client(verify=old, trust_env=False) as elder, pytest.raises(httpx.ConnectError):
                elder.get(f"{url}/{PLACE}/checkpoint")
        assert url.startswith("https://127.0.0.1:")
        text = parse_note(note(5)).text
        assert set(read_answer(answer.content, text=text, keys=found.keys)) == set(found.keys)
        assert found.held(ORIGIN).checkpoint.size == 5

    def test_plain_http_is_spoken_only_if_it_is_said(self, monkeypatch, tmp_path, found):
        refused = [{}, {"certificate": Path("a.pem")}, {"key": Path("a.key")}]
        refused.append({"certificate": Path("a.pem"), "key": Path("a.key"), "behind_proxy": True})
        for each in refused:
            with pytest.raises(command.CommandProblem):
                command.serve(told(**each), None)
        with self.serving(monkeypatch, tmp_path, behind_proxy=True) as url:
            assert httpx.get(f"{url}/{PLACE}/checkpoint", trust_env=False).status_code == 404
        assert url.startswith("http://127.0.0.1:")


class TestMemory:
    def test_it_is_durable_before_the_answer(self, found, monkeypatch):
        """The new memory is written, synced and in its place when `cosign` returns; without that it does not return."""
        order = []
        real = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), real[0](handle))[1])
        monkeypatch.setattr(Path, "replace", lambda one, two: (order.append("rename"), real[1](one, two))[1])
        found.cosign(request(0, 5), time=TIME)
        assert order == ["sync", "rename", "sync"]

        def full(*_):
            raise OSError(28, "no space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            found.cosign(request(5, 9), time=TIME)
        assert found.held(ORIGIN).checkpoint.size == 5

    def test_a_full_disk_is_an_error_and_no_cosignature(self, server, found, monkeypatch):
        def full(*_):
            raise OSError(28, "no space left on device")

        monkeypatch.setattr(private_files, "replace", full)
        answer = post(server, request(0, 5).encode())
        assert answer.status == 500
        assert "—".encode() not in answer.body

    def test_a_kill_after_the_answer_leaves_what_was_answered(self, found):
        """A process of its own answers and is gone at once, without a chance to tidy up."""
        code = (
            "import os, sys\nfrom pathlib import Path\nfrom rogatory.witness import Witness\n"
            "from custody.witness import AddCheckpoint\n"
            "w = Witness(Path(sys.argv[1]))\n"
            "lines = w.cosign(AddCheckpoint.parse(sys.stdin.buffer.read()), time=7)\n"
            "os.write(1, lines); os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, found.directory],
            input=request(0, 5).encode(),
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"},
        )
        assert done.returncode == -9, done.stderr
        assert done.stdout.count(b"\n") == 2
        assert found.held(ORIGIN).checkpoint.size == 5
        with pytest.raises(WitnessRefusal):
            found.cosign(request(0, 5, OTHERS), time=TIME)


class TestFetching:
    def test_it_cosigns_and_hands_back_and_does_so_again(self, found):
        log = FakeLog(5)
        assert once(found, ORIGIN, log, now=lambda: TIME) == checkpoint(5)
        log.size = 9
        once(found, ORIGIN, log, now=lambda: TIME + 1)
        once(found, ORIGIN, log, now=lambda: TIME + 2)
        sizes = [open_checkpoint(each, origin=ORIGIN, log=LOG_KEYS)[0].size for each in log.handed]
        assert sizes == [5, 9, 9]
        times = [{time for _, time in cosignatures(each, found.keys).values()} for each in log.handed]
        assert times == [{TIME}, {TIME + 1}, {TIME + 2}]

    def test_a_shorter_log_is_told_what_was_cosigned_and_not_cosigned(self, found):
        once(found, ORIGIN, FakeLog(9))
        short = FakeLog(5)
        with pytest.raises(LogShrunk):
            once(found, ORIGIN, short)
        assert short.handed == [found.held(ORIGIN).note]
        assert found.held(ORIGIN).checkpoint.size == 9

    def test_a_fork_is_kept_as_two_notes_that_anybody_can_check(self, found):
        once(found, ORIGIN, FakeLog(9))
        with pytest.raises(LogForked):
            once(found, ORIGIN, FakeLog(9, OTHERS))
        with pytest.raises(LogForked):
            once(found, ORIGIN, FakeLog(9, OTHERS))
        shown = [open_checkpoint(each.read_bytes(), origin=ORIGIN, log=LOG_KEYS)[0] for each in found.forks()]
        assert {each.size for each in shown} == {9}
        assert {each.root for each in shown} == {checkpoint(9).root, checkpoint(9, OTHERS).root}

    def test_another_past_is_not_cosigned(self, found):
        once(found, ORIGIN, FakeLog(5))
        with pytest.raises(LogForked):
            once(found, ORIGIN, FakeLog(9, OTHERS))
        assert found.held(ORIGIN).checkpoint == checkpoint(5)

    def test_a_service_that_lost_leaves_is_named(self, found):
        class Lost(FakeLog):
            def hand_back(self, data):
                raise LogAhead("lost")

        with pytest.raises(LogAhead):
            once(found, ORIGIN, Lost(5))


class TestAuditor:
    def mirror(self, tmp_path):
        return Mirror(tmp_path / "mirror", SimpleNamespace(origin=ORIGIN, log=LOG_KEYS, checkpoint=None))

    def test_a_right_log_is_cosigned_as_it_was_mirrored(self, found, tmp_path):
        leaves = real_leaves(8)
        log = FakeLog(len(leaves), leaves)
        report = mirror_log(self.mirror(tmp_path), log, found)
        assert (report.size, report.complete) == (9, True)
        assert found.held(ORIGIN).checkpoint == checkpoint(9, leaves)
        assert len(log.handed) == 1

    @pytest.mark.parametrize("wrong", ["twice", "wrong_tail", "no_tail"])
    def test_a_log_with_one_thing_wrong_is_not(self, found, tmp_path, wrong):
        leaves = real_leaves(8, **{wrong: True})
        log = FakeLog(len(leaves), leaves)
        expected = NotComplete if wrong == "no_tail" else LogWrong
        with pytest.raises(expected):
            mirror_log(self.mirror(tmp_path), log, found)
        assert found.held(ORIGIN) is None
        assert log.handed == []
