"""Who decides by a registry holds it until the commit: no act gets its place behind the revocation that refuses it."""

from threading import Thread

import pytest
from sqlalchemy import select

from app.db import ledger
from app.db.log_models import LedgerRow, LogLeaf
from app.services import enrolment
from custody import entry as entries
from tests.app.db.world import ORIGIN, START
from tests.custody.parties import Authority


@pytest.fixture
def world(postgres_world):
    with postgres_world.unit_of_work() as uow:
        enrolment.start_log(uow, keys=["a key"], origin=ORIGIN, at=START)
        uow.commit()
    return postgres_world


@pytest.fixture
def police(world):
    party = Authority("police.nl")
    enrolment.admit(world.unit_of_work(), party.founding(), origin=ORIGIN, at=START)
    with world.unit_of_work() as uow:
        lodge(uow, party, "principal.enrolled", party.enrolment())
        uow.commit()
    return party


def lodge(uow, party, event, said):
    ledger.append(uow.session, chain=party.chain.handle, event=event, at=START, origin=ORIGIN, statement=said)


def revoke(uow, party):
    said = party.registry_act("principal.revoked", {"principal": party.principal}, {"reason": "left"})
    lodge(uow, party, "principal.revoked", said)


def act(world, uow, party, chain):
    """Say something in a chain if the principal may; whether it did."""
    entitled = "sender" in ledger.registry(uow.session, party.id).roles(party.principal)
    if entitled:
        world.append(uow, chain)
    return entitled


def in_order(world):
    """Events in the order of their places in the log, from the revocation's neighbourhood."""
    world.sequencer.run_once()
    query = select(LedgerRow.body).join(LogLeaf, LogLeaf.ledger_id == LedgerRow.id).order_by(LogLeaf.idx)
    with world.reading() as session:
        return [entries.parse(body).event for body in session.scalars(query)][4:]


def in_another_transaction(world, work):
    """A thread that works, commits, and keeps what the work gave."""
    given = []

    def run():
        with world.unit_of_work() as uow:
            given.append(work(uow))
            uow.commit()

    thread = Thread(target=run)
    thread.start()
    return thread, given


def test_a_revocation_waits_for_the_act_that_is_being_decided(world, police):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        ledger.registry(uow.session, police.id)
        revoking, _ = in_another_transaction(world, lambda late: revoke(late, police))
        world.database.await_blocked()
        assert act(world, uow, police, chain)
        uow.commit()
    revoking.join()
    assert in_order(world) == ["access.denied", "principal.revoked"]


def test_an_act_waits_for_the_revocation_that_is_being_made_and_is_refused(world, police):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        revoke(uow, police)
        acting, acted = in_another_transaction(world, lambda late: act(world, late, police, chain))
        world.database.await_blocked()
        uow.commit()
    acting.join()
    assert acted == [False]
    assert in_order(world) == ["principal.revoked"]


def test_a_sequencer_that_looks_in_between_does_not_turn_them_round(world, police):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        assert act(world, uow, police, chain)
        revoking, _ = in_another_transaction(world, lambda late: revoke(late, police))
        world.database.await_blocked()
        world.sequencer.run_once()
        uow.commit()
        world.sequencer.run_once()
    revoking.join()
    assert in_order(world) == ["access.denied", "principal.revoked"]


def test_unrelated_chains_do_not_wait_for_each_other(world, police):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        ledger.registry(uow.session, police.id)
        world.note(chain)
        uow.commit()
    assert in_order(world) == ["access.denied"]
