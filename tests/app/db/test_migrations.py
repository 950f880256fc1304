"""The migrations make exactly the schema of the models."""

import stat

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import delete, inspect, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from app.db import migrate
from app.db.engine import connect, writing
from app.db.models import Base, LedgerRow, LogLeaf, StatementRow
from app.errors import BadInput
from tests.app.db.world import START


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


def test_a_fresh_database_is_not_current_and_an_upgraded_one_is(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    assert not migrate.is_current(engine)
    migrate.upgrade(engine)
    assert migrate.is_current(engine)
    migrate.upgrade(engine)
    assert migrate.is_current(engine)
    engine.dispose()


def test_a_failed_migration_leaves_nothing(tmp_path, monkeypatch):
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", _break)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def _break(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize("table", [LedgerRow, LogLeaf, StatementRow])
@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_record_is_insert_only(world, table, change):
    column = next(iter(table.__table__.primary_key))
    with writing(world.engine).begin() as connection:
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        if table is StatementRow:
            connection.execute(StatementRow.__table__.insert().values(id="ab", envelope=b"x"))
        else:
            world_rows(connection)
        statement = update(table).values({column.name: column}) if change == "update" else delete(table)
        with pytest.raises(IntegrityError, match="insert only"):
            connection.execute(statement)
        connection.rollback()


def world_rows(connection):
    connection.execute(
        LedgerRow.__table__.insert().values(
            id=1, chain="ab", seq=0, body=b"", hash=b"", salt=b"", label=b"", recorded_at=START
        )
    )
    connection.execute(LogLeaf.__table__.insert().values(idx=0, data=b"x"))


def test_the_database_file_is_private(world):
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
    world.note(world.open_chain())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in world.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_commit_is_on_disk_when_it_returns(world):
    with world.engine.connect() as connection:
        found = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert found == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/x"])
def test_databases_that_keep_no_promise_are_refused(url):
    with pytest.raises(BadInput):
        connect(url)
