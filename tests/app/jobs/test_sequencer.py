"""Every committed entry gets one place, in order; what is signed is what is committed; a crash loses nothing."""

from threading import Event, Thread

import pytest
from sqlalchemy import func, select

from app.db import ledger
from app.db.log_models import LedgerRow, LogLeaf, Pending, SequencerTerm
from app.db.log_reader import LogReader, committed_size
from app.errors import NotFound, NotYetPublished
from app.jobs.growing_log import LogDamaged
from app.jobs.sequencer import NotElected
from custody import leaf, tail
from custody.checkpoint import open_checkpoint
from custody.proof import TlogProof
from tests.app.db.world import LOG_KEYS, ORIGIN

WRITERS, EACH = 8, 25


class Died(BaseException):
    """The process ends here."""


def die(*_, **__):
    raise Died


def places(world):
    """(chain, seq, index) of every entry, in log order; None for a place it does not have."""
    with world.reading() as session:
        query = select(LedgerRow.chain, LedgerRow.seq, LogLeaf.idx)
        return session.execute(query.outerjoin(LogLeaf, LogLeaf.ledger_id == LedgerRow.id).order_by(LogLeaf.idx)).all()


def newest(world):
    """The newest checkpoint, its signatures checked, and the note itself."""
    with world.reading() as session:
        note = LogReader(session).note
    return open_checkpoint(note, origin=ORIGIN, log=LOG_KEYS)


def size(world):
    with world.reading() as session:
        return committed_size(session)


def check_everything(world):
    """Every entry has one place; the signed checkpoint is over all of them and ends in the tail leaf."""
    found = places(world)
    assert all(index is not None for _, _, index in found)
    by_chain = {}
    for chain, seq, index in found:
        by_chain.setdefault(chain, []).append((seq, index))
    for members in by_chain.values():
        assert [seq for seq, _ in members] == list(range(len(members)))
    checkpoint, _ = newest(world)
    with world.reading() as session:
        leaves = session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx)).all()
        assert session.scalar(select(func.count()).select_from(Pending)) == 0
    assert checkpoint.size == len(leaves)
    assert isinstance(leaf.parse(leaves[-1]), leaf.TailLeaf)
    for _, _, index in found:
        assert isinstance(leaf.parse(leaves[index]), leaf.EntryLeaf)


def test_eight_writers_at_once_get_every_entry_placed_once_and_in_order(world):
    chains = [world.open_chain() for _ in range(3)]
    world.sequencer.start()
    writers = [
        Thread(target=lambda at=at: [world.note(chains[(at + turn) % 3]) for turn in range(EACH)])
        for at in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with world.reading() as session:
        last = session.scalar(select(func.max(LedgerRow.id)))
    ledger.wait_for_record(world.engine, last, timeout=30)
    world.sequencer.stop()
    assert len(places(world)) == WRITERS * EACH
    check_everything(world)


def test_a_record_proves_its_entry_to_whoever_has_the_logs_keys(world):
    chain = world.open_chain()
    for _ in range(3):
        made = world.note(chain, 3)
        world.sequencer.run_once()
    record = ledger.wait_for_record(world.engine, made[-1])
    proof = TlogProof.parse(record.proof.encode())
    assert (record.entry, record.index) == (made[-1].data, proof.index)
    checkpoint = proof.verify(leaf_data=proof.leaf_data(made[-1].hash), origin=ORIGIN, log=LOG_KEYS)
    assert checkpoint == newest(world)[0]


def test_a_waiting_request_is_woken_by_the_checkpoint(world):
    made = world.note(world.open_chain())[0]
    found = []
    waiter = Thread(target=lambda: found.append(ledger.wait_for_record(world.engine, made, timeout=30)))
    waiter.start()
    world.sequencer.start()
    waiter.join()
    assert found[0].entry == made.data


def test_an_entry_without_checkpoint_has_no_record_yet(world):
    made = world.note(world.open_chain())[0]
    with pytest.raises(NotYetPublished) as refused:
        ledger.wait_for_record(world.engine, made, timeout=0.01)
    world.sequencer.run_once()
    assert ledger.wait_for_record(world.engine, refused.value.ledger_id, timeout=0).entry == made.data


def test_an_entry_that_was_never_committed_has_no_record(world):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        made = world.append(uow, chain)
    for unknown in (made, 7):
        with pytest.raises(NotFound):
            ledger.wait_for_record(world.engine, unknown, timeout=0)


def test_more_entries_than_a_batch_holds_are_placed_in_several(world, monkeypatch):
    monkeypatch.setattr("app.jobs.sequencer._MOST", 4)
    world.note(world.open_chain(), 10)
    assert [world.sequencer.run_once() for _ in range(4)] == [4, 4, 2, 0]
    assert size(world) == 10 + 3
    check_everything(world)


def test_every_batch_ends_in_the_tail_leaf_over_all_labels_before_it(world):
    chain, tree = world.open_chain(), tail.TailTree()
    for count in (1, 3, 2):
        world.note(chain, count)
        world.sequencer.run_once()
    with world.reading() as session:
        leaves = [leaf.parse(data) for data in session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx))]
    kinds = []
    for said in leaves:
        kinds.append(type(said))
        if isinstance(said, leaf.EntryLeaf):
            tree.add(said.label)
        else:
            assert said.root == tree.root()
    entry, end = leaf.EntryLeaf, leaf.TailLeaf
    assert kinds == [entry, end, entry, entry, entry, end, entry, entry, end]


