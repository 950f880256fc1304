"""The line: retries change nothing twice, tokens are renewed, offsets and ranges are believed only as far as they hold."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from rogatory import connection
from rogatory.bodies import Body, Fetch, PartsListWrong, TamperedPart
from rogatory.connection import AnswerMalformed, Connection, LineDown
from rogatory.errors import ServiceRefusal, ServiceUnavailable
from rogatory.tus import Pace, PartsDiffer, Upload, UploadTakenOver

from app.auth.tokens import check_client_assertion
from custody.digest import composite
from custody.keys import SigningKey

ABOUT = {"origin": "x/log", "token_endpoint": "https://x.test/oauth/token", "issuer": "https://x.test"}
KEY = SigningKey.generate("es256")


class Fake:
    """Answers from a list; notes what was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.pauses, self.tokens = list(answers), [], [], 0

    def __call__(self, request):
        request.read()
        if request.url.path == "/v1/service":
            return httpx.Response(200, json=ABOUT)
        if request.url.path == "/oauth/token":
            self.tokens += 1
            self.form = request.content.decode()
            return httpx.Response(200, json={"access_token": f"t{self.tokens}", "expires_in": 600})
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def connection(self):
        return Connection(
            "https://x.test",
            principal="ab" * 16,
            login_key=lambda: KEY,
            transport=httpx.MockTransport(self),
            sleep=self.pauses.append,
        )


def ok(**fields):
    return httpx.Response(200, json=fields)


def problem(status, code="x", **headers):
    return httpx.Response(status, json={"code": code}, headers=headers)


def test_a_post_is_repeated_under_one_idempotency_key():
    fake = Fake(httpx.ReadTimeout("late"), problem(503), problem(429), ok(done=True))
    fake.connection().post_json("/v1/thing", {"a": 1})
    assert len({request.headers["Idempotency-Key"] for request in fake.asked}) == 1
    assert {request.content for request in fake.asked} == {b'{"a": 1}'}
    assert len(fake.pauses) == 3


def test_two_posts_have_two_idempotency_keys():
    fake = Fake(ok(), ok())
    line = fake.connection()
    line.post_json("/v1/thing", {})
    line.post_json("/v1/thing", {})
    assert len({request.headers["Idempotency-Key"] for request in fake.asked}) == 2


def test_the_service_says_how_long_to_wait():
    fake = Fake(problem(503, **{"Retry-After": "7"}), ok())
    fake.connection().get_json("/v1/thing")
    assert fake.pauses == [7]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 507])
def test_a_refusal_is_not_repeated(status):
    fake = Fake(problem(status))
    with pytest.raises(ServiceRefusal):
        fake.connection().get_json("/v1/thing")
    assert fake.pauses == []


def test_a_service_that_stays_away_is_given_up():
    for answer, error in ((httpx.ConnectError("no"), LineDown), (problem(503), ServiceUnavailable)):
        fake = Fake(*[answer] * 50)
        with pytest.raises(error):
            fake.connection().get_json("/v1/thing")
        assert 3 <= len(fake.asked) <= 10


def test_a_transfer_waits_an_hour_for_a_service_that_was_there_and_no_other():
    for answer, error in ((httpx.ConnectError("no"), LineDown), (problem(503), ServiceUnavailable)):
        reached, stranger = Fake(ok(), *[answer] * 2000), Fake(*[answer] * 50)
        line = reached.connection()
        line.get_json("/v1/thing")
        with line.patient(), pytest.raises(error):
            line.get_json("/v1/thing")
        assert 3600 <= sum(reached.pauses) < 3700
        with pytest.raises(error):
            line.get_json("/v1/thing")
        assert sum(reached.pauses) < 3800, "outside of a transfer nobody waits long"
        other = stranger.connection()
        with other.patient(), pytest.raises(error):
            other.get_json("/v1/thing", authenticated=False)
        assert len(stranger.asked) <= 10


@pytest.mark.parametrize("status", [500, 507])
def test_a_transfer_does_not_wait_for_what_will_not_pass_by_itself(status):
    fake = Fake(ok(), *[problem(status)] * 5)
    line = fake.connection()
    line.get_json("/v1/thing")
    with line.patient(), pytest.raises(ServiceRefusal):
        line.get_json("/v1/thing")
    assert fake.pauses == []


