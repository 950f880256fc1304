"""Row 17: every POST repeated at once under one Idempotency-Key has one effect, and all are given the same answer.

The cases are held to the table of routes: a new POST without a case here fails. Three routes have no such key and are
harmless to repeat by what they are, which is tested as well.
"""

import json
import secrets
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest
from sqlalchemy import func, select

from app.api.routes_table import ROUTES
from app.db.models import Idempotency
from tests.app import party
from tests.app.party import ASSERTION, TUS, Principal, headers_of, token
from tests.edge.deeds import CONDITIONS, grant

AT_ONCE, IN_DEEP = 8, 48
"""No authority may have more than 48 requests under way."""

ELSEWHERE = {
    "POST /oauth/token": "an assertion is spent once",
    "POST /v1/packages/{package}/items/{item}/uploads": "an item has one open upload",
    "POST <log>/cosignatures": "of each witness the newest signature stands once, whoever brings it how often",
}


@dataclass
class Case:
    """A request that can be made, and what it leaves: `say` makes a new statement for it each time it is asked."""

    who: object
    path: str
    chain: str
    event: str
    say: object = None
    gives: object = None

    def body(self):
        return {} if self.say is None else {"json": {"envelope": self.say().envelope.decode()}}

    def headers(self, key):
        signed_alone = isinstance(self.who, party.Authority)
        return {"Idempotency-Key": key} | ({} if signed_alone else self.who.headers)


class World:
    """What the cases need, made for each of them anew where it can be used up."""

    def __init__(self, service, alice, bob):
        self.service, self.alice, self.bob = service, alice, bob
        self.police, self.court = alice.authority, bob.authority

    def matter(self):
        return self.alice.open_exchange(self.court)

    def sent(self, **changes):
        return self.alice.send(self.matter(), self.court, count=2, size=10, **changes)

    def about(self, who, sent, verb, event, **more):
        return Case(who, f"/v1/packages/{sent.package}/{verb}", sent.matter.handle, event, **more)

    def in_exchange(self, verb, event, subject=None, detail=None):
        matter, alice = self.matter(), self.alice
        say = lambda: alice.act(event, matter.handle, subject() if subject else None, detail)  # noqa: E731
        return Case(alice, f"/v1/exchanges/{matter.id}/{verb}", matter.handle, event, say)


def opening(w):
    handle, detail = secrets.token_hex(32), {"parties": sorted([w.police.id, w.court.id])}
    return Case(
        w.alice, "/v1/exchanges", handle, "exchange.opened",
        lambda: w.alice.act("exchange.opened", handle, detail=detail), lambda answer: answer.json()["exchange"],
    )  # fmt: skip


def adding_a_party(w):
    third = w.service.authority()
    return w.in_exchange("parties", "party.added", lambda: {"authority": third.id}, {"as": "party"})


def sealing(w):
    matter = w.matter()
    package = w.alice.declare(matter, w.court)
    items = [party.Item(b"x", [w.court.identity.recipient]) for _ in range(2)]
    for item in items:
        w.alice.upload(package, item)
        w.alice.put_header(package, item.header)
    return Case(
        w.alice, f"/v1/packages/{package}/seal", matter.handle, "package.sealed",
        lambda: w.alice.manifest(matter, package, items, [w.court]),
    )  # fmt: skip


def withdrawing(w):
    sent = w.sent()
    say = lambda: w.alice.say("withdrawal", sent.matter.handle, manifest=sent.manifest.id, reason="wrong-recipient")  # noqa: E731
    return w.about(w.alice, sent, "withdrawal", "package.withdrawn", say=say)


def granting(w):
    third = w.service.authority()
    sent = w.alice.send(w.alice.open_exchange(w.court, third), w.court, count=2, size=10)
    return w.about(w.alice, sent, "grants", "grant.added", say=lambda: grant(w.alice, sent, third))


def accepting(w):
    sent = w.sent(conditions=CONDITIONS)
    members = {"statement": sent.manifest.id, "conditions": CONDITIONS}
    say = lambda: w.bob.say("acceptance", sent.matter.handle, **members)  # noqa: E731
    return w.about(w.bob, sent, "conditions", "conditions.accepted", say=say)


def releasing(w):
    sent = w.sent()
    detail, subject = {"grant": sent.manifest.id}, {"package": sent.package}
    say = lambda: w.bob.act("key.released", sent.matter.handle, subject, detail)  # noqa: E731
    return w.about(w.bob, sent, "release", "key.released", say=say, gives=headers_of)


def downloading(w):
    sent = w.sent()
    say = lambda: w.bob.act("download.opened", sent.matter.handle, {"package": sent.package}, purpose="analysis")  # noqa: E731
    return w.about(w.bob, sent, "downloads", "download.opened", say=say, gives=lambda each: each.json()["download"])


def answering(w):
    sent = w.sent()
    facts = {"manifest": sent.manifest.id, "sealed": sent.sealed.hash.hex(), "outcome": "rejected", "items": []}
    facts |= {"reason": "no-jurisdiction"}
    say = lambda: w.bob.say("receipt", sent.matter.handle, **facts)  # noqa: E731
    return w.about(w.bob, sent, "receipt", "receipt.signed", say=say)


def closing_a_download(w):
    sent = w.sent()
    handle = w.bob.open_download(sent).json()["download"]
    return Case(w.bob, f"/v1/downloads/{handle}/close", sent.matter.handle, "download.closed")


