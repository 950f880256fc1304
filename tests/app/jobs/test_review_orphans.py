"""Remains of crashes in the store, and that nothing else is taken for one."""

from datetime import timedelta

import pytest

from app.db.models import Upload, UploadState
from app.jobs import orphans
from storage import keys
from tests.app.party import Item, token
from tests.app.running import Running


@pytest.fixture(scope="module")
def quiet(tmp_path_factory, backend):
    running = Running(tmp_path_factory.mktemp("service"), backend)
    running.service.caretaker.stop()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def alice(quiet):
    return quiet.authority().enrol()


@pytest.fixture
def later(quiet):
    quiet.now.ahead = timedelta(days=2)
    yield
    quiet.now.ahead = timedelta(0)


def tokens(quiet):
    return {found.token for found in quiet.runtime.store.uploads()}


def run(quiet):
    return orphans.run(quiet.runtime, lambda: False)


@pytest.fixture
def orphan(quiet):
    begun = quiet.runtime.store.begin(keys.body(token(), token()), part_size=1 << 24)
    yield begun
    quiet.runtime.store.abort(begun)


def test_an_upload_without_a_row_goes_after_a_day(quiet, orphan, later):
    assert (run(quiet), orphan in tokens(quiet)) == (1, False)


def test_a_young_one_stays(quiet, orphan):
    assert (run(quiet), orphan in tokens(quiet)) == (0, True)


def test_what_somebody_is_uploading_stays(quiet, alice):
    item = Item(b"x" * 1000, [alice.authority.identity.recipient])
    package = alice.declare(alice.open_exchange(quiet.authority()), alice.authority)
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    alice.patch(location, 0, item.body[:500])
    quiet.now.ahead = timedelta(days=2)
    assert run(quiet) == 0
    quiet.now.ahead = timedelta(0)
    alice.patch(location, 500, item.body[500:])


def test_an_upload_that_ended_and_was_not_dropped_goes(quiet, alice):
    package = alice.declare(alice.open_exchange(quiet.authority()), alice.authority)
    location = alice.create(package, token(), 1000).headers["Location"]
    with quiet.runtime.unit_of_work() as uow:  # the service died between the commit and the dropping
        row = uow.session.get_one(Upload, location.rpartition("/")[2])
        row.state, left = UploadState.ABORTED, row.store_token
        uow.commit()
    quiet.now.ahead = timedelta(days=2)
    cleared = run(quiet)
    quiet.now.ahead = timedelta(0)
    assert (cleared, left in tokens(quiet)) == (1, False)
