"""Many writers in two processes, and a database that dies under them: nothing acknowledged is lost or said twice."""

import time
from collections import Counter
from itertools import pairwise
from threading import Event, Thread

import pytest
from sqlalchemy import func, select

from app.db import ledger
from app.db.engine import connect
from app.db.log_models import LedgerRow, Pending
from app.db.unit_of_work import UnitOfWork, reading
from app.errors import DatabaseDown
from custody import entry as entries
from tests.app.jobs.test_sequencer import check_everything, places

WRITERS, EACH = 8, 12
AFTERWARDS = 5


@pytest.fixture
def world(postgres_world):
    return postgres_world


@pytest.fixture
def processes(world):
    """Engine and running sequencer of each of two processes."""
    made = [(engine, world.another_sequencer(engine)) for engine in (connect(world.database.url) for _ in range(2))]
    for _, sequencer in made:
        sequencer.start()
    yield made
    for engine, sequencer in made:
        sequencer.stop()
        engine.dispose()


class Writer(Thread):
    """Notes things in its own chain and in one that all share, and remembers what was acknowledged."""

    def __init__(self, world, process, chains):
        super().__init__(daemon=True)
        self.world, (self.engine, self.sequencer), self.chains = world, process, chains
        self.stopping, self.acknowledged, self.down, self.wrong = Event(), [], 0, []
        self.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.turn()
        except Exception as error:  # noqa: BLE001 - anything but a database that is down
            self.wrong.append(error)

    def turn(self):
        chain = self.chains[len(self.acknowledged) % len(self.chains)]
        try:
            with UnitOfWork(self.engine, self.sequencer.wake) as uow:
                made = self.world.append(uow, chain)
                uow.commit()
        except DatabaseDown:
            self.down += 1
            time.sleep(0.01)
        else:
            self.acknowledged.append(made.hash)

    def write(self, count):
        """Return when so many more were acknowledged."""
        enough = len(self.acknowledged) + count
        while len(self.acknowledged) < enough:
            assert self.is_alive(), self.wrong
            time.sleep(0.005)

    def end(self):
        self.stopping.set()
        self.join()
        assert self.wrong == []


@pytest.fixture
def writers(world, processes):
    shared = world.open_chain()
    made = [Writer(world, processes[at % 2], [shared, world.open_chain()]) for at in range(WRITERS)]
    yield made
    for each in made:
        each.stopping.set()
        each.join()


def settle(world):
    """Return when everything committed stands in a signed checkpoint."""
    with reading(world.engine) as session:
        last = session.scalar(select(func.max(LedgerRow.id)))
    ledger.wait_for_record(world.engine, last, timeout=30)
    with reading(world.engine) as session:
        assert session.scalar(select(func.count()).select_from(Pending)) == 0


def check_record(world, writers):
    """Every chain is one line of hashes, has each acknowledged entry once, and stands in the log in its order."""
    with reading(world.engine) as session:
        bodies = session.scalars(select(LedgerRow.body).order_by(LedgerRow.chain, LedgerRow.seq)).all()
    made = [entries.parse(body) for body in bodies]
    for one, two in pairwise(made):
        if two.chain == one.chain:
            assert (two.seq, two.fields["prev"]) == (one.seq + 1, one.hash.hex())
        else:
            assert (two.seq, two.fields["prev"]) == (0, entries.ZERO)
    there = Counter(each.hash for each in made)
    assert set(there.values()) == {1}
    acknowledged = [each for writer in writers for each in writer.acknowledged]
    assert [each for each in acknowledged if each not in there] == []
    assert len(places(world)) == len(made)
    check_everything(world)


def test_writers_of_two_processes_get_every_entry_placed_once_and_in_order(world, processes, writers):
    for each in writers:
        each.write(EACH)
    for each in writers:
        each.end()
    settle(world)
    assert [sequencer.elected for _, sequencer in processes].count(True) == 1
    assert [each.down for each in writers] == [0] * WRITERS
    check_record(world, writers)


def test_a_database_that_is_restarted_under_load_loses_nothing_and_forks_nothing(world, processes, writers):
    for down in (0.0, 0.3):
        for each in writers:
            each.write(AFTERWARDS)
        world.database.server.restart(down=down)
    for each in writers:
        each.write(AFTERWARDS)
    for each in writers:
        each.end()
    settle(world)
    assert all(each.down for each in writers)
    check_record(world, writers)


def test_sessions_that_are_cut_under_load_lose_nothing(world, processes, writers):
    for _ in range(2):
        for each in writers:
            each.write(AFTERWARDS)
        world.database.terminate(world.database.sessions())
    for each in writers:
        each.write(AFTERWARDS)
        each.end()
    settle(world)
    check_record(world, writers)
