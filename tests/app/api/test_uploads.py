"""tus: offsets that are durable, bytes that are right, requests that take over from each other."""

import base64
import hashlib
import os
import socket
import threading
import time
from datetime import timedelta

import pytest

from app.jobs import lapse
from app.services.desk import Desk
from tests.app.party import BYTES, MIB, TUS, token

PART = 16 * MIB
CHUNK = 300_000


@pytest.fixture(scope="module")
def package(alice, court):
    return alice.declare(alice.open_exchange(court), court)


@pytest.fixture(scope="module")
def body():
    """Three parts, the last a short one."""
    return os.urandom(2 * PART + 1_000_003)


@pytest.fixture
def begin(alice, package):
    def begun(length, **query):
        item = token()
        return item, alice.create(package, item, length, **query).headers["Location"]

    return begun


def parts_of(body, size=PART):
    return [hashlib.sha256(body[at : at + size]).digest() for at in range(0, len(body), size)]


def stored(service, package, item):
    return b"".join(service.runtime.store.read(f"bodies/{package}/{item}"))


def check_whole(service, alice, package, item, body, *, size=PART):
    """The body lies in the store, and its parts are those a stranger computes."""
    assert stored(service, package, item) == body
    expected = b"".join(parts_of(body, size))
    assert alice.get(f"/v1/packages/{package}/items/{item}/parts").content == expected
    found = next(each for each in alice.get(f"/v1/packages/{package}").json()["items"] if each["id"] == item)
    assert found["parts"] == hashlib.sha256(expected).hexdigest()


def restart(service):
    """Another process would know nothing of the hashes in memory."""
    object.__setattr__(service.runtime, "desk", Desk())


# ---------------------------------------------------------------- the way in


def test_a_body_in_one_request_arrives_whole(service, alice, package, begin, body):
    item, location = begin(len(body))
    answer = alice.patch(location, 0, body)
    assert answer.headers["Upload-Offset"] == str(len(body))
    assert answer.headers["Rogatory-Parts"] == hashlib.sha256(b"".join(parts_of(body))).hexdigest()
    check_whole(service, alice, package, item, body)


