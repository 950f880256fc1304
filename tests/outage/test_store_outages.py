"""A store that is down, slow or lying, behind a running service: the right status, nothing lost, nothing believed.

One outage lasts a whole minute, in a deep run up to half an hour. It goes on while the other tests of this file are made,
and costs no work of its own.
"""

import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from rogatory import Terms

from app.jobs import fixity
from app.services.fsck import check
from storage import keys
from storage.s3 import S3Store
from storage.s3_client import Limits
from tests import backends
from tests.app.party import MIB, TUS, Item
from tests.backends import SERVERS
from tests.client.conftest import Service
from tests.effort import MINUTES
from tests.storage import liar

MINUTE = min(max(60.0, MINUTES * 6), 1800.0)
"""In `make deep` a tenth of the time."""

QUICK = Limits(connect=1, read=1, attempts=1)
PART = 16 * MIB


# ---------------------------------------------------------------- a minute


class Minute:
    """A real service with a send and a receive under way when its store goes away for a minute."""

    def __init__(self, directory, backend, line):
        self.line, self.service = line, Service(directory, backend)
        self.police, self.court = self.service.enrol("police.nl"), self.service.enrol("court.fr")
        self.service.trust_each_other(self.police, self.court)
        self.exchange = self.police.open_exchange(["court.fr"])[0]
        self.early, self.late = directory / "early.dd", directory / "late.dd"
        self.early.write_bytes(secrets.token_bytes(2 * MIB))
        self.late.write_bytes(secrets.token_bytes(40 * MIB))
        self.pool, self.going = ThreadPoolExecutor(4), True
        self.statuses, self.opened = [], 0
        self.package = self.send(self.early).package

    def send(self, path, **how):
        terms = Terms(retain_until=datetime.now(UTC) + timedelta(days=30))
        return self.police.send(self.exchange, [path], to=["court.fr"], terms=terms, **how)

    def begin(self, target):
        under_way = SimpleNamespace(at=0)
        self.sending = self.pool.submit(
            self.send, self.late, limit_rate=20e6, progress=lambda told: setattr(under_way, "at", told.done)
        )
        while under_way.at < MIB:
            assert not self.sending.done(), self.sending.result()
            time.sleep(0.01)
        self.line.inject(liar.anything, before=lambda: None)
        self.down_at = time.monotonic()
        self.receiving = self.pool.submit(self.court.receive, self.package, target)
        self.watching = self.pool.submit(self.watch)

    def watch(self):
        """Ask for what needs the store, and for what does not, until the minute is over; then heal."""
        body = Item(b"x", [self.court.identities[0].recipient]).header
        path = f"/v1/packages/{self.package}/headers/{hashlib.sha256(body).hexdigest()}"
        line = self.court.connection
        while time.monotonic() < self.down_at + MINUTE:
            headers = {"Content-Type": "application/octet-stream", "Authorization": f"Bearer {line._bearer()}"}
            answer = line._http.put(path, content=body, headers=headers)
            self.statuses.append((answer.status_code, "Retry-After" in answer.headers))
            self.police.open_exchange(["court.fr"])
            self.opened += 1
            time.sleep(1)
        self.line.heal()
        return time.monotonic() - self.down_at

    def stop(self):
        self.line.heal()
        self.pool.shutdown()
        for each in (self.police, self.court):
            each.close()
        self.service.stop()


@pytest.fixture(scope="module", autouse=True)
def minute(tmp_path_factory, request, seaweed):
    """The outage, begun before all tests of this file and looked at by the last."""
    directory = tmp_path_factory.mktemp("minute")
    with (
        liar.lying(seaweed.endpoint) as line,
        backends.backend(SERVERS, request, endpoint=line.endpoint) as backend,
    ):
        found = Minute(directory, backend, line)
        try:
            found.begin(directory / "in")
            yield found
        finally:
            found.stop()


# ---------------------------------------------------------------- down and slow


@pytest.fixture
def hasty(service, monkeypatch):
    """The service waits a second for its store, and asks once."""
    store = service.runtime.store
    monkeypatch.setitem(service.runtime.__dict__, "store", S3Store(store.address, limits=QUICK, session=store.session))


@pytest.fixture
def item(court):
    return Item(secrets.token_bytes(PART + 1000), [court.identity.recipient])


