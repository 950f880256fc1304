"""Uploads between two steps: an answer of the database that was lost, a store that is silent, a time that runs out."""

from datetime import timedelta

import pytest

from app.db.models import Upload, UploadState
from app.db.unit_of_work import UnitOfWork
from app.errors import DatabaseDown
from app.jobs import lapse
from app.services import uploads
from storage.interface import StoreUnavailable
from tests.app.api.test_partial_uploads import Sent
from tests.app.api.test_uploads import check_whole, restart
from tests.app.party import TUS, Item, token


@pytest.fixture(scope="module")
def package(alice, court):
    return alice.declare(alice.open_exchange(court), court)


def losing_the_answer(table):
    """`UnitOfWork.commit`, whose answer is lost once, after the commit of a row of this table."""
    commit, left = UnitOfWork.commit, [1]

    def lost(uow):
        ours = any(each.__tablename__ == table for each in uow.session)
        commit(uow)
        if ours and left:
            left.pop()
            raise DatabaseDown("the connection broke after the commit")

    return lost


@pytest.mark.parametrize("way", ["windows", "pieces"])
def test_a_creation_whose_commit_was_not_answered_is_found_and_takes_bytes(
    *, service, alice, package, monkeypatch, way
):
    body = b"evidence" * 10
    sent = Sent(alice, package, body)
    start = 0 if way == "windows" else None
    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "commit", losing_the_answer("partial_uploads"))
        assert sent.begin(len(body), start, expect=503).json()["code"] == "database-down"
    location = sent.begin(len(body), start, expect=200 if start == 0 else 201).headers["Location"]
    alice.patch(location, 0, body)
    sent.join(location)
    check_whole(service, alice, package, sent.item, body)


def test_a_writer_that_cannot_begin_leaves_the_desk(service, alice, package, monkeypatch):
    location = alice.create(package, token(), 1000).headers["Location"]
    alice.patch(location, 0, b"x" * 10)
    restart(service)

    def silent(*_):
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(service.runtime.store, "read_pieces", silent)
        alice.patch(location, 10, b"x" * 10, 503)
    assert location.rpartition("/")[2] not in service.runtime.desk._writers
    alice.patch(location, 10, b"x" * 990)


@pytest.fixture
def keeping(service):
    """Nothing lapses by itself."""
    service.service.caretaker.stop()
    yield service
    service.now.ahead = timedelta(0)
    service.service.caretaker.start()


def expire(service):
    service.now.ahead = service.runtime.settings.upload_expiry + timedelta(minutes=1)


def test_a_body_that_the_store_does_not_publish_holds_up_no_other_that_expired(
    *, keeping, alice, court, package, monkeypatch
):
    items = [Item(b"evidence", [court.identity.recipient]) for _ in range(2)]
    stuck, rest = (alice.create(package, each.id, len(each.body)).headers["Location"] for each in items)

    def silent(*_):
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(keeping.runtime.store, "complete", silent)
        alice.patch(stuck, 0, items[0].body, 503)
        expire(keeping)
        assert lapse.run(keeping.runtime, lambda: False) >= 1
    with keeping.runtime.reading() as session:
        states = [session.get_one(Upload, each.rpartition("/")[2]).state for each in (stuck, rest)]
    assert states == [UploadState.OPEN, UploadState.ABORTED]
    assert lapse.run(keeping.runtime, lambda: False) == 1
    keeping.now.ahead = timedelta(0)
    check_whole(keeping, alice, package, items[0].id, items[0].body)


def test_a_whole_body_does_not_end_because_the_database_was_away_when_its_time_came(
    *, keeping, alice, court, package, monkeypatch
):
    item = Item(b"evidence", [court.identity.recipient])
    location = alice.create(package, item.id, len(item.body)).headers["Location"]

    def away(*_):
        raise DatabaseDown("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "finish", away)
        alice.patch(location, 0, item.body, 503)
        expire(keeping)
        with pytest.raises(DatabaseDown):
            lapse.run(keeping.runtime, lambda: False)
    with keeping.runtime.reading() as session:
        assert session.get_one(Upload, location.rpartition("/")[2]).state is UploadState.OPEN
    lapse.run(keeping.runtime, lambda: False)
    keeping.now.ahead = timedelta(0)
    assert alice.request("HEAD", location, headers=TUS).headers["Rogatory-Parts"]
    check_whole(keeping, alice, package, item.id, item.body)
