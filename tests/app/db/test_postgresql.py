"""What the service promises of PostgreSQL: durable commits, least rights, waits that end, recovery without help."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.db import engine as engines
from app.db import grants, migrate, registries
from app.db.engine import connect
from app.db.log_models import Chain, StatementRow
from app.db.models import Base
from app.db.unit_of_work import UnitOfWork, reading, retried
from app.errors import DatabaseDown, StateConflict
from tests.app.db.test_ledger import rows


@pytest.fixture
def world(postgres_world):
    return postgres_world


@pytest.fixture
def hasty(world, monkeypatch):
    """An engine that waits for nothing long."""
    monkeypatch.setattr(engines, "_SESSION", engines._SESSION | {"lock_timeout": "50ms", "statement_timeout": "200ms"})
    made = connect(world.database.url)
    yield made
    made.dispose()


def settings_of(engine, *names):
    with engine.connect() as connection:
        return [connection.scalar(text(f"SHOW {name}")) for name in names]


# ---------------------------------------------------------------- settings


def test_a_commit_is_on_disk_when_it_returns_whatever_the_servers_default(world):
    assert settings_of(world.engine, "synchronous_commit") == ["on"]


def test_writers_read_what_is_committed_and_readers_one_state(world):
    assert settings_of(world.engine, "transaction_isolation", "transaction_read_only") == ["read committed", "off"]
    with world.reading() as session:
        shown = [session.scalar(text(f"SHOW transaction_{name}")) for name in ("isolation", "read_only")]
    assert shown == ["repeatable read", "on"]
    assert settings_of(world.engine, "transaction_isolation", "transaction_read_only") == ["read committed", "off"]


def test_a_reader_sees_nothing_of_what_is_committed_meanwhile(world):
    chain = world.open_chain()
    with world.reading() as session:
        before = session.get(Chain, chain).next_seq
        world.note(chain)
        session.expire_all()
        assert session.get(Chain, chain).next_seq == before == 0


def test_a_reader_writes_nothing(world):
    with pytest.raises(DatabaseDown), world.reading() as session:
        session.execute(text("INSERT INTO statements (id, envelope) VALUES ('ab', '')"))


def test_what_the_url_says_goes_before_our_settings(world):
    engine = connect(f"{world.database.url}&options=-c%20lock_timeout%3D7s&application_name=ours&connect_timeout=2")
    try:
        assert settings_of(engine, "lock_timeout", "statement_timeout", "application_name") == ["7s", "30s", "ours"]
    finally:
        engine.dispose()


def test_a_url_without_driver_means_psycopg(world):
    engine = connect(world.database.url.replace("+psycopg", ""))
    try:
        assert engine.dialect.driver == "psycopg"
    finally:
        engine.dispose()


def test_a_server_that_does_not_sync_is_told_to_the_operator(world, tmp_path):
    [said] = engines.unsafe(world.engine)
    assert "fsync off" in said
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    assert engines.unsafe(engine) == []
    engine.dispose()


# ---------------------------------------------------------------- rights


@pytest.mark.parametrize("table", sorted(grants.INSERT_ONLY | grants.KEPT))
def test_the_service_takes_nothing_away_from_the_record(world, table):
    for change in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE", f"ALTER TABLE {table} DISABLE TRIGGER ALL"):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), world.unit_of_work() as uow:
            uow.session.execute(text(change))


@pytest.mark.parametrize("table", sorted(grants.INSERT_ONLY))
def test_the_service_changes_nothing_of_the_record(world, table):
    column = next(iter(Base.metadata.tables[table].primary_key)).name
    with pytest.raises(DBAPIError, match="permission denied"), world.unit_of_work() as uow:
        uow.session.execute(text(f"UPDATE {table} SET {column} = {column}"))


def test_every_named_table_is_one():
    assert Base.metadata.tables.keys() >= grants.INSERT_ONLY | grants.KEPT


def test_the_service_starts_on_a_current_schema_and_changes_none(world):
    migrate.upgrade(world.engine)
    assert migrate.is_current(world.engine)
    world.meddle("UPDATE alembic_version SET version_num = '0000'")
    assert not migrate.is_current(world.engine)


def test_the_service_refuses_a_database_that_only_its_owner_can_bring_up(postgres):
    made = postgres.empty()
    engine = connect(made.url)
    try:
        with pytest.raises(StateConflict, match="may not change"):
            migrate.upgrade(engine)
    finally:
        engine.dispose()
        made.drop()


def test_a_database_without_the_role_is_its_owners_alone(postgres, monkeypatch):
    monkeypatch.setattr(grants, "ROLE", "nobody_of_that_name")
    made = postgres.empty()
    owner, service = connect(made.owner_url), connect(made.url)
    try:
        migrate.upgrade(owner)
        with pytest.raises(DBAPIError, match="permission denied"), reading(service) as session:
            session.get(Chain, "ab")
    finally:
        owner.dispose()
        service.dispose()
        made.drop()


def test_processes_that_start_together_migrate_one_after_the_other(postgres):
    made, failed = postgres.empty(), []
    engines_ = [connect(made.owner_url) for _ in range(4)]

    def start(engine):
        try:
            migrate.upgrade(engine)
        except Exception as error:  # noqa: BLE001 - whatever it is
            failed.append(error)

    starting = [Thread(target=start, args=[engine]) for engine in engines_]
    for each in starting:
        each.start()
    for each in starting:
        each.join()
    current = migrate.is_current(engines_[0])
    for engine in engines_:
        engine.dispose()
    made.drop()
    assert (failed, current) == ([], True)


# ---------------------------------------------------------------- waits that end


def test_a_chain_that_is_held_too_long_is_said_to_be_the_database(world, hasty):
    chain = world.open_chain()
    late = UnitOfWork(hasty)
    with world.unit_of_work() as uow:
        world.append(uow, chain)
        with pytest.raises(DatabaseDown), late:
            world.append(late, chain)
        uow.commit()
    assert rows(world) == 1


def test_a_statement_that_takes_too_long_is_ended(hasty):
    with pytest.raises(DatabaseDown), reading(hasty) as session:
        session.execute(text("SELECT pg_sleep(30)"))


def test_a_process_without_a_free_connection_refuses(world, monkeypatch):
    for name, value in (("POSTGRESQL_CONNECTIONS", 1), ("_KEPT_OPEN", 1), ("_WAIT_FOR_CONNECTION", 0.05)):
        monkeypatch.setattr(engines, name, value)
    small = connect(world.database.url)
    chain, late = world.open_chain(), UnitOfWork(small)
    with reading(small) as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseDown), late:
            world.append(late, chain)
    with late:
        world.append(late, chain)
        late.commit()
    small.dispose()
    assert rows(world) == 1


def test_a_server_without_a_free_connection_is_said_to_be_down_until_it_has_one(world):
    chain = world.open_chain()
    with world.database.full():
        with pytest.raises(DatabaseDown):
            world.note(chain)
        with pytest.raises(DatabaseDown):
            rows(world)
    world.note(chain)


# ---------------------------------------------------------------- crossing transactions


def test_two_that_wait_for_each_other_are_both_done(world):
    chains = [world.open_chain() for _ in range(2)]
    tries = []

    @retried
    def both(first, second):
        tries.append(1)
        with world.unit_of_work() as uow:
            world.append(uow, first)
            if len(tries) <= 2:
                meet.wait()
            world.append(uow, second)
            uow.commit()

    meet = Barrier(2, timeout=30)
    crossing = [Thread(target=both, args=order) for order in (chains, chains[::-1])]
    for each in crossing:
        each.start()
    for each in crossing:
        each.join()
    assert len(tries) == 3, "one of them was made again"
    assert rows(world) == 4


def test_what_two_make_at_once_is_made_once_and_the_second_finds_it(world):
    @retried
    def ensure():
        with world.unit_of_work() as uow:
            if uow.session.get(StatementRow, "ab") is not None:
                found.append(1)
                return
            meet.wait()
            uow.session.add(StatementRow(id="ab", envelope=b""))
            uow.commit()

    found, meet = [], Barrier(2, timeout=30)
    making = [Thread(target=ensure) for _ in range(2)]
    for each in making:
        each.start()
    for each in making:
        each.join()
    assert (found, rows(world, StatementRow)) == ([1], 1)


def test_what_fails_every_time_is_not_tried_for_ever(world):
    tries = []

    @retried
    def wrong():
        tries.append(1)
        with world.unit_of_work() as uow:
            for _ in range(2):
                uow.session.execute(text("INSERT INTO statements (id, envelope) VALUES ('ab', '')"))

    with pytest.raises(IntegrityError):
        wrong()
    assert 1 < len(tries) < 10


def test_what_is_unreachable_is_not_tried_again(world):
    tries = []

    @retried
    def work():
        tries.append(1)
        with world.unit_of_work() as uow:
            uow.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseDown):
        work()
    assert tries == [1]


def test_registries_are_held_in_one_order_however_they_are_named(world):
    with world.unit_of_work() as uow:
        for at in range(20):
            uow.session.add(Chain(handle=f"{at * 7 % 20:064d}", kind="registry", owner=f"a{at}", next_seq=0))
        uow.commit()
    names = [f"a{at}" for at in range(20)]

    def hold(order):
        for _ in range(30):
            with world.unit_of_work() as uow:
                registries.hold(uow.session, order)

    failed = []
    holding = [Thread(target=lambda order=order: _keep(failed, hold, order)) for order in (names, names[::-1]) * 2]
    for each in holding:
        each.start()
    for each in holding:
        each.join()
    assert failed == []


def _keep(failed, work, *facts):
    try:
        work(*facts)
    except Exception as error:  # noqa: BLE001 - whatever it is
        failed.append(error)


# ---------------------------------------------------------------- broken lines


def cut(world):
    world.database.terminate(world.database.sessions())


def test_a_transaction_whose_session_is_cut_changes_nothing_and_the_next_one_works(world):
    chain = world.open_chain()

    def interrupted():
        with world.unit_of_work() as uow:
            world.append(uow, chain)
            cut(world)
            uow.commit()

    with pytest.raises(DatabaseDown):
        interrupted()
    assert rows(world) == 0
    assert world.note(chain)[0].seq == 0


def test_idle_connections_that_were_cut_are_noticed_by_nobody(world):
    chain = world.open_chain()
    for _ in range(3):
        world.note(chain)
        cut(world)
    assert rows(world) == 3


@pytest.mark.parametrize("kind", ["unit_of_work", "reading"])
def test_whoever_finds_the_line_cut_is_told_so(world, kind):
    def interrupted():
        with getattr(world, kind)() as found:
            session = found if kind == "reading" else found.session
            session.execute(text("SELECT 1"))
            cut(world)
            session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseDown):
        interrupted()
