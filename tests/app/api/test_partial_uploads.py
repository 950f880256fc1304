"""tus concatenation: windows of one upload side by side, pieces of unknown place, and what becomes of them."""

import json
import os
import subprocess
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from app.db.models import PartialPart, PartialUpload
from app.jobs import forget, lapse, orphans
from app.services import fsck, intake, partial_creation
from tests.app.api.test_uploads import Line, check_whole, eventually, restart
from tests.app.party import BYTES, MIB, TUS, token

NODE = Path(__file__).resolve().parents[2] / "node"
PART = 16 * MIB
SHORT = 70_001
HALF = 5 * MIB
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def matter(alice, court):
    return alice.open_exchange(court)


@pytest.fixture(scope="module")
def package(alice, matter, court):
    return alice.declare(matter, court)


@pytest.fixture(scope="module")
def body():
    """Three parts, the last a short one."""
    return os.urandom(2 * PART + SHORT)


class Sent:
    """An item that is sent in partial uploads."""

    def __init__(self, principal, package, body):
        self.principal, self.package, self.body, self.item = principal, package, body, token()
        self.path = f"/v1/packages/{package}/items/{self.item}/uploads"

    def begin(self, length, start=None, *, expect=201, data=b"", **more):
        headers = {**TUS, "Upload-Concat": "partial", "Upload-Length": str(length)}
        if start is not None:
            headers |= {"Rogatory-Start": str(start), "Rogatory-Item-Length": str(len(self.body))}
        headers |= (BYTES if data else {}) | more
        return self.principal.request("POST", self.path, expect, headers=headers, content=data)

    def window(self, number, *, filled=True):
        start = number * PART
        data = self.body[start : start + PART]
        answer = self.begin(len(data), start, data=data if filled else b"")
        assert answer.headers["Upload-Offset"] == str(len(data) if filled else 0)
        return answer.headers["Location"]

    def piece(self, data):
        location = self.begin(len(data)).headers["Location"]
        self.principal.patch(location, 0, data)
        return location

    def join(self, *locations, expect=201, **more):
        headers = {**TUS, "Upload-Concat": f"final;{' '.join(locations)}", **more}
        return self.principal.request("POST", self.path, expect, headers=headers)

    def seen(self, location, expect=200):
        return self.principal.request("HEAD", location, expect, headers=TUS).headers


@pytest.fixture
def sent(alice, package, body):
    return Sent(alice, package, body)


def kept(service, sent):
    """Uploads of the item that the store still has."""
    return [each for each in service.runtime.store.uploads() if sent.item in each.key]


def events(service, matter, item):
    return [
        (each.event, each.noted.get("received"))
        for each in service.entries(matter.handle)
        if (each.subject or {}).get("item") == item
    ]


# ---------------------------------------------------------------- windows


def test_windows_that_come_in_any_order_make_the_body(service, alice, matter, sent, body):
    last = sent.window(2)
    second = sent.window(1, filled=False)
    alice.patch(second, 0, body[PART : PART + HALF])
    restart(service)
    first = sent.window(0)
    alice.patch(second, HALF, body[PART + HALF : 2 * PART])
    partial = sent.seen(second)
    assert (partial["Upload-Concat"], partial["Upload-Offset"]) == ("partial", str(PART))
    answer = sent.join(first, service.url + second, last)
    assert answer.headers["Upload-Offset"] == str(len(body))
    check_whole(service, alice, sent.package, sent.item, body)
    final = sent.seen(answer.headers["Location"])
    assert final["Upload-Concat"] == f"final;{first} {second} {last}"
    assert final["Upload-Length"] == final["Upload-Offset"] == str(len(body))
    assert events(service, matter, sent.item) == [("upload.completed", None)]
    again = sent.join(first, second, last)
    assert again.headers["Rogatory-Parts"] == answer.headers["Rogatory-Parts"]
    assert events(service, matter, sent.item) == [("upload.completed", None)]
    assert not kept(service, sent)


