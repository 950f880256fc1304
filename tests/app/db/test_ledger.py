"""An entry and its fact are one; entries of a chain follow each other; nothing stands in the log twice."""

import pytest
from sqlalchemy import func, select

from app.db import ledger
from app.db.columns import Time
from app.db.engine import connect
from app.db.log_models import Chain, LedgerRow, Pending, StatementRow
from app.db.unit_of_work import UnitOfWork
from app.errors import BadInput, DatabaseDown, NotFound, Overloaded, StateConflict, StatementRefused, StatementReplayed
from app.services import enrolment
from custody import entry as entries
from custody import leaf
from custody.registry import SignerNotEntitled
from tests.app.db.world import ORIGIN, SERVICE_CHAIN, START
from tests.custody.parties import Authority


def rows(world, table=LedgerRow):
    with world.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.fixture
def started(world):
    with world.unit_of_work() as uow:
        enrolment.start_log(uow, keys=["a key"], origin=ORIGIN, at=START)
        uow.commit()
    return world


@pytest.fixture
def police(started):
    party = Authority("police.nl")
    enrolment.admit(started.unit_of_work(), party.founding(), origin=ORIGIN, at=START)
    return party


def lodge(world, party, event, said):
    with world.unit_of_work() as uow:
        made = ledger.append(
            uow.session, chain=party.chain.handle, event=event, at=START, origin=ORIGIN, statement=said
        )
        uow.commit()
    return made


def test_entries_follow_each_other_by_hash_seq_and_label(world):
    chain = world.open_chain()
    made = world.note(chain, 5)
    with world.reading() as session:
        stored = session.scalars(select(LedgerRow).order_by(LedgerRow.id)).all()
    label, prev = leaf.first_label(ORIGIN, bytes.fromhex(chain)), entries.ZERO
    for seq, (entry, row) in enumerate(zip(made, stored, strict=True)):
        assert (row.seq, row.body, row.hash, row.label) == (seq, entry.data, entry.hash, label)
        assert entries.parse(row.body).fields["prev"] == prev
        label, prev = leaf.next_label(row.salt, row.hash), row.hash.hex()


def test_salts_and_nonces_are_never_used_twice(world):
    made = world.note(world.open_chain(), 20)
    with world.reading() as session:
        assert len(set(session.scalars(select(LedgerRow.salt)))) == 20
    assert len({entry.fields["nonce"] for entry in made}) == 20


def test_leaving_without_commit_changes_nothing(world):
    chain = world.open_chain()
    with world.unit_of_work() as uow:
        world.append(uow, chain)
    assert (rows(world), rows(world, Pending)) == (0, 0)
    assert world.note(chain)[0].seq == 0


def test_an_error_changes_nothing(world):
    chain = world.open_chain()
    with pytest.raises(BadInput), world.unit_of_work() as uow:
        _append_twice(world, uow, chain)
    assert rows(world) == 0


def _append_twice(world, uow, chain):
    world.append(uow, chain)
    world.append(uow, chain, event="no.such")


def test_the_sequencer_is_told_after_the_commit_and_not_before(world):
    seen = []
    chain = world.open_chain()
    with UnitOfWork(world.engine, lambda: seen.append(rows(world))) as uow:
        world.append(uow, chain)
        assert seen == []
        uow.commit()
    assert seen == [1]


def test_a_unit_of_work_that_is_not_open_has_no_session(world):
    uow = world.unit_of_work()
    with pytest.raises(RuntimeError):
        _ = uow.session
    with uow, pytest.raises(RuntimeError):
        uow.__enter__()


def test_a_chain_is_opened_once(world):
    chain = world.open_chain()
    with pytest.raises(StateConflict), world.unit_of_work() as uow:
        ledger.open_chain(uow.session, chain, "exchange", "x")


def test_a_chain_that_is_not_there_takes_no_entry(world):
    with pytest.raises(NotFound), world.unit_of_work() as uow:
        world.append(uow, "00" * 32)


def test_what_is_no_entry_is_refused(world):
    chain = world.open_chain()
    for wrong in ({"noted": {"nothing": 1}}, {"noted": None}, {"event": "no.such"}, {"subject": {"key": "00" * 32}}):
        with pytest.raises(BadInput), world.unit_of_work() as uow:
            world.append(uow, chain, **wrong)


def test_no_entry_is_taken_behind_one_that_waits_too_long(world):
    chain = world.open_chain()
    world.note(chain)
    world.clock.move(10)
    world.note(chain)
    world.clock.move(0.000001)
    with pytest.raises(Overloaded), world.unit_of_work() as uow:
        world.append(uow, chain)
    world.sequencer.run_once()
    world.note(chain)


def test_a_busy_database_is_said_to_be_down(sqlite_world, monkeypatch):
    world = sqlite_world
    chain = world.open_chain()
    monkeypatch.setattr("app.db.engine._BUSY_MS", 0)
    monkeypatch.setattr("app.db.engine._SETTINGS", ("PRAGMA busy_timeout=0",))
    other = UnitOfWork(_fresh(world))
    with world.unit_of_work() as uow:
        world.append(uow, chain)
        with pytest.raises(DatabaseDown), other:
            world.append(other, chain)
        uow.commit()
    assert rows(world) == 1
    other._engine.dispose()


