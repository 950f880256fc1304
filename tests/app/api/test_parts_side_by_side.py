"""Whole parts of one request are kept side by side; only what has no gap before it is ever on record."""

import secrets
from threading import Event, Lock

import httpx
import pytest

from app.services import uploads
from storage.interface import StoreUnavailable
from tests.app.party import BYTES, TUS
from tests.backends import EMBEDDED, only

pytestmark = only(EMBEDDED)

PART = 16 * 1024 * 1024
COUNT = 5


@pytest.fixture(scope="module")
def body():
    return secrets.token_bytes(COUNT * PART + 1000)


@pytest.fixture
def upload(alice, court, body):
    package = alice.declare(alice.open_exchange(court), court)
    item = secrets.token_hex(16)
    return package, item, alice.create(package, item, len(body)).headers["Location"]


def test_nothing_is_put_on_record_that_is_not_durable(alice, upload, body, store, monkeypatch):
    _, _, location = upload
    durable, advance, real, seen = set(), uploads.advance, store.put_part, []

    def put_part(token, part, chunks, **more):
        made = real(token, part, chunks, **more)
        durable.add(part)
        return made

    def advancing(place, offset, parts, runtime):
        seen.append(offset)
        assert {number for number, _ in parts} <= durable
        assert set(range(1, offset // PART + 1)) <= durable
        advance(place, offset, parts, runtime)

    monkeypatch.setattr(store, "put_part", put_part)
    monkeypatch.setattr(uploads, "advance", advancing)
    alice.patch(location, 0, body)
    assert seen == sorted(seen)
    assert seen[-1] == len(body)


class Store:
    """The service's store, in which parts wait or fail where a test says so."""

    def __init__(self, real):
        self.real, self.events, self.broken = real, {}, set()
        self.inside, self.most, self.guard = 0, 0, Lock()

    def __getattr__(self, name):
        return getattr(self.real, name)

    def put_part(self, upload, part, chunks, **more):
        with self.guard:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if part in self.events:
                assert self.events[part].wait(30)
            if part in self.broken:
                raise StoreUnavailable("this part fails")
            return self.real.put_part(upload, part, chunks, **more)
        finally:
            with self.guard:
                self.inside -= 1


@pytest.fixture
def store(service, monkeypatch):
    made = Store(service.runtime.store)
    object.__setattr__(service.runtime, "store", made)
    yield made
    object.__setattr__(service.runtime, "store", made.real)


def test_parts_that_overtake_others_are_put_together_in_order(alice, upload, body, store, monkeypatch):
    package, item, location = upload
    store.events[1] = Event()
    third, real = Event(), store.put_part

    def put_part(token, part, chunks, **more):
        made = real(token, part, chunks, **more)
        if part == 3:
            assert alice.offset(location) == 0  # two and three are durable, and nothing is on record before one is
            third.set()
            store.events[1].set()
        return made

    monkeypatch.setattr(store, "put_part", put_part)
    assert alice.patch(location, 0, body).headers["Upload-Offset"] == str(len(body))
    assert third.is_set()
    assert 2 <= store.most <= 4
    assert b"".join(store.read(f"bodies/{package}/{item}")) == body


@pytest.mark.parametrize("broken", [1, 3])
def test_what_lies_behind_a_part_that_failed_does_not_count(alice, upload, body, store, broken):
    _, _, location = upload
    store.broken = {broken}
    alice.patch(location, 0, body, expect=503)
    assert alice.offset(location) <= (broken - 1) * PART
    store.broken = set()
    offset = alice.offset(location)
    assert offset % PART == 0
    assert alice.patch(location, offset, body[offset:]).headers["Upload-Offset"] == str(len(body))


def test_a_newcomer_waits_for_every_part_of_the_stale_request(service, alice, upload, body, store):
    package, item, location = upload
    store.events = {2: Event()}
    sent = {**alice.headers, **TUS, **BYTES, "Upload-Offset": "0"}
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=1.5) as stale,
        pytest.raises(httpx.ReadTimeout),
    ):
        stale.patch(location, content=body[: 3 * PART], headers=sent)
    assert store.inside >= 1
    store.events[2].set()
    offset = alice.offset(location)
    assert alice.patch(location, offset, body[offset:]).headers["Upload-Offset"] == str(len(body))
    assert b"".join(service.runtime.store.read(f"bodies/{package}/{item}")) == body