def test_a_refused_token_is_renewed_once_only():
    fake = Fake(problem(401), problem(401), ok())
    with pytest.raises(ServiceRefusal):
        fake.connection().get_json("/v1/thing")
    assert [request.headers["Authorization"] for request in fake.asked] == ["Bearer t1", "Bearer t2"]


def test_a_token_is_renewed_before_it_ends(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: clock[0])
    fake = Fake(ok(), ok(), ok())
    line = fake.connection()
    for at in (0.0, 500.0, 545.0):
        clock[0] = at
        line.get_json("/v1/thing")
    assert [request.headers["Authorization"] for request in fake.asked] == ["Bearer t1", "Bearer t1", "Bearer t2"]


def test_an_assertion_is_what_the_gate_takes():
    now = datetime.now(UTC)
    made = connection.make_assertion(KEY, client="ab" * 16, audience="https://x.test", at=now)
    claims = check_client_assertion(
        made,
        find_key=lambda _client, _kid: load_der_public_key(KEY.public.spki),
        audience="https://x.test",
        now=now + timedelta(seconds=20),
        spend=lambda _key, _until: True,
    )
    assert (claims.client, claims.kid) == ("ab" * 16, KEY.public.id)
    other = connection.make_assertion(KEY, client="ab" * 16, audience="https://x.test", at=now)
    jti = [json.loads(base64.urlsafe_b64decode(one.split(".")[1] + "==="))["jti"] for one in (made, other)]
    assert jti[0] != jti[1]


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b"\xff"])
def test_an_answer_that_is_no_object_is_malformed(content):
    fake = Fake(httpx.Response(200, content=content))
    with pytest.raises(AnswerMalformed):
        fake.connection().get_json("/v1/thing")


def test_pages_are_followed_to_the_end():
    fake = Fake(ok(rows=[1, 2], next="c"), ok(rows=[3]))
    assert list(fake.connection().pages("/v1/rows", "rows")) == [1, 2, 3]
    assert [request.url.params.get("cursor") for request in fake.asked] == [None, "c"]


# ---------------------------------------------------------------- uploads


class Tus:
    """An upload endpoint that keeps what it is told to."""

    def __init__(self, keep):
        self.body, self.keep = bytearray(), list(keep)

    def __call__(self, request):
        if request.method == "HEAD":
            return httpx.Response(200, headers={"Upload-Offset": str(len(self.body))})
        assert int(request.headers["Upload-Offset"]) == len(self.body)
        kept = self.keep.pop(0) if self.keep else None
        self.body += request.content[:kept]
        if kept is not None:
            raise httpx.ReadError("cut")
        return httpx.Response(204, headers={"Upload-Offset": str(len(self.body))})


def upload(service, size):
    fake = Fake(*[service] * 60)
    return Upload(fake.connection(), "/v1/uploads/u", size=size, pace=Pace(sleep=lambda _: None))


@pytest.mark.parametrize("keep", [[], [0], [3], [3, 0, 2], [1] * 6])
def test_whatever_the_line_loses_the_body_arrives_once(keep):
    service, data = Tus(keep), bytes(range(50))
    going = upload(service, 50)
    sent = []
    for start in (0, 20, 40):
        going.write(start, memoryview(data)[start : start + 20], sent.append)
    assert (bytes(service.body), going.offset) == (data, 50)


def test_what_is_durable_already_is_not_sent_again():
    service = Tus([])
    service.body += b"0123456789"
    going = upload(service, 20)
    going.ask()
    sent = []
    going.write(0, memoryview(b"0123456789ABCDEFGHIJ"), sent.append)
    assert (bytes(service.body), sum(sent)) == (b"0123456789ABCDEFGHIJ", 10)


@pytest.mark.parametrize("offset", ["", "-1", "1e3", "51", "٣"])
def test_an_impossible_offset_is_malformed(offset):
    headers = [(b"Upload-Offset", offset.encode())]
    going = upload(lambda _: httpx.Response(204, headers=headers), 50)
    with pytest.raises(AnswerMalformed):
        going.write(0, memoryview(bytes(50)), lambda _: None)


def test_an_upload_that_goes_back_is_noticed():
    going = upload(lambda _: httpx.Response(204, headers={"Upload-Offset": "5"}), 50)
    going.offset = 20
    with pytest.raises(AnswerMalformed, match="lost"):
        going.write(20, memoryview(bytes(20)), lambda _: None)


def test_a_service_that_says_yes_and_keeps_nothing_is_given_up():
    going = upload(lambda _: httpx.Response(204, headers={"Upload-Offset": "20"}), 50)
    going.offset = 20
    with pytest.raises(AnswerMalformed, match="stays 20"):
        going.write(20, memoryview(bytes(20)), lambda _: None)


