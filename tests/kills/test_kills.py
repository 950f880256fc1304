"""The server is killed, again and again, inside windows that are drawn; whatever it had acknowledged is there."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import select

from app import main
from app.db.models import LedgerRow, LogLeaf, Package
from app.jobs.sequencer import Sequencer
from app.services import enrolment
from app.services.fsck import check
from app.settings import Settings, Tls
from tests.app import party
from tests.app.running import ROOT
from tests.kills.clients import Party, Watcher
from tests.kills.killable import WINDOWS

KILLS, IN_DEEP = 60, 1000
PARTIES = 3
LONGEST = 15
"""Times a window is reached, at most, before the kill."""


class Killable:
    """A state, and the process that serves it until its fuse burns down."""

    def __init__(self, directory):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.state, self.log = directory / "state", directory / "log"
        facts = {"port": self.port, "tls": Tls.BEHIND_PROXY}
        self.settings = Settings.from_environment({}, state=self.state, **facts)
        self.address, self.now = f"http://127.0.0.1:{self.port}", main.assembly.now
        service = main.assemble(self.settings)
        self.origin, self.log_keys, self.runtime = service.state.origin, service.runtime.log_keys, service.runtime
        self.url = self.settings.public_url
        self.signers = service.state.signers
        self.http = party.client(self.address)
        self.forker = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.killable"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def authority(self, name):
        made = party.Authority(self, name)
        enrolment.admit(self.runtime.unit_of_work(), made.founding(), origin=self.origin, at=self.now())
        sequencer = Sequencer(self.runtime.engine, self.origin, self.signers, self.now)
        sequencer.run_once()
        sequencer.stop()
        return made

    def post(self, path, said, *, expect, headers=None):
        answer = self.http.post(path, json={"envelope": said.envelope.decode()}, headers=headers or {})
        assert answer.status_code == expect, answer.text
        return answer

    def start(self, window, count):
        """Fork a server that kills itself when it gets to the window for the nth time; its id."""
        arguments = ["--state", str(self.state), "--port", str(self.port), "--behind-proxy"]
        self.forker.stdin.write(" ".join([window, str(count), str(self.log), *arguments]) + "\n")
        self.pid = int(self.said("pid"))
        return self.pid

    def said(self, word):
        line = self.forker.stdout.readline().split()
        assert line[:1] == [word], (line, self.log.read_text()[-2000:])
        return " ".join(line[1:])

    @contextmanager
    def served(self):
        """A server that nobody kills."""
        pid = self.start("none", 1)
        end = time.monotonic() + 30
        while True:
            try:
                assert self.http.get("/readyz").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.02)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGTERM)
            ended = self.said("ended")
        assert ended == "0"

    def close(self):
        """End what a failed test has left running; the forker ends with its input."""
        self.http.close()
        self.forker.stdin.close()
        try:
            self.forker.wait(2)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self.forker.wait(10)
        self.forker.stdout.close()
        self.runtime.engine.dispose()


@pytest.fixture
def killable(tmp_path):
    made = Killable(tmp_path)
    yield made
    made.close()


def kill(killable, random, window, parties):
    """One server's life, ended inside a window, and where."""
    killable.start(window, random.randrange(1, LONGEST + 1))
    found, place = killable.said("died").split()
    assert (found, killable.said("ended")) == (window, str(-signal.SIGKILL))
    assert [each.wrong for each in parties if each.wrong] == []
    return window, place


def sound(killable, *, objects=False):
    found = []
    check(killable.runtime, found.append, objects=objects)
    assert found == []


def places(killable):
    """Index → entry, as the log has it."""
    with killable.runtime.reading() as session:
        rows = session.execute(select(LogLeaf.idx, LedgerRow.body).join(LedgerRow, LedgerRow.id == LogLeaf.ledger_id))
        return {row.idx: row.body for row in rows}


def check_everything(killable, parties):
    """All that was acknowledged is there as it was, and nothing else claims to be."""
    there = places(killable)
    for each in parties:
        assert {index: there.get(index) for index in each.records} == each.records
        for (package, item), body in each.bodies.items():
            assert b"".join(killable.runtime.store.read(f"bodies/{package}/{item}")) == body
    sealed = {sent.package for each in parties for sent in each.sealed}
    with killable.runtime.reading() as session:
        assert sealed == set(session.scalars(select(Package.id).where(Package.state != "declared")))
    sound(killable, objects=True)


def download(killable, bob, sent):
    """What the receiver gets is what the sender sent."""
    handle = bob.open_download(sent).json()["download"]
    for item in sent.items:
        assert bob.get(f"/v1/downloads/{handle}/items/{item.id}").content == item.body


@pytest.mark.deep
def test_nothing_acknowledged_is_lost_however_often_the_server_is_killed(killable, capfd, effort):
    seed, random, windows, spots = effort.seed, effort.random, Counter(), Counter()
    police, court = killable.authority("police.nl"), killable.authority("court.de")
    for url in (police, court):
        url.service = killable
    with killable.served():
        alice, bob = police.enrol(), court.enrol()
        parties = [Party(number, killable, alice, bob, seed) for number in range(PARTIES)]
        watcher = Watcher(killable, bob)
    try:
        for each in parties:
            each.start()
        for turn in effort.turns(usual=KILLS, full=IN_DEEP):
            drawn = random.choice(WINDOWS) if turn >= KILLS // 2 else WINDOWS[turn % len(WINDOWS)]
            window, place = kill(killable, random, drawn, [*parties, watcher])
            windows[window] += 1
            spots[place] += 1
            if turn % 10 == 9:
                sound(killable)
        with killable.served():
            for each in [*parties, watcher]:
                each.end()
            assert [each.wrong for each in [*parties, watcher] if each.wrong] == []
            for each in parties:
                download(killable, bob, each.sealed[-1])
    finally:
        for each in [*parties, watcher]:
            each.stopping.set()
        told = f"seed {seed}: {dict(windows)}, at {dict(spots)}; {[len(p.sealed) for p in parties]} packages, "
        told += f"{sum(len(p.records) for p in parties)} records, {watcher.looks} looks"
        with capfd.disabled():
            sys.stdout.write(f"\nkills, {told}\n")
    assert min(windows[each] for each in WINDOWS) >= 10
    assert min(len(each.sealed) for each in parties) > 0
    check_everything(killable, parties)
