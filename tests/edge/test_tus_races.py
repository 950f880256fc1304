"""Row 16: many clients on one upload. Whatever they do to each other, the bytes are those of one serial order.

Every client sends the bytes that belong at its offset, marked with its own number, so that an acknowledged range tells
whose it is. In each race some ask, some send from where they think it stands, some are late, some end the upload.
"""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import httpx
import pytest

from app.db.models import Item
from app.services.uploads import part_digests
from tests.app.party import BYTES, TUS, token

CLIENTS = 32
MARK = 16
"""Bytes of one mark: a client's number and the place, over and over."""

LENGTH = MARK * 600


def marked(client, offset, size):
    """What a client sends for a place: it says who, and where."""
    first = offset // MARK
    text = b"".join(b"%03d %011d\n" % (client, number) for number in range(first, (offset + size) // MARK + 1))
    return text[offset - first * MARK :][:size]


class Race:
    """One upload, and what its clients were told."""

    def __init__(self, service, http, sender, court, matter):
        self.service, self.http, self.headers = service, http, {**sender.headers, **TUS}
        self.package, self.item = sender.declare(matter, court), token()
        self.location = sender.create(self.package, self.item, LENGTH).headers["Location"]
        self.sent, self.told = [], Counter()

    def head(self):
        answer = self.http.head(self.location, headers=self.headers)
        assert answer.status_code in {200, 410}, answer.status_code
        return int(answer.headers["Upload-Offset"]) if answer.status_code == 200 else None

    def patch(self, client, offset, size):
        size = min(size, LENGTH - offset)
        headers = {**self.headers, **BYTES, "Upload-Offset": str(offset)}
        answer = self.http.patch(self.location, headers=headers, content=marked(client, offset, size))
        self.told[answer.status_code] += 1
        if answer.status_code == 204:
            assert int(answer.headers["Upload-Offset"]) == offset + size
            self.sent.append((offset, size, client))
        else:
            assert answer.status_code in {409, 410, 413}, answer.text
            assert answer.json()["code"] in {
                "offset-mismatch",
                "upload-superseded",
                "gone",
                "state-conflict",
                "too-large",
            }

    def end(self):
        answer = self.http.delete(self.location, headers=self.headers)
        assert answer.status_code in {204, 409, 410}, answer.text
        self.told[f"ended {answer.status_code}"] += 1

    def bytes(self):
        """What the store has of the body, if it is whole."""
        with self.service.runtime.reading() as session:
            row = session.get(Item, (self.package, self.item))
        return b"".join(self.service.runtime.store.read(row.key, version=row.version))

    def check(self):
        """Nothing acknowledged is missing; what lies there was sent by somebody for that place; and it can go on."""
        offset = self.head()
        if offset is None:  # it was ended: the item can be begun anew, at nothing
            assert self.told["ended 204"] == 1
            fresh = self.http.post(
                f"/v1/packages/{self.package}/items/{self.item}/uploads",
                headers=self.headers | {"Upload-Length": str(LENGTH)},
            )
            assert (fresh.status_code, fresh.headers["Upload-Offset"]) == (201, "0")
            self.location, offset, self.sent = fresh.headers["Location"], 0, []
        assert offset >= max((at + size for at, size, _ in self.sent), default=0)
        if offset < LENGTH:
            self.patch(999, offset, LENGTH - offset)
        body = self.bytes()
        assert len(body) == LENGTH
        for at, size, client in self.sent:
            assert body[at : at + size] == marked(client, at, size), (at, size, client)
        spans = sorted((at, at + size) for at, size, _ in self.sent)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        known = {b"%03d" % client for client in (*range(CLIENTS), 999)}
        for number in range(LENGTH // MARK):
            mark = body[number * MARK : (number + 1) * MARK]
            assert mark == b"%03d %011d\n" % (int(mark[:3]), number)
            assert mark[:3] in known
        with self.service.runtime.reading() as session:
            assert part_digests(session, self.package, self.item) == hashlib.sha256(body).digest()


@pytest.fixture(scope="module")
def http(service):
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    with httpx.Client(base_url=str(service.http.base_url), timeout=30, limits=limits) as made:
        yield made


@pytest.mark.deep
def test_bytes_are_those_of_one_serial_order(service, http, alice, court, effort):
    """A race is one client's round against all the others; each upload sees as many rounds as it has clients."""
    draw, told, matter = effort.random, Counter(), alice.open_exchange(court)
    with ThreadPoolExecutor(CLIENTS) as threads:
        for number in effort.turns(usual=10, full=313):
            alice.forget() if number % 50 == 49 else None
            race, begin = Race(service, http, alice, court, matter), Barrier(CLIENTS)
            ends = number % 3 == 2
            plans = [
                [(draw.choice(("patch", "patch", "patch", "stale", "head")), draw.randrange(1, LENGTH // MARK // 8) * MARK) for _ in range(2)]
                for _ in range(CLIENTS)
            ]  # fmt: skip
            if ends:
                plans[-1] = [("head", 0), ("end", 0)]

            def run(client, race=race, plans=plans, begin=begin):
                begin.wait()
                offset = 0
                for deed, size in plans[client]:
                    if deed == "end":
                        race.end()
                        continue
                    if deed != "stale":
                        offset = race.head()
                    if offset is None or offset == LENGTH:
                        return
                    if deed != "head":
                        race.patch(client, offset, size)

            list(threads.map(run, range(CLIENTS)))
            race.check()
            told += race.told
    assert {204, 409, "ended 204"} <= told.keys(), told