def test_windows_fill_side_by_side_and_one_name_stands_for_all_of_them(service, alice, sent, body):
    threads = [threading.Thread(target=sent.window, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    upload = sent.begin(PART, 0, expect=200).headers["Rogatory-Upload"]
    standing = sent.seen(upload)
    assert standing["Rogatory-Held"] == f"0-{len(body)}"
    assert "Upload-Offset" not in standing
    sent.join(upload)
    check_whole(service, alice, sent.package, sent.item, body)
    assert sent.seen(upload)["Upload-Concat"].startswith("final;")


def test_what_is_held_is_told_in_ranges(alice, sent, body):
    upload = sent.begin(PART, PART, data=body[PART : 2 * PART]).headers["Rogatory-Upload"]
    alice.patch(sent.window(2, filled=False), 0, body[2 * PART : 2 * PART + 10])
    alice.patch(sent.window(0, filled=False), 0, body[:10])
    assert sent.seen(upload)["Rogatory-Held"] == f"0-10,{PART}-{2 * PART + 10}"


def test_a_window_is_found_again_and_meets_no_other(alice, package, sent, body):
    first = sent.window(0, filled=False)
    alice.patch(first, 0, b"x" * 10)
    found = sent.begin(PART, 0, expect=200)
    assert (found.headers["Location"], found.headers["Upload-Offset"]) == (first, "10")
    for start, length in ((0, 2 * PART), (0, len(body))):
        assert sent.begin(length, start, expect=409).json()["code"] == "state-conflict"
    for start, length in ((1, PART - 1), (PART, 10), (PART, len(body)), (2 * PART, PART), (0, 0)):
        sent.begin(length, start, expect=400)
    sent.begin(SHORT + 1, 2 * PART, expect=409, **{"Rogatory-Item-Length": str(len(body) + 1)})
    sent.begin(PART, 0, expect=400, **{"Rogatory-Item-Length": "many"})
    assert sent.begin(10, expect=409).json()["code"] == "state-conflict"
    alice.create(package, sent.item, len(body), expect=409)


def test_bytes_come_to_windows_only_and_not_beyond_their_end(alice, sent, body):
    first = sent.begin(PART, 0)
    location, upload = first.headers["Location"], first.headers["Rogatory-Upload"]
    assert alice.patch(upload, 0, b"x", expect=403).json()["code"] == "not-entitled"
    alice.patch(location, 0, body[: PART + 1], expect=413)
    alice.patch(location, 5, b"x", expect=409)
    assert alice.offset(location) == 0


def test_what_does_not_make_the_whole_body_is_not_joined(*, service, alice, package, court, matter, sent, body):
    first, last = sent.window(0), sent.window(2)
    upload = sent.begin(PART, 0, expect=200).headers["Rogatory-Upload"]
    for named in ((first, last), (first,), (last, first), (first, first), (), (upload,)):
        sent.join(*named, expect=400)
    second = sent.window(1, filled=False)
    alice.patch(second, 0, body[PART : PART + 10])
    assert sent.join(first, second, last, expect=409).json()["code"] == "state-conflict"
    assert sent.join(upload, expect=409).json()["code"] == "state-conflict"
    alice.patch(second, 10, body[PART + 10 : 2 * PART])
    sent.join(second, first, last, expect=400)
    sent.join(first, second, f"/v1/uploads/{token()}", expect=404)
    sent.join(first, second, "/v1/uploads/../x", expect=400)
    sent.join(first, second, last, expect=400, **{"Upload-Length": str(len(body))})
    other = Sent(alice, alice.declare(matter, court), body)
    other.join(first, second, last, expect=404)
    sent.join(first, second, last)
    check_whole(service, alice, package, sent.item, body)
    other.join(first, second, last, expect=404)


def test_a_stale_request_adds_nothing_to_a_window_that_was_taken_over_and_joined(service, alice, sent, body):
    first = sent.window(0, filled=False)
    stale = Line(service, alice, first, 0, PART)
    stale.send(body[: 9 * MIB])
    ready = sent.window(1), sent.window(2)
    alice.patch(first, 0, body[:PART])
    assert sent.join(first, *ready).headers["Rogatory-Parts"]
    stale.send(b"\0" * (PART - 9 * MIB))
    assert "409" in stale.answer().split("\r\n")[0]
    stale.close()
    assert alice.patch(first, PART, b"", expect=409).json()["code"] == "state-conflict"
    check_whole(service, alice, sent.package, sent.item, body)


@pytest.mark.parametrize("heals", ["who asks", "the clock", "the same request"])
def test_a_crash_after_the_windows_were_joined_loses_nothing(*, service, alice, matter, sent, body, heals, monkeypatch):
    from app.services import uploads

    ready = [sent.window(number) for number in range(3)]
    upload = sent.begin(PART, 0, expect=200).headers["Rogatory-Upload"]

    def crash(*_):
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(uploads, "finish", crash)
        sent.join(*ready, expect=500)
        alice.request("DELETE", ready[0], 409, headers=TUS)
    if heals == "who asks":
        assert sent.seen(upload)["Upload-Offset"] == str(len(body))
    elif heals == "the same request":
        sent.join(*ready)
    else:
        later(service, alice, lambda: None)
    check_whole(service, alice, sent.package, sent.item, body)
    assert events(service, matter, sent.item) == [("upload.completed", None)]


# ---------------------------------------------------------------- pieces


def test_pieces_of_any_size_are_copied_onto_the_grid(service, alice, matter, sent, body):
    cuts = [0, 1, PART + 3, 2 * PART - 1, len(body)]
    pieces = [sent.piece(body[at:end]) for at, end in pairwise(cuts)]
    lost = sent.piece(b"of a creation whose answer was lost")
    restart(service)
    answer = sent.join(*pieces)
    check_whole(service, alice, sent.package, sent.item, body)
    assert not kept(service, sent)
    assert sent.join(*pieces).headers["Location"] == answer.headers["Location"]
    assert events(service, matter, sent.item) == [("upload.completed", None)]
    sent.seen(lost, 404)
    assert sent.seen(pieces[0])["Upload-Offset"] == "1"


def test_a_concatenation_that_was_cut_off_goes_on_where_it_stood(service, alice, sent, body, monkeypatch):
    pieces = [sent.piece(body[: PART + 7]), sent.piece(body[PART + 7 :])]
    put, times = intake.Intake.put, []

    def dying(self, chunks, at):
        times.append(len(times))
        if len(times) == 2:
            raise RuntimeError("the process dies here")
        put(self, chunks, at)

    with monkeypatch.context() as patched:
        patched.setattr(intake.Intake, "put", dying)
        sent.join(*pieces, expect=500)
    restart(service)
    sent.join(*reversed(pieces), expect=409)
    sent.begin(10, expect=409)
    read = []
    with monkeypatch.context() as patched:
        patched.setattr(intake.Intake, "put", lambda self, *what: (read.append(self.offset), put(self, *what)))
        sent.join(*pieces)
    assert read[0] == PART
    check_whole(service, alice, sent.package, sent.item, body)


def test_two_concatenations_at_once_make_one_body(service, alice, matter, sent, body):
    pieces = [sent.piece(body[: PART + 7]), sent.piece(body[PART + 7 :])]
    answers = []

    def join():
        headers = {**alice.headers, **TUS, "Upload-Concat": f"final;{' '.join(pieces)}"}
        answers.append(service.http.post(sent.path, headers=headers).status_code)

    threads = [threading.Thread(target=join) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 201 in answers
    assert set(answers) <= {201, 409, 410}
    check_whole(service, alice, sent.package, sent.item, body)
    assert events(service, matter, sent.item) == [("upload.completed", None)]


def test_too_much_in_pieces_is_refused_with_the_way_that_has_no_bound(alice, sent, monkeypatch):
    monkeypatch.setattr(partial_creation, "PIECES", 1000)
    answer = sent.begin(1001, expect=413).json()
    assert "Rogatory-Start" in answer["hint"]
    ready = [sent.piece(b"x" * 600), sent.piece(b"y" * 600)]
    sent.join(*ready, expect=413)
    sent.begin(900, expect=413)
    sent.join(ready[0], expect=201)
    sent.seen(ready[1], 404)


# ---------------------------------------------------------------- ends


def later(service, principal, check):
    service.now.ahead = timedelta(days=8)
    try:
        principal.forget()
        check()
        eventually(lambda: not lapse.run(service.runtime, lambda: False))
    finally:
        service.now.ahead = timedelta(0)
        principal.forget()


@pytest.mark.parametrize("way", ["windows", "pieces"])
def test_what_expires_ends_as_one_and_leaves_nothing(*, service, alice, matter, sent, body, way):
    if way == "windows":
        located = [sent.window(2), sent.window(0, filled=False)]
        alice.patch(located[1], 0, b"x" * 10)
    else:
        located = [sent.piece(body[:SHORT]), sent.piece(b"x" * 10)]
    named = {each.token for each in kept(service, sent)}
    told = {each.name for each in orphans.collect(service.runtime, older_than=timedelta(seconds=-60), dry_run=True)}
    assert named
    assert not told & named
    later(service, alice, lambda: sent.seen(located[0], 410))
    assert events(service, matter, sent.item) == [("upload.aborted", SHORT + 10)]
    assert not kept(service, sent)
    sent.join(*located, expect=410)
    sent.begin(len(body), 0)


@pytest.mark.parametrize("way", ["windows", "pieces"])
def test_a_partial_upload_is_taken_back_alone_and_the_last_takes_the_upload_along(
    *, service, alice, matter, sent, body, way
):
    if way == "windows":
        wrong = sent.begin(PART, 0, data=b"\0" * PART).headers["Location"]
        rest = [sent.window(1), sent.window(2)]
    else:
        wrong, rest = sent.piece(b"wrong"), [sent.piece(body[:1000])]
    alice.request("DELETE", wrong, 204, headers=TUS)
    sent.seen(wrong, 404)
    assert events(service, matter, sent.item) == []
    if way == "windows":
        sent.join(sent.window(0), *rest)
        alice.request("DELETE", rest[0], 409, headers=TUS)
        check_whole(service, alice, sent.package, sent.item, body)
        return
    alice.request("DELETE", rest[0], 204, headers=TUS)
    assert events(service, matter, sent.item) == [("upload.aborted", 1000)]
    assert not kept(service, sent)
    alice.create(sent.package, sent.item, 1000)


def rows(service, upload):
    """How many rows tell of partial uploads of it."""
    with service.runtime.reading() as session:
        ours = select(PartialUpload.id).where(PartialUpload.upload_id == upload)
        parts = select(PartialPart).where(PartialPart.partial_id.in_(ours))
        return len(session.scalars(ours).all()) + len(session.scalars(parts).all())


def test_rows_of_partial_uploads_go_when_no_answer_is_owed_for_them_any_more(service, alice, package):
    small = Sent(alice, package, os.urandom(1000))
    ended = [Sent(alice, package, small.body) for _ in range(2)]
    window = small.begin(1000, 0, data=small.body).headers
    whole = small.join(window["Location"]).headers["Location"]
    expired = [ended[0].begin(1000, 0, data=small.body).headers, ended[1].begin(10).headers]
    located = [window["Location"], *(each["Location"] for each in expired)]
    uploads = [each["Rogatory-Upload"].rpartition("/")[2] for each in (window, *expired)]
    settings = service.runtime.settings

    def check():
        service.now.ahead = settings.upload_expiry + settings.idempotency_expiry - MINUTE
        alice.forget()
        eventually(lambda: not lapse.run(service.runtime, lambda: False))
        forget.run(service.runtime, lambda: False)
        assert all(rows(service, each) for each in uploads)
        assert [
            sent.seen(each, None).get("Upload-Offset") for sent, each in zip([small, *ended], located, strict=True)
        ] == ["1000", None, None]
        young = Sent(alice, package, small.body).begin(10).headers["Rogatory-Upload"].rpartition("/")[2]
        service.now.ahead += 2 * MINUTE
        forget.run(service.runtime, lambda: False)
        assert [rows(service, each) for each in [*uploads, young]] == [0, 0, 0, 1]

    later(service, alice, check)
    small.seen(located[0], 404)
    assert small.seen(whole)["Upload-Concat"] == f"final;{whole}"
    assert small.join(whole).headers["Location"] == whole
    ended[0].join(f"/v1/uploads/{uploads[1]}", expect=410)
    findings = []
    fsck.check(service.runtime, findings.append, objects=False)
    assert findings == []


def test_options_and_strangers(service, alice, bob, sent):
    assert "concatenation" in service.http.options(sent.path).headers["Tus-Extension"].split(",")
    location = sent.window(2)
    for method in ("HEAD", "DELETE"):
        bob.request(method, location, 404, headers=TUS)
    stranger = Sent(bob, sent.package, sent.body)
    stranger.item = sent.item
    stranger.path = sent.path
    stranger.join(location, expect=403)
    sent.join(expect=400, **{"Upload-Concat": "whole"})


# ---------------------------------------------------------------- another client


def test_parallel_uploads_of_tus_js_client_end_in_the_same_bytes(service, alice, sent, tmp_path):
    address, path = f"http://127.0.0.1:{service.port}", tmp_path / "evidence"
    path.write_bytes(sent.body[: PART + SHORT])
    token_ = alice.headers["Authorization"].removeprefix("Bearer ")
    command = ["node", "parallel.mjs", path, address + sent.path, token_, "4"]
    done = subprocess.run(list(map(str, command)), cwd=NODE, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["asked"]["POST"] == 5
    check_whole(service, alice, sent.package, sent.item, sent.body[: PART + SHORT])
    assert "partial" not in sent.seen(said["url"].removeprefix(address))["Upload-Concat"]
