"""What the tests of the service share; what is about the database holds on both."""

import pytest

from tests.app.db.world import SqliteFile, World


@pytest.fixture
def postgres_database(postgres):
    """A migrated PostgreSQL database of its own."""
    made = postgres.database()
    yield made
    made.drop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """A migrated database of its own, on either."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_database")
    return SqliteFile(tmp_path)


@pytest.fixture
def world(database):
    """A service's database and log, of its own."""
    made = World(database)
    yield made
    made.close()


@pytest.fixture
def sqlite_world(tmp_path):
    """The same, where only SQLite is meant."""
    made = World(SqliteFile(tmp_path))
    yield made
    made.close()


@pytest.fixture
def postgres_world(postgres_database):
    """The same, where only PostgreSQL is meant."""
    made = World(postgres_database)
    yield made
    made.close()
