"""The server is killed, again and again, inside windows that are drawn; whatever it had acknowledged is there."""

import hashlib
import signal
from collections import Counter

import pytest
from sqlalchemy import select

from app.db.models import Package
from tests.backends import EMBEDDED
from tests.kills.clients import Party, Watcher
from tests.kills.killable import WINDOWS
from tests.kills.service import Killable

KILLS, IN_DEEP = {"embedded": 60, "servers": 6}, 1000
PARTIES = 3
LONGEST = 15
"""Times a window is reached, at most, before the kill."""


@pytest.fixture
def killable(tmp_path, backend):
    made = Killable(tmp_path, backend)
    yield made
    made.close()


def kill(killable, random, window, parties):
    """One server's life, ended inside a window, and where."""
    [process] = killable.processes
    process.start(window, random.randrange(1, LONGEST + 1))
    found, place = process.said("died").split()
    assert (found, process.said("ended")) == (window, str(-signal.SIGKILL))
    assert [each.wrong for each in parties if each.wrong] == []
    return window, place


def check_everything(killable, parties):
    """All that was acknowledged is there as it was, and nothing else claims to be."""
    there = killable.places()
    for each in parties:
        assert {index: there.get(index) for index in each.records} == each.records
        for (package, item), digest in each.bodies.items():
            found = hashlib.sha256()
            for chunk in killable.runtime.store.read(f"bodies/{package}/{item}"):
                found.update(chunk)
            assert found.digest() == digest
    sealed = {package for each in parties for package in each.sealed}
    with killable.runtime.reading() as session:
        assert sealed == set(session.scalars(select(Package.id).where(Package.state != "declared")))
    killable.sound(objects=True)


def download(killable, bob, sent):
    """What the receiver gets is what the sender sent."""
    handle = bob.open_download(sent).json()["download"]
    for item in sent.items:
        assert bob.get(f"/v1/downloads/{handle}/items/{item.id}").content == item.body


@pytest.mark.deep(weight=3)
def test_nothing_acknowledged_is_lost_however_often_the_server_is_killed(killable, backend_kind, effort):
    random, windows, spots, kills = effort.random, Counter(), Counter(), KILLS[backend_kind]
    police, court = killable.authority("police.nl"), killable.authority("court.de")
    with killable.served():
        alice, bob = police.enrol(), court.enrol()
        parties = [Party(number, killable, alice, bob, effort.seed) for number in range(PARTIES + effort.deep)]
        watcher = Watcher(killable, bob)
    try:
        for each in parties:
            each.start()
        for turn in effort.turns(usual=kills, full=IN_DEEP):
            drawn = random.choice(WINDOWS) if turn >= kills // 2 else WINDOWS[turn % len(WINDOWS)]
            window, place = kill(killable, random, drawn, [*parties, watcher])
            windows[window] += 1
            spots[place] += 1
            if turn % 10 == 9:
                killable.sound()
        with killable.served():
            for each in [*parties, watcher]:
                each.end()
            assert [each.wrong for each in [*parties, watcher] if each.wrong] == []
            for each in parties:
                download(killable, bob, each.last)
    finally:
        for each in [*parties, watcher]:
            each.stopping.set()
        told = f"kills: {dict(windows)}, at {dict(spots)}; {[len(p.sealed) for p in parties]} packages, "
        told += f"{sum(len(p.records) for p in parties)} records, {watcher.looks} looks, "
        told += f"bodies {dict(sum((p.ways for p in parties), Counter()))}"
        effort.tell(told)
    assert min(windows[each] for each in WINDOWS) >= (10 if backend_kind == EMBEDDED else 1)
    assert min(len(each.sealed) for each in parties) > 0
    check_everything(killable, parties)
