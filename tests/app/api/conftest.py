"""A running service for the tests of a file, and two authorities with a principal of all roles each."""

import os

import pytest

from tests.app.running import Running


@pytest.fixture(scope="module")
def database_kind():
    """A file that is about the database as well says `params=["sqlite", "postgresql"]` in a fixture of this name.

    All others run on the one that TEST_SERVICE_ON names.
    """
    return os.environ.get("TEST_SERVICE_ON", "sqlite")


@pytest.fixture(scope="module")
def service_database(database_kind, request):
    """A PostgreSQL database of the file's own; none where the service makes its SQLite file."""
    if database_kind == "sqlite":
        yield None
        return
    made = request.getfixturevalue("postgres").database()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, service_database):
    running = Running(tmp_path_factory.mktemp("service"), service_database)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def police(service):
    return service.authority()


@pytest.fixture(scope="module")
def court(service):
    return service.authority()


@pytest.fixture(scope="module")
def alice(police):
    return police.enrol()


@pytest.fixture(scope="module")
def bob(court):
    return court.enrol()
