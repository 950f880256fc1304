"""What one party may take, who is asked for a token first, and who is no longer waited for."""

import json
import socket
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import flat_json, limits, protocol, traffic
from app.api.limits import Buckets, Held
from app.services import exports
from tests.app.party import BYTES, MIB, TUS, token
from tests.app.running import Running

REQUESTS, AT_ONCE, STRANGERS = 40, 3, 60


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A service with little room."""
    running = Running(
        tmp_path_factory.mktemp("narrow"), None,
        authority_requests=REQUESTS, authority_at_once=AT_ONCE, stranger_requests=STRANGERS,
    )  # fmt: skip
    yield running
    running.stop()


def soon(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---------------------------------------------------------------- buckets


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(1, 5)), max_size=60), st.integers(5, 50))
def test_never_more_is_taken_than_was_there_and_came_back(steps, per_minute):
    clock = Clock()
    buckets, taken, begun = Buckets(per_minute, clock), 0, clock.now
    for wait, cost in steps:
        clock.now += wait
        refused = buckets.take("a", cost)
        taken += 0 if refused else cost
        assert taken <= per_minute + (clock.now - begun) * per_minute / 60 + 1e-6
        if refused:
            clock.now += refused + 1e-6
            assert buckets.take("a", cost) == 0.0
            taken += cost
        assert buckets.take("b", 0) == 0.0


def test_a_debt_is_paid_by_time_alone():
    clock = Clock()
    buckets = Buckets(60, clock)
    assert buckets.charge("a", 90) == pytest.approx(30)
    clock.now += 20
    assert buckets.charge("a", 0) == pytest.approx(10)
    clock.now += 11
    assert buckets.charge("a", 0) == 0.0
    assert Buckets(0, clock).charge("a", 10**12) == 0.0


def test_strangers_without_number_take_no_memory_without_bound(monkeypatch):
    monkeypatch.setattr(limits, "MOST_KEYS", 100)
    buckets = Buckets(10)
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets) <= 101


def test_an_ipv6_network_is_one_stranger_and_an_ipv4_address_is_one():
    of = limits._network
    assert of("2001:db8::1") == of("2001:db8::ffff") != of("2001:db8:0:1::1")
    assert of("192.0.2.1") != of("192.0.2.2")


# ---------------------------------------------------------------- authorities and strangers


def test_an_authority_that_sends_too_much_is_told_when_and_others_are_not_concerned(narrow):
    greedy, modest = narrow.authority().enrol(), narrow.authority().enrol()
    for _ in range(REQUESTS):
        greedy.get("/v1/exchanges")
    answers = []

    def refused():
        answers.append(narrow.http.get("/v1/exchanges", headers=greedy.headers))
        return answers[-1].status_code == 429

    soon(refused)
    assert answers[-1].json()["code"] == "overloaded"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    colleague = greedy.authority.enrol()
    soon(lambda: narrow.http.get("/v1/packages", headers=colleague.headers).status_code == 429)
    modest.get("/v1/exchanges")


@contextmanager
def patch_under_way(service, sender, location, offset=0, length=17 * MIB):
    head = {**sender.headers, **TUS, **BYTES, "Host": "x", "Upload-Offset": offset, "Content-Length": length}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        line.sendall(f"PATCH {location} HTTP/1.1\r\n{lines}\r\n".encode())
        yield line


def begun_upload(sender, court, length=17 * MIB):
    matter = sender.open_exchange(court)
    return sender.create(sender.declare(matter, court), token(), length).headers["Location"]


def test_no_authority_has_more_under_way_than_its_share(narrow):
    court, sender, other = narrow.authority(), narrow.authority().enrol(), narrow.authority().enrol()
    lines = [patch_under_way(narrow, sender, begun_upload(sender, court)) for _ in range(AT_ONCE)]
    for line in lines:
        line.__enter__()
    soon(lambda: narrow.http.get("/v1/exchanges", headers=sender.headers).status_code == 429)
    other.get("/v1/exchanges")
    for line in lines:
        line.__exit__(None, None, None)
    soon(lambda: narrow.http.get("/v1/exchanges", headers=sender.headers).status_code == 200)


def test_strangers_are_held_back_by_address_and_whoever_shows_a_token_is_none(narrow):
    member = narrow.authority().enrol()
    member.headers  # noqa: B018 - logs in, from another address
    here, there = {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "203.0.113.10"}
    junk = {**here, "Authorization": "Bearer junk"}
    soon(lambda: narrow.http.get("/v1/service", headers=here).status_code == 429)
    refused = narrow.http.get("/v1/service", headers=here | {"X": "y"})
    assert refused.status_code in {200, 429}
    soon(lambda: narrow.http.get("/v1/service", headers=junk).status_code == 429)
    member.get("/v1/exchanges", headers=here)
    assert narrow.http.get("/v1/service", headers=there).status_code == 200
    assert narrow.http.get("/livez", headers=here).status_code == 200


def test_tokens_that_do_not_hold_are_a_strangers_requests(narrow):
    junk = {"X-Forwarded-For": "203.0.113.77", "Authorization": "Bearer junk"}
    statuses = [narrow.http.get("/v1/exchanges", headers=junk).status_code for _ in range(STRANGERS)]
    assert statuses == [401] * STRANGERS
    soon(lambda: narrow.http.get("/v1/exchanges", headers=junk).status_code == 429)


# ---------------------------------------------------------------- first the token, then the body


@pytest.mark.parametrize("header", ["", "Authorization: Bearer junk\r\n"])
def test_nobody_without_a_token_gets_a_byte_of_a_body_read(service, header):
    for path in ("/v1/exchanges", f"/v1/packages/{token()}/seal", f"/v1/downloads/{token()}/close"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}Content-Type: application/json\r\nContent-Length: 20000000\r\n\r\n"
            line.sendall(head.encode())
            assert line.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_strangers_body_is_small(service, police):
    path = f"/v1/authorities/{police.id}/registry"
    answer = service.http.post(path, json={"envelope": "x" * traffic.MAX_STRANGERS})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_bodies_that_are_held_are_bounded_together(service, alice, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(service.app.state.traffic.limits, "bodies", Held(1000))
        answer = service.http.post("/v1/exchanges", json={"envelope": "x" * 2000}, headers=alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
        for _ in range(5):  # what was held is given back
            assert (
                service.http.post("/v1/exchanges", json={"envelope": "x" * 500}, headers=alice.headers).status_code
                == 422
            )


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])), max_size=10), st.booleans(), st.sampled_from([None, 1]))  # fmt: skip
def test_an_object_of_texts_is_read_as_it_is_written(value, ascii_only, indent):
    assert flat_json.parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0aez 1-\n', max_size=40).map(str.encode))
def test_whatever_is_read_is_what_the_ordinary_reader_reads(data):
    try:
        found = flat_json.parse(data)
    except ValueError:
        return
    assert json.loads(data) == found


@pytest.mark.parametrize("body", [b"[" * 10**6, b'{"a":' * 10**6, b'{"envelope":' + b"[" * 10**6, b'{"a":"","a":""}', b"1", b'"x"',
                                  b'{"envelope":1}', b"{" + b",".join(b'"%d":""' % n for n in range(17)) + b"}"])  # fmt: skip
def test_what_is_no_object_of_texts_is_refused_where_it_begins(body):
    with pytest.raises((flat_json.NotFlat, json.JSONDecodeError)):
        flat_json.parse(body)


# ---------------------------------------------------------------- who is no longer waited for


def test_who_does_not_read_is_given_up(service, alice, bob, court, monkeypatch):
    monkeypatch.setattr(protocol, "READ_WITHIN", 0.2)
    monkeypatch.setattr(protocol, "SLOWEST_READER", 10**9)
    sent = alice.send(alice.open_exchange(court), court, count=2, size=24 * MIB)
    handle = bob.open_download(sent).json()["download"]
    path = f"/v1/downloads/{handle}/items/{sent.items[0].id}"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bob.headers['Authorization']}\r\n\r\n".encode()
        )
        under_way = service.app.state.traffic.under_way
        soon(lambda: any(each.went > MIB for each in under_way))
        soon(lambda: not under_way)
        came = 0
        try:
            while data := line.recv(MIB):
                came += len(data)
        except ConnectionResetError:
            pass
    assert came < len(sent.items[0].body)


def test_a_reader_in_no_hurry_gets_everything(service, alice, bob, court, monkeypatch):
    monkeypatch.setattr(protocol, "READ_WITHIN", 0.3)
    sent = alice.send(alice.open_exchange(court), court, count=2, size=8 * MIB)
    handle = bob.open_download(sent).json()["download"]
    came = bytearray()
    with service.http.stream("GET", f"/v1/downloads/{handle}/items/{sent.items[0].id}", headers=bob.headers) as answer:
        for piece in answer.iter_bytes(MIB):
            came += piece
            time.sleep(0.05)
    assert bytes(came) == sent.items[0].body


def test_trailers_change_nothing(service, alice):
    """They come when a request has been looked at already, and would stand among its headers."""
    text = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        line.sendall(text.encode() + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with line.makefile("rb") as file:
            found = file.read()
    assert found.count(b"HTTP/1.1 ") == 2
    assert b'{"status":"alive"}' in found


# ---------------------------------------------------------------- ended meanwhile


def test_an_upload_ends_with_its_principal_and_keeps_what_had_come(service, police, court, monkeypatch):
    monkeypatch.setattr(traffic, "ASK_AGAIN", 0.0)
    clerk, colleague = police.enrol(), police.enrol()
    location = begun_upload(clerk, court, 40 * MIB)
    with patch_under_way(service, clerk, location, length=40 * MIB) as line:
        line.sendall(bytes(16 * MIB))
        soon(lambda: colleague.offset(location) >= 16 * MIB)
        police.lodge(police.says("principal.revoked", {"principal": clerk.id}, reason="left"))
        line.sendall(bytes(1000))
        assert line.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert colleague.offset(location) in {16 * MIB, 16 * MIB + 1000}


def test_a_download_ends_with_its_principal(service, alice, court, monkeypatch):
    monkeypatch.setattr(traffic, "ASK_AGAIN", 0.0)
    clerk = court.enrol()
    sent = alice.send(alice.open_exchange(court), court, count=2, size=24 * MIB)
    handle, item = clerk.open_download(sent).json()["download"], sent.items[0]
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        path = f"/v1/downloads/{handle}/items/{item.id}"
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {clerk.headers['Authorization']}\r\n\r\n".encode()
        )
        came = len(line.recv(1000))
        court.lodge(court.says("principal.revoked", {"principal": clerk.id}, reason="left"))
        while data := line.recv(MIB):
            came += len(data)
    assert came < len(item.body)


def test_a_role_that_is_not_there_any_more_ends_a_running_request_too(service, police):
    from app.auth.jwt_syntax import TokenRefused
    from app.services import login

    clerk = police.enrol("sender")
    value = clerk.headers["Authorization"].removeprefix("Bearer ")
    found = login.identify(value, address="", at=service.now(), runtime=service.runtime)
    login.check_standing(found, service.runtime)
    more = login.Login(
        found.caller.__class__(**{**vars(found.caller), "roles": frozenset({"sender", "approver"})}), found.key
    )
    with pytest.raises(TokenRefused):
        login.check_standing(more, service.runtime)


# ---------------------------------------------------------------- pages


def test_a_page_of_a_record_is_bounded_in_bytes_and_the_pages_are_the_whole(service, alice, court, monkeypatch):
    matter = alice.open_exchange(court)
    for _ in range(6):
        alice.declare(matter, court)
    before = [each.data.decode() for each in service.entries(matter.handle)]
    monkeypatch.setattr(exports, "MAX_PAGE_BYTES", 4000)
    found, pages, cursor = [], 0, None
    while pages == 0 or cursor is not None:
        page = alice.get(f"/v1/exchanges/{matter.id}/log", params={"cursor": cursor} if cursor else {}).json()
        size = sum(len(each["entry"]) for each in page["entries"]) + sum(map(len, page["statements"]))
        assert size <= 4000 or len(page["entries"]) == 1
        found += [each["entry"] for each in page["entries"]]
        pages, cursor = pages + 1, page.get("next")
    assert found == before
    assert pages > 1
