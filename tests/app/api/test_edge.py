"""The outermost layer: limits, deadlines, repeated requests, and what is never said."""

import json
import logging
import secrets
import socket
import threading
import time

import pytest

from app.api import edge, front, protocol, traffic
from app.api.application import THREADS
from app.services import health, records
from tests.app.party import token


@pytest.fixture(scope="module")
def matter(alice, court):
    return alice.open_exchange(court)


def talk(service, text, wait=5):
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        line.settimeout(wait)
        line.sendall(text.encode())
        found = b""
        while chunk := line.recv(65536):
            found += chunk
            if b"\r\n\r\n" in found:
                break
        return found.decode()


# ---------------------------------------------------------------- Idempotency-Key


def opening(alice, court):
    return alice.act(
        "exchange.opened", secrets.token_hex(32), detail={"parties": sorted([alice.authority.id, court.id])}
    )


def test_a_request_repeated_with_its_key_has_one_effect(service, alice, court):
    said, headers = opening(alice, court), {"Idempotency-Key": token()}
    first = alice.post("/v1/exchanges", said, 201, headers=headers).json()
    again = alice.post("/v1/exchanges", said, 200, headers=headers).json()
    assert first["record"]["entry"] == again["record"]["entry"]


def test_many_at_once_have_one_effect(service, alice, court):
    said, headers = opening(alice, court), {**alice.headers, "Idempotency-Key": token()}
    answers = []

    def send():
        body = {"envelope": said.envelope.decode()}
        answers.append(service.http.post("/v1/exchanges", json=body, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["record"]["entry"] for answer in answers}) == 1


def test_a_key_with_another_body_is_refused(alice, court):
    headers = {"Idempotency-Key": token()}
    alice.post("/v1/exchanges", opening(alice, court), 201, headers=headers)
    assert (
        alice.post("/v1/exchanges", opening(alice, court), 422, headers=headers).json()["code"]
        == "idempotency-mismatch"
    )


def test_keys_of_two_principals_are_two_keys(alice, bob, court, police):
    headers = {"Idempotency-Key": token()}
    alice.post("/v1/exchanges", opening(alice, court), 201, headers=headers)
    said = bob.act("exchange.opened", secrets.token_hex(32), detail={"parties": sorted([police.id, court.id])})
    bob.post("/v1/exchanges", said, 201, headers=headers)


def test_a_key_out_of_bounds_is_refused(alice, court):
    for key in ("x" * 256, "a\tb"):
        alice.post("/v1/exchanges", opening(alice, court), 400, headers={"Idempotency-Key": key})


def test_a_record_that_is_late_is_found_by_the_same_request(service, alice, court, monkeypatch):
    from app.errors import NotYetPublished

    said = opening(alice, court)

    def late(*_args, **_more):
        raise NotYetPublished("no signed checkpoint covers the entry yet", ledger_id=1)

    with monkeypatch.context() as patched:
        patched.setattr(records.ledger, "wait_for_record", late)
        answer = alice.post("/v1/exchanges", said, 503)
    assert answer.json()["code"] == "not-yet-published"
    assert int(answer.headers["Retry-After"]) >= 1
    alice.post("/v1/exchanges", said, 200)


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"envelope":1}', b'{"envelope":"{}","more":1}', b'{"envelope":"\\ud800\\ud800"}',
                                  b"[" * 100_000, b'\xff\xfe{"envelope":"{}"}'])  # fmt: skip