def test_without_entries_nothing_is_signed(world):
    assert world.sequencer.run_once() == 0
    with pytest.raises(NotFound):
        newest(world)


def test_a_quiet_log_signs_the_same_size_again_after_a_minute(world):
    world.note(world.open_chain())
    world.sequencer.run_once()
    first, note = newest(world)
    world.clock.move(59)
    world.sequencer.run_once()
    assert newest(world)[1] == note
    world.clock.move(1)
    world.sequencer.run_once()
    second, again = newest(world)
    assert first == second
    assert again.cosignatures()[0][1] - note.cosignatures()[0][1] == 60


# ---------------------------------------------------------------- crashes


@pytest.mark.parametrize("at", ["app.jobs.sequencer.write", "app.jobs.growing_log.delete"])
def test_a_crash_in_the_batch_leaves_nothing_of_it(world, monkeypatch, at):
    world.note(world.open_chain(), 3)
    with monkeypatch.context() as patch:
        patch.setattr(at, die)
        with pytest.raises(Died):
            world.sequencer.run_once()
    assert size(world) == 0
    world.restart()
    world.sequencer.run_once()
    check_everything(world)


@pytest.mark.parametrize("at", ["_sign", "_publish"])
def test_a_crash_between_leaves_and_checkpoint_is_healed_at_the_next_start(world, monkeypatch, at):
    world.note(world.open_chain(), 3)
    world.sequencer.run_once()
    world.note(world.open_chain(), 300)
    with monkeypatch.context() as patch:
        patch.setattr(world.sequencer, at, die)
        with pytest.raises(Died):
            world.sequencer.run_once()
    assert (newest(world)[0].size, size(world)) == (4, 305)
    world.restart()
    assert world.sequencer.run_once() == 0
    check_everything(world)


def test_what_fails_once_is_done_at_the_next_turn(world, monkeypatch):
    world.note(world.open_chain(), 3)
    with monkeypatch.context() as patch:
        patch.setattr(world.sequencer, "_place", die)
        with pytest.raises(Died):
            world.sequencer.run_once()
    assert world.sequencer.run_once() == 3
    check_everything(world)


def test_the_thread_goes_on_after_a_failure_and_says_so(world, monkeypatch):
    monkeypatch.setattr("app.jobs.sequencer._PAUSE", 0.01)
    seen = []

    def fail(*_):
        seen.append(1)
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(world.sequencer, "_advance", fail)
    made = world.note(world.open_chain())[0]
    world.sequencer.start()
    assert ledger.wait_for_record(world.engine, made, timeout=30).entry == made.data
    assert seen == [1]