def enrolling(w):
    path = f"/v1/authorities/{w.police.id}/registry"
    return Case(
        w.police, path, w.police.handle, "principal.enrolled", lambda: Principal(w.police, ["sender"]).enrolment()
    )


CASES = {
    "POST /v1/authorities/{authority}/registry": enrolling,
    "POST /v1/exchanges": opening,
    "POST /v1/exchanges/{exchange}/parties": adding_a_party,
    "POST /v1/exchanges/{exchange}/close": lambda w: w.in_exchange("close", "exchange.closed"),
    "POST /v1/exchanges/{exchange}/packages": lambda w: w.in_exchange(
        "packages", "package.declared", lambda: {"package": token()}, {"recipients": [w.court.id]}
    ),
    "POST /v1/exchanges/{exchange}/export": lambda w: w.in_exchange(
        "export", "log.exported", detail={"form": "bundle"}
    ),
    "POST /v1/packages/{package}/seal": sealing,
    "POST /v1/packages/{package}/withdrawal": withdrawing,
    "POST /v1/packages/{package}/grants": granting,
    "POST /v1/packages/{package}/conditions": accepting,
    "POST /v1/packages/{package}/release": releasing,
    "POST /v1/packages/{package}/downloads": downloading,
    "POST /v1/packages/{package}/receipt": answering,
    "POST /v1/downloads/{download}/close": closing_a_download,
}


@pytest.fixture(scope="module")
def world(service, alice, bob):
    return World(service, alice, bob)


def together(work, count=AT_ONCE):
    """What that many threads get who do it as nearly at once as can be."""
    begin = Barrier(count)

    def run(_):
        begin.wait()
        return work()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def entry_of(answer):
    if "Rogatory-Record" in answer.headers:
        return json.loads(b64decode(answer.headers["Rogatory-Record"]))["entry"]
    return answer.json()["record"]["entry"]


def test_every_post_has_a_case():
    posts = {name for name in ROUTES if name.startswith("POST ")}
    assert posts - ELSEWHERE.keys() == CASES.keys()


@pytest.mark.deep(weight=0.25)
@pytest.mark.parametrize("name", CASES)
def test_a_post_repeated_at_once_has_one_effect(service, world, name, effort):
    for turn in effort.turns(usual=1, full=50):
        check_one_effect(service, CASES[name](world), effort.random.randint(1, IN_DEEP) if turn else AT_ONCE)


def check_one_effect(service, case, count):
    before, key = service.events(case.chain).count(case.event) if case.event != "exchange.opened" else 0, token()
    body, headers = case.body(), case.headers(key)
    answers = together(lambda: service.http.post(case.path, headers=headers, **body), count)
    odd = [each.text for each in answers if not each.is_success]
    assert odd == []
    assert sorted(each.status_code for each in answers) == [200] * (count - 1) + [201], count
    assert len({entry_of(each) for each in answers}) == 1
    if case.gives is not None:
        assert all(case.gives(each) == case.gives(answers[0]) for each in answers)
    assert service.events(case.chain).count(case.event) == before + 1
    other = case.body() if case.say is not None else {"content": b"another body"}
    refused = service.http.post(case.path, headers=case.headers(key), **other)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-mismatch")
    assert service.events(case.chain).count(case.event) == before + 1


def test_an_assertion_lent_to_many_gives_one_token(service, alice):
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": alice.assertion(),
    }
    answers = together(lambda: service.http.post("/oauth/token", data=form).status_code)
    assert sorted(answers) == [200] + [401] * (AT_ONCE - 1)


def test_an_upload_begun_by_many_is_one(service, world, alice):
    package, item = alice.declare(world.matter(), world.court), token()
    path, headers = f"/v1/packages/{package}/items/{item}/uploads", {**alice.headers, **TUS, "Upload-Length": "40"}
    answers = together(lambda: service.http.post(path, headers=headers))
    assert sorted(each.status_code for each in answers) == [200] * (AT_ONCE - 1) + [201], answers[0].text
    assert len({each.headers["Location"] for each in answers}) == 1
    other = service.http.post(path, headers=headers | {"Upload-Length": "41"})
    assert (other.status_code, other.json()["code"]) == (409, "state-conflict")


# ---------------------------------------------------------------- what is not remembered


def remembered(service):
    with service.runtime.reading() as session:
        return session.scalar(select(func.count()).select_from(Idempotency))


def test_strangers_leave_no_keys_behind(service, police):
    """Only what an authority has signed, and was not lodged before, is worth a row; all else anybody could send."""
    path = f"/v1/authorities/{police.id}/registry"
    lodged = Principal(police, ["sender"]).enrolment()
    police.lodge(lodged)
    forger = party.Authority(service, police.id)
    before = remembered(service)
    for body, statuses in (
        (b"", {422}), (b"{", {400}), (b'{"envelope":"{}"}', {422}), (b'{"envelope":"{}","more":"x"}', {422}),
        (json.dumps({"envelope": Principal(forger, ["sender"]).enrolment().envelope.decode()}).encode(), {422}),
        (json.dumps({"envelope": lodged.envelope.decode()}).encode(), {200}),
    ):  # fmt: skip
        headers = {"Idempotency-Key": token(), "Content-Type": "application/json"}
        assert service.http.post(path, content=body, headers=headers).status_code in statuses, body
    assert remembered(service) == before


def test_a_body_of_no_schema_leaves_no_key_behind(service, alice):
    before = remembered(service)
    headers = {**alice.headers, "Idempotency-Key": token()}
    assert service.http.post("/v1/exchanges", json={"envelope": 1}, headers=headers).status_code == 422
    assert remembered(service) == before
