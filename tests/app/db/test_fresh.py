"""Records out of memory are those that the tables would give, and who waits for one is woken when it is there."""

import secrets
import threading

import pytest

from app.db import ledger, records
from app.db.fresh import KEPT, Board, Edge, Published, board
from app.db.unit_of_work import UnitOfWork
from app.jobs.growing_log import GrowingLog, Waiting, published
from custody import merkle
from custody.proof import TlogProof
from custody.tail import TailTree
from tests.app.db.world import LOG_KEYS, ORIGIN


def batch_of(*entries):
    return Published(size=1, note=b"", places=dict.fromkeys(entries), edge=Edge({}))


def waiter(news, entry, found):
    thread = threading.Thread(target=lambda: found.append(news.find(entry, 60)), daemon=True)
    thread.start()
    return thread


def test_a_batch_wakes_those_whose_entries_it_holds_and_lets_the_others_wait():
    news, near, far = Board(), [], []
    early, late = waiter(news, b"near", near), waiter(news, b"far", far)
    news.put_up(first := batch_of(b"near", b"other"))
    early.join(30)
    assert near == [first]
    assert late.is_alive()
    news.put_up(second := batch_of(b"far"))
    late.join(30)
    assert far == [second]


def test_who_is_called_looks_elsewhere():
    news, found = Board(), []
    thread = waiter(news, b"entry", found)
    while thread.is_alive():
        news.call()
        thread.join(0.01)
    assert found == [None]


def test_who_comes_late_finds_the_newest_batches_and_no_older_ones():
    news = Board()
    for number in range(KEPT + 3):
        news.put_up(batch_of(b"%d" % number))
    found = [news.find(b"%d" % number, 0) is not None for number in range(KEPT + 3)]
    assert found == [False] * 3 + [True] * KEPT


def test_nothing_stays_behind_of_who_waited_in_vain():
    news = Board()
    assert news.find(b"entry", 0.001) is None
    assert not news._waiting


@pytest.mark.deep
def test_the_edge_proves_every_leaf_of_a_batch_wherever_in_the_tiles_it_lies(effort):
    for _ in effort.turns(usual=3, full=50):
        log, leaves = GrowingLog(merkle.CompactRange(), TailTree({}), {}), []
        for most in (1, 300, effort.random.choice([3, 256, 257, 700]), 2, 64, 1):
            count = effort.random.randint(1, most)
            entries = [Waiting(number, *(secrets.token_bytes(32) for _ in range(3))) for number in range(count)]
            batch = log.extend(entries, effort.random.choice([0, 0, 5]))
            leaves += [row["data"] for row in batch.leaves]
            made = published(log, batch, entries, b"a note")
            for entry in effort.random.sample(entries, min(count, 40)):
                proof = made.proof(entry.hash)
                hashed = merkle.leaf_hash(proof.leaf_data(entry.hash))
                assert hashed == merkle.leaf_hash(leaves[proof.index])
                merkle.verify_inclusion(
                    index=proof.index, size=len(leaves), leaf=hashed, path=proof.path, root=log.root()
                )


def test_a_record_out_of_memory_is_the_one_of_the_tables(world):
    chain = world.open_chain()
    for count in (1, 3, 290, 2):
        made = world.note(chain, count)
        world.sequencer.run_once()
        for entry in (made[0], made[-1]):
            assert board(world.engine.pool).find(entry.hash, 0) is not None
            fresh = ledger.wait_for_record(world.engine, entry)
            with world.reading() as session:
                assert fresh == ledger.record_of(session, records.ledger_id_of(session, entry))
            proof = TlogProof.parse(fresh.proof.encode())
            proof.verify(leaf_data=proof.leaf_data(entry.hash), origin=ORIGIN, log=LOG_KEYS)


def test_what_was_not_committed_is_never_put_up(world, monkeypatch):
    made = world.note(world.open_chain())[0]
    monkeypatch.setattr(UnitOfWork, "commit", lambda _: (_ for _ in ()).throw(OSError("the disk is gone")))
    for _ in range(2):
        try:
            world.sequencer.run_once()
        except OSError:
            assert board(world.engine.pool).find(made.hash, 0) is None
        else:
            raise AssertionError("the commit was not asked for")
    monkeypatch.undo()
    world.sequencer.run_once()
    assert board(world.engine.pool).find(made.hash, 0) is not None