def test_a_process_that_failed_and_lost_the_log_to_another_stands_by_without_a_failure(world, monkeypatch):
    monkeypatch.setattr("app.jobs.sequencer._PAUSE", 0.01)
    other, failures, stood = world.another_sequencer(), [], Event()

    def run_once():
        if stood.is_set():
            return 0
        if not failures:
            failures.append(1)
            other.run_once()
            raise ZeroDivisionError
        if world.sequencer.failure is None:
            stood.set()
        raise NotElected("another sequencer is at work")

    monkeypatch.setattr(world.sequencer, "run_once", run_once)
    world.sequencer.start()
    assert stood.wait(30)
    world.sequencer.stop()
    assert other.elected
    other.stop()


def test_a_restarted_log_grows_as_if_it_had_never_stopped(world):
    chain = world.open_chain()
    for count in (5, 250, 1, 260):
        with world.unit_of_work() as uow:
            for _ in range(count):
                world.append(uow, chain)
            uow.commit()
        world.restart()
        world.sequencer.run_once()
        check_everything(world)


@pytest.mark.parametrize(
    "change",
    [
        ("UPDATE tiles SET data = :zeros", 128),
        ("UPDATE tiles SET data = :zeros", 96),
        ("DELETE FROM tiles WHERE data <> :zeros", 1),
        ("UPDATE tail_heads SET head = :zeros", 32),
        ("DELETE FROM tail_heads WHERE head <> :zeros", 1),
        ("UPDATE checkpoints SET root = :zeros", 32),
    ],
)
def test_a_log_that_does_not_fit_together_is_not_signed(world, change):
    world.note(world.open_chain(), 3)
    world.sequencer.run_once()
    query, zeros = change
    world.meddle(query, zeros=bytes(zeros))
    world.restart()
    with pytest.raises(LogDamaged):
        world.sequencer.run_once()


# ---------------------------------------------------------------- election


def test_of_two_sequencers_only_one_works(world):
    chain = world.open_chain()
    world.note(chain)
    world.sequencer.run_once()
    other = world.another_sequencer()
    world.note(chain)
    with pytest.raises(NotElected):
        other.run_once()
    assert (world.sequencer.elected, other.elected) == (True, False)
    world.sequencer.stop()
    assert other.run_once() == 1
    with pytest.raises(NotElected):
        world.sequencer.run_once()
    other.stop()
    check_everything(world)


def test_a_standby_takes_over_when_the_other_stops(world, monkeypatch):
    monkeypatch.setattr("app.jobs.sequencer._PAUSE", 0.01)
    world.sequencer.run_once()
    other = world.another_sequencer()
    other.start()
    world.sequencer.stop()
    made = world.note(world.open_chain())[0]
    assert ledger.wait_for_record(world.engine, made, timeout=30).entry == made.data
    other.stop()


def test_who_lost_the_lock_unnoticed_writes_nothing_more(world):
    chain = world.open_chain()
    world.note(chain)
    world.sequencer.run_once()
    with world.unit_of_work() as uow:
        uow.session.get(SequencerTerm, 1).term += 1
        uow.commit()
    world.note(chain)
    before = size(world)
    with pytest.raises(NotElected):
        world.sequencer.run_once()
    assert (size(world), world.sequencer.elected) == (before, False)
    world.sequencer.run_once()
    check_everything(world)


def test_an_election_that_cannot_be_recorded_is_not_won(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("app.jobs.election.Election._next_term", die)
        with pytest.raises(Died):
            world.sequencer.run_once()
    other = world.another_sequencer()
    assert other.run_once() == 0
    other.stop()


def test_nothing_is_signed_over_rows_that_are_not_committed(world, monkeypatch):
    world.note(world.open_chain(), 2)
    signed = []
    original = world.sequencer._sign
    monkeypatch.setattr(
        world.sequencer, "_sign", lambda log, at: signed.append((log.size, size(world))) or original(log, at)
    )
    world.sequencer.run_once()
    assert signed == [(3, 3)]