def _fresh(world):
    return connect(world.database.url)


def test_an_admitted_authority_has_a_registry_and_the_service_says_so(started, police):
    with started.reading() as session:
        registry = ledger.registry(session, police.id, hold=False)
        said = session.scalars(
            select(LedgerRow.body).where(LedgerRow.chain == SERVICE_CHAIN).order_by(LedgerRow.seq)
        ).all()
    assert (registry.name, registry.length, registry.active()) == ("Politie", 1, True)
    last = entries.parse(said[-1])
    assert (last.event, last.noted["what"], last.subject) == (
        "policy.changed",
        "authority.admitted",
        {"authority": police.id},
    )


def test_an_authority_is_admitted_once(started, police):
    with pytest.raises(StateConflict):
        enrolment.admit(started.unit_of_work(), police.founding(), origin=ORIGIN, at=START)


def test_one_key_is_enrolled_for_one_authority(started, police):
    other = Authority("court.nl")
    other.key = police.key
    before = rows(started)
    with pytest.raises(StateConflict):
        enrolment.admit(started.unit_of_work(), other.founding(), origin=ORIGIN, at=START)
    assert rows(started) == before


def test_the_log_is_started_once(started):
    with pytest.raises(StateConflict), started.unit_of_work() as uow:
        enrolment.start_log(uow, keys=["a key"], origin=ORIGIN, at=START)


def test_a_statement_stands_in_the_log_once(started, police):
    said = police.enrolment()
    made = lodge(started, police, "principal.enrolled", said)
    with pytest.raises(StatementReplayed) as refused:
        lodge(started, police, "principal.enrolled", said)
    with started.reading() as session:
        assert session.get(LedgerRow, refused.value.ledger_id).hash == made.hash
        assert session.get(StatementRow, said.id).envelope == said.envelope


def test_the_registry_grows_by_what_is_lodged_before_and_after_it_has_a_place(started, police):
    lodge(started, police, "principal.enrolled", police.enrolment())
    for _ in range(2):
        with started.unit_of_work() as uow:
            registry = ledger.registry(uow.session, police.id)
            assert registry.roles(police.principal) == set(police.roles)
        started.sequencer.run_once()
    lodge(
        started,
        police,
        "principal.revoked",
        police.registry_act("principal.revoked", {"principal": police.principal}, {"reason": "left"}),
    )
    for _ in range(2):
        with started.unit_of_work() as uow:
            assert ledger.registry(uow.session, police.id).roles(police.principal) == set()
            assert registry.roles(police.principal) == set(police.roles), "a registry that was handed out never changes"
        started.sequencer.run_once()


def test_the_registry_has_the_log_indices_of_its_entries(started, police):
    lodge(started, police, "principal.enrolled", police.enrolment())
    started.sequencer.run_once()
    with started.reading() as session:
        index = ledger.record_of(session, session.scalar(select(func.max(LedgerRow.id)))).index
        registry = ledger.registry(session, police.id, hold=False)
    assert registry.principal(police.principal, at=index) is None
    assert registry.principal(police.principal, at=index + 1) is not None


def test_the_registry_of_a_stranger_is_not_found(started):
    with pytest.raises(NotFound), started.reading() as session:
        ledger.registry(session, "nobody.example", hold=False)


def test_an_entry_against_the_registrys_rules_is_refused_and_leaves_nothing(started, police):
    before = rows(started), rows(started, StatementRow)
    stranger = Authority("police.nl")
    for event, said in (
        ("principal.enrolled", stranger.enrolment()),
        ("principal.revoked", police.registry_act("principal.revoked", {"principal": "00" * 16}, {"reason": "left"})),
        ("principal.suspended", police.enrolment()),
    ):
        with pytest.raises(StatementRefused):
            lodge(started, police, event, said)
    assert (rows(started), rows(started, StatementRow)) == before


def test_a_refusal_keeps_its_cause(started, police):
    with pytest.raises(StatementRefused) as refused:
        lodge(started, police, "principal.enrolled", Authority("police.nl").enrolment())
    assert isinstance(refused.value.__cause__, SignerNotEntitled)


def test_a_statement_is_not_accepted_for_another_chain(started, police):
    chain = started.open_chain()
    with pytest.raises(StatementRefused), started.unit_of_work() as uow:
        ledger.append(
            uow.session,
            chain=chain,
            event="log.exported",
            at=START,
            origin=ORIGIN,
            statement=police.says("act", "11" * 32, event="log.exported", detail={"form": "bundle"}),
        )


def test_the_actor_is_the_signers_own_key_where_new_keys_sign_too(started, police):
    made = lodge(started, police, "principal.enrolled", police.enrolment())
    assert made.fields["actor"] == {"authority": police.id, "key": police.key.public.id}


def test_the_head_of_a_chain_is_its_last_entry(started, police):
    made = lodge(started, police, "principal.enrolled", police.enrolment())
    with started.reading() as session:
        chain = session.get(Chain, police.chain.handle)
        assert (chain.next_seq, chain.head_hash) == (2, made.hash)


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="zone"):
        Time().process_bind_param(START.replace(tzinfo=None), None)
