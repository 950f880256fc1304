"""Bringing a database to the schema of this code, by the migrations that came with it.

Alembic is imported only where something is missing: a database that is current, as it is at every start but the first,
shows that in the one row of `alembic_version`.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import ProgrammingError

from app.db import grants
from app.db.engine import writing
from app.db.unit_of_work import answering
from app.errors import StateConflict

HEAD: Final = "0002"
"""The newest revision under `migrations/versions`."""

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('rogatory migrations'))"
_NO_PRIVILEGE = "42501"
_NOTED_IN = "alembic_version"
_NOTED = text("SELECT version_num FROM alembic_version")


def upgrade(engine: Engine) -> None:
    """Apply what is missing, in one transaction, and give the service's role its rights.

    Raises:
        StateConflict: Something is missing, and this database user may not change the schema.
        DatabaseDown: The database does not answer.
    """
    try:
        with answering(), writing(engine).begin() as connection:
            _wait_for_turn(connection)
            if _revisions(connection) != [HEAD]:
                _migrate(connection)
            grants.give(connection)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_PRIVILEGE:
            raise
        raise StateConflict(
            "the database has another schema, and its user may not change it",
            hint="run `rogatory-server migrate` as the owner of the tables",
        ) from error


def is_current(engine: Engine) -> bool:
    """Whether the database has exactly the schema of this code."""
    with answering(), engine.connect() as connection:
        return _revisions(connection) == [HEAD]


def _revisions(connection: Connection) -> list[str]:
    """What Alembic has noted in this database."""
    if not inspect(connection).has_table(_NOTED_IN):
        return []
    return [str(revision) for revision in connection.scalars(_NOTED)]


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _wait_for_turn(connection: Connection) -> None:
    """Processes that start together migrate one after the other, for as long as it takes."""
    if connection.dialect.name == "postgresql":
        for setting in ("statement_timeout", "lock_timeout"):
            connection.execute(text(f"SET LOCAL {setting} = 0"))
        connection.execute(text(_ONE_AT_A_TIME))
