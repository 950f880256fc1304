"""A running service for the tests of a file, and two authorities with a principal of all roles each."""

import pytest

from tests.app.running import Running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("service"))
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