def test_a_body_of_no_schema_is_refused(service, alice, body):
    headers = {**alice.headers, "Content-Type": "application/json"}
    answer = service.http.post("/v1/exchanges", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b"ud800" not in answer.content


def test_a_body_beyond_the_limit_is_cut_off(service, alice):
    def endless():
        for _ in range(traffic.MAX_JSON // 1_000_000 + 2):
            yield b" " * 1_000_000

    headers = {**alice.headers, "Content-Type": "application/json"}
    answer = service.http.post("/v1/exchanges", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_two_lengths_are_one_too_many(service):
    text = "POST /v1/exchanges HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert talk(service, text).split("\r\n")[0].split()[1] == "400"


def test_a_header_twice_is_refused(service):
    text = "GET /v1/exchanges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"
    assert talk(service, text).split("\r\n")[0].split()[1] == "400"


def test_too_many_headers_are_refused(service):
    many = "".join(f"X-{number}: y\r\n" for number in range(100))
    assert talk(service, f"GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n").split("\r\n")[0].split()[1] == "400"


def test_who_connects_and_says_nothing_is_shown_out(service, monkeypatch):
    monkeypatch.setattr(protocol, "DEADLINE", 0.05)
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        line.settimeout(5)
        line.sendall(b"GET /livez HTTP/1.1\r\nHos")
        assert line.recv(10) == b""


def test_a_body_that_drips_is_given_up(service, alice, monkeypatch):
    monkeypatch.setattr(traffic, "PATIENCE", 0.05)
    lines = "".join(f"{name}: {value}\r\n" for name, value in alice.headers.items())
    text = f"POST /v1/exchanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n{lines}\r\n{{"
    assert talk(service, text).split("\r\n")[0].split()[1] == "400"


def test_a_body_that_comes_too_slowly_is_given_up(service, alice, monkeypatch):
    monkeypatch.setattr(traffic, "GRACE", 0.05)
    monkeypatch.setattr(traffic, "SLOWEST", 1_000_000)
    lines = "".join(f"{name}: {value}\r\n" for name, value in alice.headers.items())
    head = (
        f"POST /v1/exchanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n{lines}\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        line.settimeout(5)
        line.sendall(head.encode())
        for _ in range(20):
            time.sleep(0.02)
            try:
                line.sendall(b" ")
            except OSError:
                break
        assert b" 400 " in line.recv(65536).split(b"\r\n")[0]


# ---------------------------------------------------------------- what is said, and what not


def test_every_answer_is_guarded(service):
    for path in ("/livez", "/v1/nowhere", "/v1/service", "/log/checkpoint"):
        headers = service.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "max-age" in headers["Strict-Transport-Security"]


def test_a_mistake_of_ours_says_nothing_of_itself(service, alice, matter, monkeypatch, caplog):
    def broken(*_args, **_more):
        raise RuntimeError("a secret in a message")

    monkeypatch.setattr("app.services.exchanges.see", broken)
    with caplog.at_level(logging.DEBUG):
        answer = alice.get(f"/v1/exchanges/{matter.id}", 500)
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text
    assert "secret" not in caplog.text


def test_what_is_logged_names_no_matter_and_no_token(service, alice, matter, caplog):
    with caplog.at_level(logging.DEBUG, logger="rogatory"):
        alice.get(f"/v1/exchanges/{matter.id}")
        alice.get(f"/v1/exchanges/{token()}", 404)
    lines = [edge.JsonLines().format(record) for record in caplog.records if record.name.startswith("rogatory")]
    assert {json.loads(line)["route"] for line in lines} == {"/v1/exchanges/{exchange}"}
    text = "\n".join(lines)
    for secret in (
        matter.id,
        matter.handle,
        alice.headers["Authorization"].removeprefix("Bearer "),
        alice.authority.id,
    ):
        assert secret not in text
    assert alice.id in text


def test_the_service_says_what_it_is(service):
    facts = service.http.get("/v1/service").json()
    assert facts["origin"] == service.origin
    assert facts["log_keys"] == [str(key) for key in service.log_keys]
    metadata = service.http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == facts["issuer"] == service.url
    assert service.http.get("/.well-known/jwks.json").json()["keys"]
    assert service.http.get("/livez").json() == {"status": "alive"}
    assert service.http.get("/readyz").json() == {"ready": True, "missing": []}


def test_readiness_names_what_is_missing(service, monkeypatch):
    from storage.interface import StoreUnavailable

    def down():
        raise StoreUnavailable("EIO")

    with monkeypatch.context() as patched:
        patched.setattr(service.runtime.store, "ping", down)
        service.app.state.readiness.forget()
        answer = service.http.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["store"])
    service.app.state.readiness.forget()


def test_whoever_asks_for_readiness_waits_for_nobody_who_waits_for_the_store(service, monkeypatch):
    asked, go = threading.Event(), threading.Event()

    def hanging():
        asked.set()
        go.wait()

    readiness, found = service.app.state.readiness, []
    assert service.http.get("/readyz").status_code == 200
    first = threading.Thread(target=lambda: found.append(service.http.get("/readyz").status_code))
    with monkeypatch.context() as patched:
        patched.setattr(service.runtime.store, "ping", hanging)
        readiness.forget()
        first.start()
        asked.wait()
        try:
            assert service.http.get("/readyz").status_code == 200
            patched.setattr(health, "FRESH", 0.0)
            assert service.http.get("/readyz").json() == {"ready": False, "missing": ["store"]}
        finally:
            go.set()
            first.join()
    assert found == [200]


def test_the_process_is_alive_while_all_its_threads_wait(service, monkeypatch):
    busy, go = threading.Semaphore(0), threading.Event()

    def waiting(_at):
        busy.release()
        go.wait()
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(front, "to_time", waiting)
        waits = [threading.Thread(target=service.http.get, args=("/v1/service",)) for _ in range(THREADS)]
        for each in waits:
            each.start()
        try:
            for _ in waits:
                busy.acquire()
            assert service.http.get("/livez").status_code == 200
        finally:
            go.set()
            for each in waits:
                each.join()


def test_readiness_is_looked_at_once_for_many_who_ask(service, monkeypatch):
    asked = []
    with monkeypatch.context() as patched:
        patched.setattr(service.runtime.store, "ping", lambda: asked.append(1))
        service.app.state.readiness.forget()
        assert {service.http.get("/readyz").status_code for _ in range(10)} == {200}
    assert len(asked) == 1
