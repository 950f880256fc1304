"""With a cadence, outsiders see batches that look alike, and everything proves as without."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db.log_models import LogLeaf
from app.services.fsck import check
from app.settings import Settings, SettingsError
from tests.app.db.world import World
from tests.app.fsck.test_fsck import edited
from tests.app.running import Running


def shown(session):
    """What an outsider sees of each batch: how many entry leaves it has."""
    kinds = [data[0] for data in session.scalars(select(LogLeaf.data).order_by(LogLeaf.idx))]
    return [len(batch) for batch in bytes(kinds).split(b"\x02")[:-1]]


@pytest.fixture
def steady(tmp_path):
    running = Running(tmp_path, cadence=timedelta(milliseconds=50))
    yield running
    running.stop()


def test_a_hand_over_hides_among_dummies_and_is_proven(steady):
    police, court = steady.authority("police.nl"), steady.authority("court.de")
    alice, bob = police.enrol(), court.enrol()
    matter = alice.open_exchange(court)
    sent = alice.send(matter, court)
    bob.release(sent)
    bob.receipt(sent)
    said = bob.act("log.exported", matter.handle, detail={"form": "bundle"})
    assert steady.verify(bob.post(f"/v1/exchanges/{matter.id}/export", said).content, police, court).verified
    with steady.runtime.reading() as session:
        batches = shown(session)
        dummies = session.scalars(select(LogLeaf.data).where(LogLeaf.ledger_id.is_(None), LogLeaf.bucket.is_not(None)))
        noise = dummies.all()
    assert set(batches) <= {4, 8, 16, 32}
    assert len(set(noise)) == len(noise) > 0
    assert check(steady.runtime, print, objects=True).findings == 0


@pytest.mark.parametrize(("waiting", "leaves"), [(0, 4), (1, 4), (4, 4), (5, 8), (9, 16)])
def test_a_batch_is_filled_to_a_power_of_two(database, waiting, leaves):
    world = World(database, timedelta(seconds=1))
    chain = world.open_chain()
    if waiting:
        world.note(chain, waiting)
    assert world.sequencer.run_once() == waiting
    with world.reading() as session:
        assert shown(session) == [leaves]
    world.restart()
    world.sequencer.run_once()
    with world.reading() as session:
        assert shown(session) == [leaves, 4]
    world.close()


def test_whoever_changes_a_dummy_is_found(steady):
    alice = steady.authority().enrol()
    alice.open_exchange(steady.authority())
    for each in (steady.service.witnesses, steady.service.caretaker, steady.service.sequencer):
        each.stop()
    with steady.runtime.reading() as session:
        query = select(LogLeaf.idx).where(LogLeaf.ledger_id.is_(None), LogLeaf.bucket.is_not(None)).limit(1)
        index = session.scalar(query)
    found = []
    with edited(steady) as connection:
        connection.execute("UPDATE log_leaves SET data = ? WHERE idx = ?", [b"\x01" * 65, index])
        check(steady.runtime, found.append, objects=False)
    assert {"log_leaves.bucket", "checkpoints.root"} <= {each.what for each in found}


@pytest.mark.parametrize("wrong", ["1ms", "2s"])
def test_a_cadence_that_hides_nothing_or_delays_everything_is_refused(tmp_path, wrong):
    with pytest.raises(SettingsError, match="ROGATORY_CADENCE"):
        Settings.from_environment({"ROGATORY_CADENCE": wrong}, state=tmp_path)
