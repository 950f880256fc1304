"""The migrations make exactly the schema of the models."""

import stat

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from app.db import migrate
from app.db.engine import connect
from app.db.models import Base, LedgerRow
from app.errors import BadInput


def test_migrations_lead_to_the_models(world):
    with world.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_every_check_of_the_models_is_in_the_migrated_database(world):
    inspector = inspect(world.engine)
    for table in Base.metadata.sorted_tables:
        wanted = {str(each.name) for each in table.constraints if str(each.name).startswith("ck_")}
        assert {each["name"] for each in inspector.get_check_constraints(table.name)} == wanted, table.name


def test_postgresql_counts_entries_in_64_bits():
    made = str(CreateTable(LedgerRow.__table__).compile(dialect=postgresql.dialect()))
    assert "id BIGSERIAL NOT NULL" in made
    assert "seq BIGINT NOT NULL" in made


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request, tmp_path):
    """The URL of a database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
        return
    made = request.getfixturevalue("postgres").empty()
    yield made.owner_url
    made.drop()


def test_a_fresh_database_is_not_current_and_an_upgraded_one_is(fresh):
    engine = connect(fresh)
    assert not migrate.is_current(engine)
    migrate.upgrade(engine)
    assert migrate.is_current(engine)
    migrate.upgrade(engine)
    assert migrate.is_current(engine)
    engine.dispose()


def test_a_failed_migration_leaves_nothing(fresh, monkeypatch):
    engine = connect(fresh)
    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", _break)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def _break(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize("table", ["ledger", "log_leaves", "stamps", "statements", "validation"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"])
def test_the_record_is_insert_only_even_for_its_owner(world, table, change):
    world.meddle("INSERT INTO statements (id, envelope) VALUES (:id, :data)", id="ab", data=b"x")
    world.meddle("INSERT INTO stamps (size, number, tsa, at, note, reply) VALUES (1, 0, 'a', 't', :it, :it)", it=b"x")
    world.meddle("INSERT INTO validation (tsa, sha256, source, at, data) VALUES ('a', 'b', 'c', 't', :it)", it=b"x")
    world.note(world.open_chain())
    world.sequencer.run_once()
    column = next(iter(Base.metadata.tables[table].primary_key)).name
    with pytest.raises(DBAPIError, match="insert only"):
        world.meddle(change.format(table, column))


def test_the_database_file_is_private(sqlite_world):
    path = sqlite_world.database.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sqlite_world.note(sqlite_world.open_chain())
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_commit_is_on_disk_when_it_returns(sqlite_world):
    with sqlite_world.engine.connect() as connection:
        found = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert found == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/x", "postgresql+asyncpg://u@h/x"])
def test_databases_that_keep_no_promise_are_refused(url):
    with pytest.raises(BadInput):
        connect(url)
