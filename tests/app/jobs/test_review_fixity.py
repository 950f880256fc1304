"""The first reading of sealed bodies, when the store fails at some of them."""

from datetime import UTC

import pytest

from app.db.models import Item
from app.jobs import fixity
from storage.interface import StoreUnavailable
from tests.app.running import Running


@pytest.fixture(scope="module")
def quiet(tmp_path_factory, backend):
    """A service whose own caretaker does nothing, so that the test is the only one that does."""
    running = Running(tmp_path_factory.mktemp("service"), backend)
    running.service.caretaker.stop()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def parties(quiet):
    return quiet.authority().enrol(), quiet.authority()


@pytest.fixture
def sent(parties):
    alice, court = parties
    return alice.send(alice.open_exchange(court), court, count=3)


class FailsAt:
    """The store, which does not do one thing to one body."""

    def __init__(self, store, method, key):
        self._store, self._method, self._key = store, method, key

    def __getattr__(self, name):
        found = getattr(self._store, name)

        def failing(key, *args, **more):
            if key == self._key:
                raise StoreUnavailable("EIO")
            return found(key, *args, **more)

        return failing if name == self._method else found


def bodies(quiet, sent):
    with quiet.runtime.reading() as session:
        return [session.get_one(Item, (sent.package, item)) for item in sorted(each.id for each in sent.items)]


def run(quiet, monkeypatch, method, body):
    with monkeypatch.context() as patch:
        patch.setitem(quiet.runtime.__dict__, "store", FailsAt(quiet.runtime.store, method, body.key))
        fixity.run(quiet.runtime, lambda: False)


@pytest.mark.parametrize("method", ["read", "lock"])
def test_a_body_that_fails_keeps_nobody_from_the_others(quiet, monkeypatch, sent, method):
    run(quiet, monkeypatch, method, bodies(quiet, sent)[0])
    assert [body.fixity for body in bodies(quiet, sent)] == [None, "ok", "ok"]
    fixity.run(quiet.runtime, lambda: False)
    assert [body.fixity for body in bodies(quiet, sent)] == ["ok"] * 3


def test_no_body_counts_as_read_whose_lock_was_not_lengthened(quiet, monkeypatch, parties):
    alice, court = parties
    with monkeypatch.context() as patch:
        patch.setattr("app.services.packages.keep", lambda *_: None)  # the service died after the seal was a fact
        sent = alice.send(alice.open_exchange(court), court)
    first, *rest = bodies(quiet, sent)
    run(quiet, monkeypatch, "lock", first)
    assert bodies(quiet, sent)[0].fixity is None
    fixity.run(quiet.runtime, lambda: False)
    locked = {quiet.runtime.store.stat(body.key).locked_until.astimezone(UTC).year for body in (first, *rest)}
    assert locked == {quiet.now().year + 5}


def test_every_lock_is_lengthened_before_the_first_body_is_read(quiet, monkeypatch, parties):
    alice, court = parties
    with monkeypatch.context() as patch:
        patch.setattr("app.services.packages.keep", lambda *_: None)
        sent = alice.send(alice.open_exchange(court), court)
    stops = iter([False] * 2 + [True] * 99)
    fixity.run(quiet.runtime, lambda: next(stops))
    assert {quiet.runtime.store.stat(body.key).locked_until.year for body in bodies(quiet, sent)} == {
        quiet.now().year + 5
    }