@pytest.fixture
def package(alice, court, matter):
    return alice.declare(matter, court)


def refused(answer, code="store-down"):
    assert (answer.status_code, answer.json()["code"]) == (507 if code == "store-full" else 503, code)
    assert int(answer.headers["Retry-After"]) > 0


def sound(service):
    found = []
    check(service.runtime, found.append, objects=True)
    assert found == []


def arrived(service, matter):
    """Items whose bodies are on record as arrived."""
    return {each.subject["item"] for each in service.entries(matter.handle) if each.event == "upload.completed"}


def stalled(line):
    def wait():
        line.gone.wait(3)

    return wait


OUTAGES = {
    "refused": {"before": lambda: None},
    "503": {"before": liar.busy},
    "507": {"before": liar.full},
    "done, and no answer": {"after": liar.lost},
    "reset in the middle of a body": {"breaks": True},
    "damaged on the way": {"asked": liar.with_a_bit_flipped},
}


@pytest.mark.usefixtures("hasty", "honest_again")
@pytest.mark.parametrize("what", [*OUTAGES, "stalled"])
def test_an_upload_that_meets_an_outage_is_refused_and_goes_on_from_what_was_acknowledged(
    *, service, alice, package, item, line, what
):
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    alice.patch(location, 0, item.body[:1000])
    lie = OUTAGES.get(what) or {"before": stalled(line)}
    line.inject(lambda method, path: method == "PUT" and ("partNumber" in path or "/uploads/" in path), **lie)
    refused(alice.patch(location, 1000, item.body[1000:], expect=None), "store-full" if what == "507" else "store-down")
    assert alice.offset(location) == 1000
    line.heal()
    alice.patch(location, 1000, item.body[1000:])
    assert b"".join(service.runtime.store.read(keys.body(package, item.id))) == item.body
    alice.put_header(package, item.header)


@pytest.mark.usefixtures("hasty", "honest_again")
@pytest.mark.parametrize("lie", [liar.busy, liar.error_in_success, liar.empty_success, liar.completed])
def test_a_body_that_was_not_completed_is_never_on_record(*, service, alice, matter, package, item, line, lie):
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    line.inject(liar.completion, before=lie)
    refused(alice.patch(location, 0, item.body, expect=None))
    assert alice.request("HEAD", location, None, headers=TUS).status_code in {200, 503}
    assert item.id not in arrived(service, matter)
    line.heal()
    assert alice.offset(location) == len(item.body)
    assert item.id in arrived(service, matter)
    assert b"".join(service.runtime.store.read(keys.body(package, item.id))) == item.body


@pytest.mark.usefixtures("hasty", "honest_again")
def test_a_part_with_another_etag_is_found_at_the_completion_and_nothing_is_on_record(alice, package, item, line):
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    line.inject(liar.part_put, after=liar.telling(etag='"00000000000000000000000000000000"'))
    refused(alice.patch(location, 0, item.body, expect=None))
    assert "Rogatory-Parts" not in alice.request("HEAD", location, None, headers=TUS).headers


# ---------------------------------------------------------------- what is read


@pytest.fixture(scope="module")
def handed(alice, bob, court, matter):
    """A package that bob may read, and the address of one of its bodies."""
    sent = alice.send(matter, court, size=300_000)
    bob.release(sent)
    handle = bob.open_download(sent).json()["download"]
    return sent, f"/v1/downloads/{handle}/items/{sent.items[1].id}"


@pytest.mark.usefixtures("hasty", "honest_again")
@pytest.mark.parametrize("lie", [liar.flipped, liar.cut, liar.shortened, liar.lost])
def test_a_body_that_the_store_spoils_never_arrives_whole(service, bob, handed, line, lie):
    sent, path = handed
    line.inject(liar.object_get, after=lie)
    try:
        answer = service.http.get(path, headers=bob.headers)
    except httpx.RemoteProtocolError:  # the line was cut before the end
        pass
    else:
        refused(answer)
    line.heal()
    assert bob.get(path).content == sent.items[1].body


@pytest.mark.usefixtures("hasty", "honest_again")
@pytest.mark.parametrize("begin", ["down", "absent"])
def test_a_download_from_a_store_that_is_down_is_a_503(bob, handed, line, begin):
    _, path = handed
    line.inject(liar.object_head, before=liar.absent if begin == "absent" else liar.busy)
    refused(bob.get(path, None))


