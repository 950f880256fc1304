"""Published things that no row names: what goes, what stays, and that a row may come for any of them meanwhile."""

import hashlib
import secrets
from datetime import timedelta

import pytest
from sqlalchemy import delete

from app.db.models import Item as ItemRow
from app.db.models import PutHeader, Upload, UploadState
from app.jobs import orphans
from storage import keys
from storage.interface import PartDigest
from tests.app.party import Item, token
from tests.app.running import Running
from tests.backends import EMBEDDED, SERVERS, only

DAYS = timedelta(days=2)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory, backend):
    running = Running(tmp_path_factory.mktemp("service"), backend)
    running.service.caretaker.stop()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def court(quiet):
    return quiet.authority()


@pytest.fixture(scope="module")
def alice(quiet):
    return quiet.authority().enrol()


@pytest.fixture
def package(alice, court):
    return alice.declare(alice.open_exchange(court), court)


@pytest.fixture
def item(court):
    return Item(secrets.token_bytes(100), [court.identity.recipient])


def collect(quiet, *, ahead=DAYS, **more):
    """What is collected, two days from now or later."""
    quiet.now.ahead = ahead
    try:
        return {(each.kind, each.name) for each in orphans.collect(quiet.runtime, **more)}
    finally:
        quiet.now.ahead = timedelta(0)


def everything(quiet):
    store = quiet.runtime.store
    return {*store.keys(""), *(each.token for each in store.uploads())}


def publish(quiet, package, item):
    store = quiet.runtime.store
    upload = store.begin(keys.body(package, item.id), part_size=1 << 24)
    digest = hashlib.sha256(item.body).digest()
    store.put_part(upload, 1, [item.body], size=len(item.body), sha256=digest)
    store.complete(upload, [PartDigest(len(item.body), digest)])
    return keys.body(package, item.id)


def test_of_a_service_at_work_nothing_is_collected(quiet, alice, court, package, item):
    alice.send(alice.open_exchange(court), court)
    alice.put_header(package, item.header)
    before = everything(quiet)
    assert collect(quiet) == set()
    assert everything(quiet) == before


def test_a_body_that_never_became_an_item_goes(quiet, package, item):
    key = publish(quiet, package, item)
    assert collect(quiet, dry_run=True) == {("body", key)}
    assert key in everything(quiet)
    assert collect(quiet) == {("body", key)}
    assert key not in everything(quiet)


def test_a_body_whose_package_nobody_knows_goes(quiet, item):
    key = publish(quiet, token(), item)
    assert collect(quiet) == {("body", key)}


def test_a_young_body_stays(quiet, package, item):
    key = publish(quiet, package, item)
    assert list(orphans.collect(quiet.runtime)) == []
    assert collect(quiet) == {("body", key)}


@pytest.fixture
def locked(quiet, package, item):
    """The key of a body that nobody names, under a lock that ends an hour after the two days."""
    key = publish(quiet, package, item)
    quiet.runtime.store.lock(key, until=quiet.now() + DAYS + timedelta(hours=1))
    return key


def test_a_locked_body_stays(quiet, locked):
    assert collect(quiet) == set()
    assert [each.name for each in orphans.collect(quiet.runtime, older_than=timedelta(0))] == []
    assert locked in everything(quiet)


@only(EMBEDDED)
def test_a_body_whose_lock_has_run_out_goes(quiet, locked):
    assert ("body", locked) in collect(quiet, ahead=DAYS + timedelta(hours=2))
    assert locked not in everything(quiet)


@only(SERVERS)
def test_a_body_stays_while_the_store_itself_holds_it_locked(quiet, locked):
    assert ("body", locked) not in collect(quiet, ahead=DAYS + timedelta(hours=2))
    assert locked in everything(quiet)


def test_a_body_that_is_published_and_not_yet_an_item_stays_and_becomes_one(quiet, alice, package, item):
    """The service died between the two: the upload is open, with all its bytes."""
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    alice.patch(location, 0, item.body)
    with quiet.runtime.unit_of_work() as uow:
        uow.session.execute(delete(ItemRow).where(ItemRow.id == item.id))
        uow.session.get_one(Upload, location.rpartition("/")[2]).state = UploadState.OPEN
        uow.commit()
    assert collect(quiet) == set()
    assert alice.offset(location) == len(item.body)
    with quiet.runtime.reading() as session:
        assert session.get(ItemRow, (package, item.id)) is not None


def test_a_header_that_was_never_put_on_record_goes(quiet, item):
    digest = hashlib.sha256(item.header).digest()
    quiet.runtime.store.put(keys.header(digest), item.header, sha256=digest)
    assert collect(quiet) == {("header", keys.header(digest))}
    assert keys.header(digest) not in everything(quiet)


def test_a_header_that_is_collected_while_it_is_put_again_is_there_afterwards(quiet, alice, package, item, monkeypatch):
    digest = hashlib.sha256(item.header).digest()
    put, store = quiet.runtime.store.put, quiet.runtime.store
    put(keys.header(digest), item.header, sha256=digest)
    collected = []

    def put_and_collect(*args, **more):
        monkeypatch.setattr(store, "put", put)
        made = put(*args, **more)
        collected.extend(orphans.collect(quiet.runtime, older_than=-DAYS))
        return made

    monkeypatch.setattr(store, "put", put_and_collect)
    alice.put_header(package, item.header)
    assert [each.name for each in collected] == [keys.header(digest)]
    assert b"".join(store.read(keys.header(digest))) == item.header
    with quiet.runtime.reading() as session:
        assert session.get(PutHeader, (package, digest.hex(), alice.authority.id)) is not None


def test_what_a_row_comes_to_name_after_the_first_look_stays(quiet, alice, package, item, monkeypatch):
    key = publish(quiet, package, item)
    alone = orphans._alone

    def row_first(runtime, name):
        alice.forget()  # her token is of two days ago
        alice.create(package, item.id, len(item.body))
        alice.forget()
        return alone(runtime, name)

    monkeypatch.setattr(orphans, "_alone", row_first)
    assert collect(quiet) == set()
    assert key in everything(quiet)


@only(EMBEDDED)
def test_debris_of_the_store_itself_goes(quiet):
    debris = quiet.settings.store / "temp" / "0123"
    debris.write_bytes(b"x")
    assert collect(quiet, dry_run=True) == {("debris", "temp")}
    assert debris.exists()
    assert collect(quiet) == {("debris", "temp")}
    assert not debris.exists()


def test_it_stops_when_the_service_does(quiet, item):
    key = publish(quiet, token(), item)
    assert collect(quiet, stopping=lambda: True) == set()
    assert collect(quiet) == {("body", key)}
