"""Reading bodies: ranges, digests, the header in front, and the count of what went out."""

import base64
import hashlib
import io
import socket
import time
from datetime import timedelta

import httpx
import pytest

from app.db.models import Download
from app.jobs import lapse
from custody.sealing import open_sealed
from storage.interface import StoreUnavailable
from tests.app.party import MIB


@pytest.fixture(scope="module")
def sent(alice, court):
    return alice.send(alice.open_exchange(court), court, size=200_000)


@pytest.fixture(scope="module")
def released(bob, sent):
    bob.release(sent)
    return sent


@pytest.fixture
def handle(bob, sent):
    return bob.open_download(sent).json()["download"]


@pytest.fixture
def item(sent):
    return sent.items[1]


def read(bob, handle, item, expect=200, headers=None, **query):
    return bob.get(f"/v1/downloads/{handle}/items/{item.id}", expect, headers=headers, params=query)


def test_the_body_comes_with_its_digests(bob, handle, item):
    answer = read(bob, handle, item)
    assert answer.content == item.body
    digest = base64.b64encode(hashlib.sha256(item.body).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["Content-Length"] == str(len(item.body))
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=199000-", 199_000, None), ("bytes=-7", -7, None),
     ("bytes=5-99999999", 5, None)],
)  # fmt: skip
def test_a_range_is_that_part_of_the_body(*, bob, handle, item, wanted, start, end):
    answer = read(bob, handle, item, 206, {"Range": wanted})
    assert answer.content == item.body[start:end]
    first = start if start >= 0 else len(item.body) + start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(item.body)}"


@pytest.mark.parametrize("wanted", ["bytes=9999999-", "bytes=5-4", "bytes=-0"])
def test_a_range_outside_is_refused_with_the_size(bob, handle, item, wanted):
    answer = read(bob, handle, item, 416, {"Range": wanted})
    assert answer.headers["Content-Range"] == f"bytes */{len(item.body)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "lines=1-2", "bytes=x-"])
def test_what_is_no_single_range_gives_the_whole(bob, handle, item, wanted):
    assert read(bob, handle, item, 200, {"Range": wanted}).content == item.body


def test_a_range_of_another_representation_gives_the_whole(bob, handle, item):
    tag = read(bob, handle, item).headers["ETag"]
    assert len(read(bob, handle, item, 206, {"Range": "bytes=0-9", "If-Range": tag}).content) == 10
    assert read(bob, handle, item, 200, {"Range": "bytes=0-9", "If-Range": '"other"'}).content == item.body


def test_header_and_body_are_an_age_file(bob, court, released, handle):
    item = released.items[1]
    whole = read(bob, handle, item, header=item.member["header"]["sha256"]).content
    assert whole == item.header + item.body
    assert len(open_sealed(io.BytesIO(whole), [court.identity]).read()) == 200_000


@pytest.mark.parametrize("start", [0, 5, 100, 250, 5000])
def test_ranges_run_across_header_and_body(bob, released, handle, start):
    item = released.items[1]
    whole = item.header + item.body
    answer = read(
        bob, handle, item, 206, {"Range": f"bytes={start}-{start + 299}"}, header=item.member["header"]["sha256"]
    )
    assert answer.content == whole[start : start + 300]


def test_a_header_that_was_not_released_is_not_there(alice, bob, court):
    sent = alice.send(alice.open_exchange(court), court)
    handle = bob.open_download(sent).json()["download"]
    item = sent.items[0]
    read(bob, handle, item, 404, header=item.member["header"]["sha256"])
    assert read(bob, handle, item).content == item.body


def test_head_is_the_answer_without_the_body(bob, handle, item):
    path = f"/v1/downloads/{handle}/items/{item.id}"
    head, get = bob.request("HEAD", path), bob.get(path)
    assert head.content == b""
    for name in ("ETag", "Content-Length", "Repr-Digest"):
        assert head.headers[name] == get.headers[name]


def test_a_handle_for_one_item_reads_that_alone(bob, sent):
    one, other = sent.items
    handle = bob.open_download(sent, item=one.id).json()["download"]
    read(bob, handle, one)
    read(bob, handle, other, 404)


def test_the_record_stands_before_the_first_byte(service, bob, sent, handle):
    opened = [each for each in service.entries(sent.matter.handle) if each.event == "download.opened"]
    assert opened[-1].subject["package"] == sent.package
    assert opened[-1].fields["actor"]["principal"] == bob.id


def test_the_close_counts_what_went_out(service, bob, sent, handle, item):
    read(bob, handle, item)
    read(bob, handle, item, 206, {"Range": "bytes=0-9"})
    bob.request("HEAD", f"/v1/downloads/{handle}/items/{item.id}")
    answer = bob.request("POST", f"/v1/downloads/{handle}/close", 201)
    closed = service.entries(sent.matter.handle)[-1]
    assert closed.data.decode() == answer.json()["record"]["entry"]
    assert (closed.event, closed.noted["bytes"], closed.noted["outcome"]) == (
        "download.closed", len(item.body) + 10, "closed",
    )  # fmt: skip
    read(bob, handle, item, 410)
    again = bob.request("POST", f"/v1/downloads/{handle}/close", 200)
    assert again.json()["record"]["entry"] == answer.json()["record"]["entry"]
    assert service.events(sent.matter.handle).count("download.closed") == 1


def test_what_went_out_over_a_broken_line_is_counted(service, bob, alice, court):
    sent = alice.send(alice.open_exchange(court), court, count=2, size=12 * MIB)
    handle, item = bob.open_download(sent).json()["download"], sent.items[0]
    line = socket.create_connection(("127.0.0.1", service.port))
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**bob.headers, "Host": "x"}.items())
    line.sendall(f"GET /v1/downloads/{handle}/items/{item.id} HTTP/1.1\r\n{lines}\r\n".encode())
    assert line.recv(1000)
    line.close()
    end = time.monotonic() + 10
    while not (out := bytes_out(service, handle)):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert out < len(item.body)


def bytes_out(service, handle):
    with service.runtime.reading() as session:
        return session.get(Download, handle).bytes_out


def test_a_body_that_the_store_has_lost_in_part_never_looks_whole(service, bob, handle, item, monkeypatch):
    def broken(*_args, **_more):
        yield item.body[:1000]
        raise StoreUnavailable("EIO")

    monkeypatch.setattr(service.runtime.store, "read", broken)
    with pytest.raises(httpx.RemoteProtocolError):
        read(bob, handle, item)


def test_a_handle_lapses_after_an_hour(service, bob, sent, item):
    handle = bob.open_download(sent).json()["download"]
    service.now.ahead = timedelta(minutes=61)
    try:
        bob.forget()
        read(bob, handle, item, 410)
        while lapse.run(service.runtime, lambda: False):
            pass
    finally:
        service.now.ahead = timedelta(0)
        bob.forget()
    assert [each.noted["outcome"] for each in service.entries(sent.matter.handle) if each.event == "download.closed"][
        -1
    ] == "lapsed"


def test_the_same_act_again_gives_the_same_handle(bob, sent):
    said = bob.act("download.opened", sent.matter.handle, {"package": sent.package}, purpose="analysis")
    path = f"/v1/packages/{sent.package}/downloads"
    assert bob.post(path, said).json()["download"] == bob.post(path, said, 200).json()["download"]


def test_before_the_seal_there_is_nothing_to_read(alice, bob, court):
    matter = alice.open_exchange(court)
    package = alice.declare(matter, court)
    said = bob.act("download.opened", matter.handle, {"package": package})
    assert bob.post(f"/v1/packages/{package}/downloads", said, 409).json()["code"] == "state-conflict"