def test_an_upload_taken_over_twice_is_given_up():
    def answer(request):
        if request.method == "HEAD":
            return httpx.Response(200, headers={"Upload-Offset": "0"})
        return problem(409, "upload-superseded")

    with pytest.raises(UploadTakenOver):
        upload(answer, 50).write(0, memoryview(bytes(50)), lambda _: None)


def test_other_parts_than_sent_are_noticed():
    going = upload(None, 5)
    going.composite = "00" * 32
    with pytest.raises(PartsDiffer):
        going.check("11" * 32)


def test_a_location_elsewhere_is_asked_at_our_service():
    fake = Fake(httpx.Response(201, headers={"Location": "https://evil.test/v1/uploads/u"}), Tus([]))
    going = Upload.create(fake.connection(), package="p", item="i", size=5, part_size=16)
    going.write(0, memoryview(b"01234"), lambda _: None)
    assert {request.url.host for request in fake.asked} == {"x.test"}


def test_the_pace_bounds_the_rate():
    clock, slept = [0.0], []
    pace = Pace(
        100.0, sleep=lambda time: (slept.append(time), clock.__setitem__(0, clock[0] + time)), clock=lambda: clock[0]
    )
    for _ in range(10):
        pace.spend(50)
    assert clock[0] == pytest.approx(5.0)


# ---------------------------------------------------------------- downloads

PART = 1000
BODY = bytes(range(256)) * 14 + b"end"


def body():
    parts = [hashlib.sha256(BODY[start : start + PART]).digest() for start in range(0, len(BODY), PART)]
    member = {"id": "ab" * 16, "size": len(BODY), "part_size": PART, "parts": composite(parts).hex()}
    return member, b"".join(parts)


class Store:
    """Serves the body with faults: each is applied to one answer, in order."""

    def __init__(self, *faults):
        self.faults = list(faults)

    def __call__(self, request):
        start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        fault = (
            self.faults.pop(0)
            if self.faults
            else lambda data, at: httpx.Response(206, stream=httpx.ByteStream(data[at:]))
        )
        return fault(BODY, start)


def whole_instead(data, _start):
    return httpx.Response(200, stream=httpx.ByteStream(data))


def short(data, start):
    return httpx.Response(206, stream=httpx.ByteStream(data[start : start + 1500]))


def flipped(place):
    def fault(data, start):
        changed = bytearray(data)
        changed[place] ^= 1
        return httpx.Response(206, stream=httpx.ByteStream(bytes(changed[start:])))

    return fault


def fetch(tmp_path, *faults):
    fake = Fake(*[Store(*faults)] * 60)
    path = tmp_path / "item.age"
    Fetch(fake.connection(), lambda _: "d").into(path, b"header", Body.of(*body()))
    return path.read_bytes(), fake


@pytest.mark.parametrize("faults", [(), (whole_instead,), (short,), (short, short, whole_instead), (flipped(2500),)])
def test_a_body_arrives_whole_whatever_the_answers(tmp_path, faults):
    data, _ = fetch(tmp_path, *faults)
    assert data == b"header" + BODY


def test_a_part_that_is_wrong_twice_is_named(tmp_path):
    with pytest.raises(TamperedPart) as found:
        fetch(tmp_path, flipped(2500), flipped(2500))
    assert found.value.part == 3


def test_what_lies_there_is_checked_again_and_kept(tmp_path):
    fetch(tmp_path)
    _, fake = fetch(tmp_path)
    assert fake.asked == []
    path = tmp_path / "item.age"
    data = bytearray(path.read_bytes())
    data[len(b"header") + 1500] ^= 1
    path.write_bytes(data)
    again, fake = fetch(tmp_path)
    assert again == b"header" + BODY
    assert [request.headers["Range"] for request in fake.asked] == ["bytes=1000-"]


def test_another_header_begins_anew(tmp_path):
    (tmp_path / "item.age").write_bytes(b"HEADER" + BODY)
    assert fetch(tmp_path)[0] == b"header" + BODY


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-32], lambda raw: raw + bytes(32), lambda raw: raw[:-1], lambda raw: bytes(len(raw))]
)
def test_a_list_of_parts_that_is_not_the_manifests_is_refused(change):
    member, raw = body()
    with pytest.raises(PartsListWrong):
        Body.of(member, change(raw))
