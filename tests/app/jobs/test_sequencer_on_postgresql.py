"""One sequencer at a time, on PostgreSQL: the lock ends with its session, and the term stops who does not notice."""

from threading import Event, Thread

import pytest

from app.db import ledger
from app.db.engine import connect
from app.db.log_models import SequencerTerm
from app.errors import DatabaseDown
from app.jobs.sequencer import NotElected
from tests.app.jobs.test_sequencer import check_everything, newest, size


@pytest.fixture
def world(postgres_world):
    return postgres_world


@pytest.fixture
def engine(world):
    """Of another process."""
    made = connect(world.database.url)
    yield made
    made.dispose()


@pytest.fixture
def other(world, engine):
    """The sequencer of another process."""
    made = world.another_sequencer(engine)
    yield made
    made.stop()


def cut_lock(world):
    world.database.terminate([world.database.holder_of_advisory_lock()])


def test_of_two_processes_only_one_works(world, other):
    world.note(world.open_chain())
    world.sequencer.run_once()
    with pytest.raises(NotElected):
        other.run_once()
    world.sequencer.stop()
    assert other.run_once() == 0
    with pytest.raises(NotElected):
        world.sequencer.run_once()


def test_when_the_lock_is_cut_another_takes_over_and_the_old_one_writes_nothing(world, other):
    chain = world.open_chain()
    world.note(chain)
    world.sequencer.run_once()
    cut_lock(world)
    world.note(chain)
    assert other.run_once() == 1
    before, note = size(world), newest(world)[1]
    world.note(chain)
    world.clock.move(3600)  # it would have a checkpoint to sign again as well
    assert world.sequencer.elected
    with pytest.raises(NotElected):
        world.sequencer.run_once()
    assert (size(world), newest(world)[1], world.sequencer.elected) == (before, note, False)
    assert other.run_once() == 1
    check_everything(world)


def test_who_signed_before_it_was_overtaken_publishes_nothing_after(world, other, monkeypatch):
    chain = world.open_chain()
    world.note(chain)
    sign = world.sequencer._sign

    def overtaken(log, at):
        cut_lock(world)
        world.note(chain)
        other.run_once()
        return sign(log, at)

    monkeypatch.setattr(world.sequencer, "_sign", overtaken)
    with pytest.raises(NotElected):
        world.sequencer.run_once()
    assert newest(world)[0].size == size(world) == 4
    check_everything(world)


def test_a_successor_waits_for_the_batch_that_is_being_written(world, other, monkeypatch):
    world.note(world.open_chain(), 3)
    world.sequencer._election.stand()
    reached, go_on = Event(), Event()
    confirm = world.sequencer._election.confirm

    def slow(session):
        confirm(session)
        reached.set()
        assert go_on.wait(30)

    monkeypatch.setattr(world.sequencer._election, "confirm", slow)
    failed = []
    old = Thread(target=lambda: failed.append(_refused(world.sequencer.run_once)))
    old.start()
    assert reached.wait(30)
    cut_lock(world)
    new = Thread(target=other.run_once)
    new.start()
    world.database.await_blocked()
    go_on.set()
    old.join()
    new.join()
    assert size(world) == 4
    assert failed == [True], "the leaves were committed in its term, the checkpoint was not"
    assert other.elected
    check_everything(world)


def _refused(work):
    try:
        work()
    except NotElected:
        return True
    return False


def test_the_term_is_never_used_twice(world, other, engine):
    terms = []
    for sequencer in (world.sequencer, other, world.sequencer):
        sequencer.run_once()
        with world.reading() as session:
            terms.append(session.get(SequencerTerm, 1).term)
        sequencer.stop()
    assert terms == [1, 2, 3]


def test_a_standby_takes_over_by_itself_when_every_session_is_cut(world, other, monkeypatch):
    monkeypatch.setattr("app.jobs.sequencer._PAUSE", 0.01)
    chain = world.open_chain()
    world.note(chain)
    world.sequencer.run_once()
    other.start()
    world.database.terminate(world.database.sessions())
    made = world.note(chain)[0]
    assert ledger.wait_for_record(world.engine, made, timeout=30).entry == made.data
    assert other.elected
    check_everything(world)


def test_an_election_without_a_database_is_said_to_be_that(world):
    world.sequencer.stop()
    with world.database.full(), pytest.raises(DatabaseDown):
        world.sequencer.run_once()
    world.sequencer.run_once()