@pytest.mark.parametrize("cuts", [[1, PART - 1, PART, PART + 1, 2 * PART], [PART // 2, PART + 7]])
def test_wherever_the_requests_are_cut_the_parts_are_the_same(*, service, alice, package, begin, body, cuts):
    item, location = begin(len(body))
    at = 0
    for end in [*cuts, len(body)]:
        answer = alice.patch(location, at, body[at:end])
        assert int(answer.headers["Upload-Offset"]) == alice.offset(location) == end
        restart(service)
        at = end
    check_whole(service, alice, package, item, body)


def test_a_larger_grid_arrives_in_pieces(service, alice, package, begin):
    body = os.urandom(PART * 2 + 12_345)
    item, location = begin(len(body), part_size=2 * PART)
    alice.patch(location, 0, body[: PART + 5])
    restart(service)
    alice.patch(location, PART + 5, body[PART + 5 :])
    check_whole(service, alice, package, item, body, size=2 * PART)


def test_a_body_of_unknown_length_of_request_arrives_too(service, alice, package, begin, body):
    item, location = begin(len(body))
    alice.patch(location, 0, (body[at : at + CHUNK] for at in range(0, len(body), CHUNK)))
    check_whole(service, alice, package, item, body)


def test_more_than_was_announced_is_refused_and_nothing_kept_that_is_not_of_it(alice, begin):
    _, location = begin(1000)
    alice.patch(location, 0, b"x" * 1001, expect=413)
    assert alice.offset(location) == 0
    alice.patch(location, 0, (b"x" * 400 for _ in range(3)), expect=413)


# ---------------------------------------------------------------- offsets


def test_another_offset_is_refused_with_the_right_one(alice, begin):
    _, location = begin(1000)
    alice.patch(location, 0, b"x" * 10)
    answer = alice.patch(location, 9, b"y" * 10, expect=409)
    assert answer.json()["code"] == "offset-mismatch"
    assert answer.headers["Upload-Offset"] == "10"
    assert alice.offset(location) == 10


def test_the_last_byte_again_is_no_error(alice, begin):
    _, location = begin(100)
    first = alice.patch(location, 0, b"x" * 100)
    again = alice.patch(location, 100, b"")
    assert again.headers["Rogatory-Parts"] == first.headers["Rogatory-Parts"]


def test_completion_is_one_entry(service, alice, court):
    matter = alice.open_exchange(court)
    package = alice.declare(matter, court)
    location = alice.create(package, token(), 100).headers["Location"]
    alice.patch(location, 0, b"x" * 50)
    assert "upload.completed" not in service.events(matter.handle)
    alice.patch(location, 50, b"x" * 50)
    alice.patch(location, 100, b"")
    assert service.events(matter.handle).count("upload.completed") == 1


def test_a_crash_between_the_last_byte_and_its_entry_heals_when_somebody_asks(
    service, alice, package, begin, monkeypatch
):
    from app.services import intake

    item, location = begin(100)

    def crash(*_):
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(intake.uploads, "finish", crash)
        alice.patch(location, 0, b"x" * 100, expect=500)
    assert alice.offset(location) == 100
    check_whole(service, alice, package, item, b"x" * 100)


# ---------------------------------------------------------------- checksums


def checksum(algorithm, data):
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_right_checksum_passes(*, service, alice, package, begin, body, algorithm):
    item, location = begin(len(body))
    for at, end in ((0, PART + 100), (PART + 100, len(body))):
        alice.patch(location, at, body[at:end], **checksum(algorithm, body[at:end]))
    check_whole(service, alice, package, item, body)


@pytest.mark.parametrize("held", [0, 100, PART + 100])
def test_a_wrong_checksum_keeps_nothing_of_its_request(*, service, alice, package, begin, body, held):
    item, location = begin(len(body))
    if held:
        alice.patch(location, 0, body[:held])
    answer = alice.patch(location, held, os.urandom(len(body) - held), expect=460, **checksum("sha256", b"other"))
    assert answer.json()["code"] == "checksum-mismatch"
    assert alice.offset(location) == held
    restart(service)
    alice.patch(location, held, body[held:], **checksum("sha256", body[held:]))
    check_whole(service, alice, package, item, body)


@pytest.mark.parametrize("value", ["md5 AAAA", "sha256", "sha256 AAAA", "sha256 !", ""])
def test_a_checksum_that_is_none_is_refused(alice, begin, value):
    _, location = begin(100)
    alice.patch(location, 0, b"x", expect=400, **{"Upload-Checksum": value})


# ---------------------------------------------------------------- broken lines, races


class Line:
    """A connection by hand, to be broken at will."""

    def __init__(self, service, principal, location, offset, announced):
        self.socket = socket.create_connection(("127.0.0.1", service.port))
        headers = {
            **principal.headers,
            **TUS,
            **BYTES,
            "Upload-Offset": offset,
            "Content-Length": announced,
            "Host": "x",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"PATCH {location} HTTP/1.1\r\n{lines}\r\n".encode())

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        return self.socket.recv(65536).decode()

    def close(self):
        self.socket.close()


def eventually(holds):
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_broken_line_had_brought_is_kept(service, alice, package, begin, body):
    item, location = begin(len(body))
    line = Line(service, alice, location, 0, len(body))
    line.send(body[: PART + 70_001])
    line.close()
    eventually(lambda: alice.offset(location) == PART + 70_001)
    restart(service)
    alice.patch(location, PART + 70_001, body[PART + 70_001 :])
    check_whole(service, alice, package, item, body)


def test_a_later_request_takes_over_from_a_stale_one(service, alice, package, begin, body):
    item, location = begin(len(body))
    stale = Line(service, alice, location, 0, len(body))
    stale.send(body[: PART + 5])
    eventually(lambda: alice.offset(location) == PART)
    alice.patch(location, PART, body[PART:])
    stale.send(b"\0" * (len(body) - PART - 5))
    assert "409" in stale.answer().split("\r\n")[0]
    stale.close()
    check_whole(service, alice, package, item, body)


def test_of_many_that_send_at_once_the_bytes_are_those_of_one(service, alice, package, begin):
    body = os.urandom(200_000)
    for _ in range(3):
        item, location = begin(len(body))
        answers = []

        def send(location=location, answers=answers):
            sent = {**alice.headers, **TUS, **BYTES, "Upload-Offset": "0"}
            answers.append(service.http.patch(location, headers=sent, content=body).status_code)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answers) <= {204, 409}
        if alice.offset(location) < len(body):
            alice.patch(location, alice.offset(location), body[alice.offset(location) :])
        check_whole(service, alice, package, item, body)


# ---------------------------------------------------------------- ends


def test_a_terminated_upload_is_gone_and_on_record_and_can_be_made_anew(service, alice, court):
    matter = alice.open_exchange(court)
    package, item = alice.declare(matter, court), token()
    location = alice.create(package, item, 1000).headers["Location"]
    alice.patch(location, 0, b"x" * 10)
    alice.request("DELETE", location, 204, headers=TUS)
    alice.request("HEAD", location, 410, headers=TUS)
    alice.patch(location, 10, b"x", expect=410)
    aborted = service.entries(matter.handle)[-1]
    assert (aborted.event, aborted.noted) == ("upload.aborted", {"reason": "terminated", "received": 10})
    assert list(service.runtime.store.uploads()) == [] or all(
        item not in each.key for each in service.runtime.store.uploads()
    )
    assert alice.create(package, item, 500).headers["Location"] != location


def test_a_complete_upload_cannot_be_taken_back(alice, begin):
    _, location = begin(100)
    alice.patch(location, 0, b"x" * 100)
    assert alice.request("DELETE", location, 409, headers=TUS).json()["code"] == "state-conflict"


def test_an_expired_upload_ends_by_itself(service, alice, court):
    matter = alice.open_exchange(court)
    location = alice.create(alice.declare(matter, court), token(), 1000).headers["Location"]
    service.now.ahead = timedelta(days=8)
    try:
        alice.forget()
        alice.request("HEAD", location, 410, headers=TUS)
        lapse.run(service.runtime, lambda: False)  # or the caretaker, if it was quicker and is not done yet
        eventually(lambda: "upload.aborted" in service.events(matter.handle))
    finally:
        service.now.ahead = timedelta(0)
        alice.forget()
    aborted = service.entries(matter.handle)[-1]
    assert (aborted.event, aborted.noted["reason"]) == ("upload.aborted", "expired")


def test_a_second_creation_finds_the_open_upload(alice, package):
    item = token()
    first = alice.create(package, item, 1000)
    again = alice.create(package, item, 1000, expect=200)
    assert again.headers["Location"] == first.headers["Location"]
    assert alice.create(package, item, 1001, expect=409).json()["code"] == "state-conflict"


def test_an_item_with_a_body_takes_no_other(alice, package, begin):
    item, location = begin(100)
    alice.patch(location, 0, b"x" * 100)
    alice.create(package, item, 100, expect=409)


# ---------------------------------------------------------------- bytes that come with the creation


@pytest.fixture
def create_with(alice, package):
    """Create an upload with its first bytes: item, answer."""

    def created(length, data, expect=201, *, item=None, **headers):
        item = item or token()
        sent = {**TUS, **BYTES, "Upload-Length": str(length), **headers}
        path = f"/v1/packages/{package}/items/{item}/uploads"
        return item, alice.request("POST", path, expect, headers=sent, content=data)

    return created


@pytest.mark.parametrize("brought", [0, 1, PART - 1, PART, PART + 1])
def test_an_upload_goes_on_from_the_bytes_that_came_with_its_creation(
    *, service, alice, package, create_with, body, brought
):
    item, answer = create_with(len(body), body[:brought])
    location = answer.headers["Location"]
    assert int(answer.headers["Upload-Offset"]) == alice.offset(location) == brought
    restart(service)
    alice.patch(location, brought, body[brought:])
    check_whole(service, alice, package, item, body)


def test_a_body_that_came_whole_with_its_creation_is_complete(service, alice, package, create_with, body):
    item, answer = create_with(len(body), body)
    assert answer.headers["Upload-Offset"] == str(len(body))
    assert answer.headers["Rogatory-Parts"] == hashlib.sha256(b"".join(parts_of(body))).hexdigest()
    check_whole(service, alice, package, item, body)


def test_bytes_come_again_with_a_creation_are_not_taken_twice(service, alice, package, create_with, body):
    item, first = create_with(len(body), body[:CHUNK])
    _, again = create_with(len(body), body[: 2 * CHUNK], 200, item=item)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Upload-Offset"] == str(CHUNK)
    alice.patch(again.headers["Location"], CHUNK, body[CHUNK:])
    check_whole(service, alice, package, item, body)


def test_a_creation_that_finds_an_untouched_upload_brings_its_bytes_into_it(alice, package, create_with):
    item = token()
    location = alice.create(package, item, 1000).headers["Location"]
    _, answer = create_with(1000, b"x" * 10, 200, item=item)
    assert answer.headers["Upload-Offset"] == "10"
    assert alice.offset(location) == 10


def test_a_creation_with_more_than_it_announces_is_refused_and_nothing_begun(alice, package, create_with):
    item, _ = create_with(100, b"x" * 101, 413)
    alice.create(package, item, 5000)


def test_a_creation_whose_bytes_have_another_digest_keeps_none_of_them(alice, package, create_with):
    wrong = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
    item, _ = create_with(100, b"x" * 100, 460, **{"Upload-Checksum": f"sha256 {wrong}"})
    assert alice.create(package, item, 100, expect=200).headers["Upload-Offset"] == "0"


def test_bytes_of_another_type_are_dropped_from_a_creation(create_with):
    _, answer = create_with(100, b"x" * 100, **{"Content-Type": "text/plain"})
    assert answer.headers["Upload-Offset"] == "0"


# ---------------------------------------------------------------- form


@pytest.mark.parametrize("size", [1, 3 * PART, PART // 2, PART + 1, 8 * 1024**3])
def test_a_grid_outside_its_bounds_is_refused(alice, package, size):
    alice.create(package, token(), 1000, expect=400, part_size=size)


@pytest.mark.parametrize("length", ["0", "31", "-1", "1e3", "07", "", "x"])
def test_a_length_that_no_body_has_is_refused(alice, package, length):
    path = f"/v1/packages/{package}/items/{token()}/uploads"
    alice.request("POST", path, 400, headers={**TUS, "Upload-Length": length})


def test_a_length_beyond_the_limit_is_too_large(alice, package):
    alice.create(package, token(), 10_001 * 4 * 1024**3, expect=413)


def test_another_version_of_tus_is_told_which_is_spoken(alice, begin):
    _, location = begin(100)
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = alice.request("HEAD", location, 412, headers=headers)
        assert answer.headers["Tus-Version"] == "1.0.0"


def test_options_say_what_is_spoken(service):
    answer = service.http.options(f"/v1/uploads/{token()}")
    assert answer.status_code == 204
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "concatenation", "checksum", "expiration", "termination",
    }  # fmt: skip
    assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) == {"sha256", "sha1"}


def test_bytes_are_sent_under_their_media_type(alice, begin):
    _, location = begin(100)
    headers = {**TUS, "Content-Type": "application/octet-stream", "Upload-Offset": "0"}
    alice.request("PATCH", location, 415, headers=headers, content=b"x")


def test_metadata_of_an_upload_are_nowhere(service, alice, package):
    secret = "Y2FuYXJ5LWZpbGUtbmFtZQ=="
    headers = {**TUS, "Upload-Length": "100", "Upload-Metadata": f"filename {secret}"}
    answer = alice.request("POST", f"/v1/packages/{package}/items/{token()}/uploads", 201, headers=headers)
    assert "Upload-Metadata" not in alice.request("HEAD", answer.headers["Location"], headers=TUS).headers
    for path in (service.directory / "state").rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


# ---------------------------------------------------------------- the store fails


def test_a_full_store_says_so_and_what_was_acknowledged_stays(*, service, alice, package, begin, body, monkeypatch):
    from storage.interface import StoreFull

    item, location = begin(len(body))
    alice.patch(location, 0, body[:PART])

    def full(*_args, **_more):
        raise StoreFull("ENOSPC")

    with monkeypatch.context() as patched:
        patched.setattr(service.runtime.store, "put_part", full)
        patched.setattr(service.runtime.store, "put_piece", full)
        answer = alice.patch(location, PART, body[PART:], expect=507)
    assert answer.json()["code"] == "store-full"
    assert "Retry-After" in answer.headers
    assert alice.offset(location) == PART
    alice.patch(location, PART, body[PART:])
    check_whole(service, alice, package, item, body)
