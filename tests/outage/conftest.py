"""A service behind a store that fails on demand, and its parties."""

import pytest

from tests import backends
from tests.app.running import Running
from tests.backends import SERVERS
from tests.storage import liar


@pytest.fixture(scope="module")
def line(seaweed):
    """What stands between a service and the store."""
    with liar.lying(seaweed.endpoint) as found:
        yield found


@pytest.fixture
def honest_again(line):
    """Whatever the test let the store do, it does no more afterwards."""
    yield
    line.heal()


@pytest.fixture(scope="module")
def service(tmp_path_factory, request, line):
    with backends.backend(SERVERS, request, endpoint=line.endpoint) as backend:
        running = Running(tmp_path_factory.mktemp("service"), backend)
        running.service.caretaker.stop()
        yield running
        running.stop()


@pytest.fixture(scope="module")
def court(service):
    return service.authority()


@pytest.fixture(scope="module")
def alice(service):
    return service.authority().enrol()


@pytest.fixture(scope="module")
def bob(court):
    return court.enrol()


@pytest.fixture(scope="module")
def matter(alice, court):
    return alice.open_exchange(court)