# ---------------------------------------------------------------- retention


@pytest.mark.usefixtures("honest_again")
@pytest.mark.parametrize("lie", ["not set", "shortened"])
def test_a_package_whose_retention_the_store_does_not_keep_is_not_sealed(alice, court, matter, line, lie):
    package = alice.declare(matter, court)
    items = [Item(secrets.token_bytes(1000), [court.identity.recipient]) for _ in range(2)]
    for each in items:
        alice.upload(package, each)
        alice.put_header(package, each.header)
    if lie == "not set":
        line.inject(liar.retention, before=liar.empty_success)
    else:
        soon = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        line.inject(liar.object_head, after=liar.telling(x_amz_object_lock_retain_until_date=soon))
    manifest = alice.manifest(matter, package, items, [court])
    refused(alice.post(f"/v1/packages/{package}/seal", manifest, None))
    assert alice.get(f"/v1/packages/{package}").json()["state"] == "declared"
    line.heal()
    alice.post(f"/v1/packages/{package}/seal", manifest)


def hand_over(alice, court, matter, items):
    """The way of a package from its declaration to its seal, each step asked for until it is done; its id."""
    package = alice.declare(matter, court)
    for item in items:
        location = insist(alice.create, package, item.id, len(item.body)).headers["Location"]
        while (at := int(insist(alice.request, "HEAD", location, headers=TUS).headers["Upload-Offset"])) < len(
            item.body
        ):
            insist(alice.patch, location, at, item.body[at : at + 1500], also={409})
        insist(alice.put_header, package, item.header)
    manifest = alice.manifest(matter, package, items, [court])
    insist(alice.post, f"/v1/packages/{package}/seal", manifest)
    return package


@pytest.mark.deep
@pytest.mark.usefixtures("honest_again")
def test_under_any_faults_what_is_acknowledged_is_there(*, service, alice, court, matter, line, effort):
    """Hand-overs go on while the store fails at random; every one ends well when it is asked again."""
    takes = [liar.part_put, liar.completion, liar.object_put, liar.object_head, liar.retention, liar.piece_put]
    lies = [*OUTAGES.values(), {"after": liar.lost}, {"before": liar.error_in_success}]
    for _ in effort.turns(usual=3, full=400):
        items = [Item(effort.random.randbytes(size), [court.identity.recipient]) for size in (3000, 100)]
        for _fault in range(3):
            line.inject(effort.random.choice(takes), times=effort.random.randint(1, 2), **effort.random.choice(lies))
        package = hand_over(alice, court, matter, items)
        line.heal()
        for item in items:
            assert b"".join(service.runtime.store.read(keys.body(package, item.id))) == item.body
    sound(service)


def insist(ask, *args, also=frozenset(), **more):
    """Ask again while the service says to."""
    for _ in range(40):
        answer = ask(*args, expect=None, **more)
        if answer.status_code < 300 or answer.status_code in also:
            return answer
        assert answer.status_code in {503, 507}, answer.text
        time.sleep(0.02)
    raise AssertionError(answer.text)


def test_after_all_of_it_everything_kept_is_sound(service):
    fixity.run(service.runtime, lambda: False)
    sound(service)


# ---------------------------------------------------------------- the minute is over


@pytest.mark.deep(weight=3)
def test_a_minute_without_the_store_costs_nothing_but_that_minute(minute, effort):
    assert minute.watching.result(MINUTE + 60) >= MINUTE
    effort.tell(f"the store was away for {MINUTE:.0f} s")
    assert len(minute.statuses) >= 5
    assert set(minute.statuses) == {(503, True)}
    assert minute.opened == len(minute.statuses), "what needs no store went on"
    sent, received = minute.sending.result(120), minute.receiving.result(120)
    target = minute.early.parent
    assert received.complete
    assert (target / "in" / "evidence" / "early.dd").read_bytes() == minute.early.read_bytes()
    minute.court.receive(sent.package, target / "later")
    assert (target / "later" / "evidence" / "late.dd").read_bytes() == minute.late.read_bytes()
    assert minute.service.process.poll() is None, "the same process served before and after"
    minute.service.operator("fsck", "--objects")
