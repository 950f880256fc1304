"""A handle that ends while somebody reads by it: what went out is on record, and no more goes out."""

import itertools
import socket
import time
from datetime import timedelta

import httpx
import pytest

from app.api import downloads, traffic
from app.jobs import lapse
from tests.app.party import MIB


@pytest.fixture(scope="module")
def sent(alice, court):
    return alice.send(alice.open_exchange(court), court, size=24 * MIB)


@pytest.fixture
def narrow(service):
    """A client whose side of a connection holds little: what it has not read, the service has not sent."""
    held = [(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB // 4)]
    with httpx.Client(base_url=service.http.base_url, transport=httpx.HTTPTransport(socket_options=held)) as http:
        yield http


@pytest.fixture
def reading(monkeypatch, bob, sent, narrow):
    """A handle, and an answer that has begun to come and is not read on until the test says so."""
    monkeypatch.setattr(downloads, "COUNTED", MIB // 2)
    handle, item = bob.open_download(sent).json()["download"], sent.items[0]
    path = f"/v1/downloads/{handle}/items/{item.id}"
    with narrow.stream("GET", path, headers=bob.headers) as answer:
        pieces = answer.iter_raw(MIB)
        for _ in range(8):
            next(pieces)
        yield handle, pieces


def read_on(pieces):
    return 8 * MIB + sum(map(len, itertools.islice(pieces, 99)))


def ends(service, sent):
    return [each.noted for each in service.entries(sent.matter.handle) if each.event == "download.closed"]


def closed(service, sent):
    return ends(service, sent)[-1]


def test_nothing_goes_out_by_a_handle_that_was_closed(service, bob, sent, reading):
    handle, pieces = reading
    bob.request("POST", f"/v1/downloads/{handle}/close", 201)
    with pytest.raises(httpx.RemoteProtocolError):
        read_on(pieces)
    assert closed(service, sent)["bytes"] >= 7 * MIB


def test_a_long_answer_ends_with_the_hour_and_was_counted(service, sent, reading):
    _, pieces = reading
    before = len(ends(service, sent))
    service.now.ahead = timedelta(minutes=61)
    try:
        while len(ends(service, sent)) == before:  # a handle that is being counted is left to the next round
            lapse.run(service.runtime, lambda: False)
    finally:
        service.now.ahead = timedelta(0)
    with pytest.raises(httpx.RemoteProtocolError):
        read_on(pieces)
    assert (closed(service, sent)["outcome"], closed(service, sent)["bytes"] >= 7 * MIB) == ("lapsed", True)


def test_an_answer_may_take_longer_than_a_request_may_be_silent(monkeypatch, bob, sent):
    monkeypatch.setattr(traffic, "PATIENCE", 0.05)
    monkeypatch.setattr(traffic, "GRACE", 0.05)
    handle, item = bob.open_download(sent).json()["download"], sent.items[0]
    with bob.service.http.stream("GET", f"/v1/downloads/{handle}/items/{item.id}", headers=bob.headers) as answer:
        pieces = answer.iter_raw(MIB)
        found = next(pieces)
        time.sleep(0.3)
        assert found + b"".join(pieces) == item.body
