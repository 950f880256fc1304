"""Parties at work against a server that dies: what they were told is remembered, what they were not told is asked again."""

import hashlib
import secrets
import time
from collections import Counter
from random import Random
from threading import Event, Thread

import httpx

from custody import entry as entries
from custody.sealing import build_header
from tests.app import party
from tests.app.party import BYTES, TUS, Item

PATIENCE = 60
RETRIED = {429, 503}
SEVERAL_PARTS, LARGE_PART = 0.08, 0.16
"""How many of all items are of more than one part, and how many, less those, of one that is large."""

LARGE = (0.0, SEVERAL_PARTS, 1.0)
"""What each party draws first."""


class Line:
    """HTTP that outlives the servers: each in turn is asked, and a request is made again until it is answered."""

    def __init__(self, addresses, start=0, *, retried=RETRIED):
        self.addresses, self.at, self.broken, self.retried = addresses, start, 0, retried
        self.http = httpx.Client(timeout=30)

    def ask(self, method, path, *, again=True, **more):
        """The answer; None where it is unknown what came of the request and it is not made again."""
        end = time.monotonic() + PATIENCE
        while True:
            self.at = (self.at + 1) % len(self.addresses)
            try:
                answer = self.http.request(method, self.addresses[self.at] + path, **more)
            except httpx.TransportError as error:
                self.broken += 1
                if not again and not isinstance(error, httpx.ConnectError):
                    return None
            else:
                if answer.status_code not in self.retried:
                    return answer
            assert time.monotonic() < end, (method, path)
            time.sleep(0.02)


class Tokens:
    """Access tokens, renewed long before they expire: a deep run takes longer than they last."""

    FOR = 200

    def __init__(self, line, *principals):
        self.line = line
        self.kept = {who: (time.monotonic(), who.headers) for who in principals}

    def __getitem__(self, who):
        made, headers = self.kept[who]
        if time.monotonic() - made > self.FOR:
            headers = self.renewed(who)
            self.kept[who] = (time.monotonic(), headers)
        return headers

    def renewed(self, who):
        while True:
            form = {"grant_type": "client_credentials", "client_assertion_type": party.ASSERTION}
            form |= {"client_assertion": who.assertion()}  # good once, also where the answer was lost
            answer = self.line.ask("POST", "/oauth/token", again=False, data=form)
            if answer is not None and answer.status_code == 200:
                return {"Authorization": f"Bearer {answer.json()['access_token']}"}


class Party(Thread):
    """One sender and one receiver who hand packages over, one after the other, until told to stop."""

    def __init__(self, number, service, alice, bob, seed):
        super().__init__(daemon=True, name=f"party {number}")
        self.random = Random(seed * 1000 + number)
        self.service, self.alice, self.bob = service, alice, bob
        self.court = bob.authority
        self.stopping, self.wrong = Event(), []
        self.number, self.line = number, Line(service.addresses, number)
        self.records, self.bodies, self.sealed, self.last, self.sent_again = {}, {}, [], None, 0
        self.ways = Counter()
        self.tokens = Tokens(self.line, alice, bob)

    def run(self):
        try:
            matter = None
            while not self.stopping.is_set():
                if matter is None or self.random.random() < 0.3:
                    matter = self.open_exchange()
                self.hand_over(matter)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.wrong.append(error)

    def post(self, who, path, said):
        """Lodge a statement until its record comes; what was recorded is remembered."""
        body = {"envelope": said.envelope.decode()}
        answer = self.line.ask("POST", path, json=body, headers=self.tokens[who])
        assert answer.status_code in (200, 201), (path, answer.status_code, answer.text)
        self.sent_again += answer.status_code == 200
        record = answer.json()["record"]
        made = party.check_record(self.service, record)
        assert made.statement_id == said.id
        assert self.records.setdefault(record["index"], made.data) == made.data
        return made, answer.json()

    def open_exchange(self):
        handle = secrets.token_hex(32)
        detail = {"parties": sorted([self.alice.authority.id, self.court.id])}
        _, answer = self.post(self.alice, "/v1/exchanges", self.alice.act("exchange.opened", handle, detail=detail))
        return party.Matter(handle, answer["exchange"])

    def hand_over(self, matter):
        package = secrets.token_hex(16)
        said = self.alice.act("package.declared", matter.handle, {"package": package}, {"recipients": [self.court.id]})
        self.post(self.alice, f"/v1/exchanges/{matter.id}/packages", said)
        items = [self.draw(), self.item(5000)]
        for item in items:
            self.bring(package, item)
            self.put_header(self.alice, package, item.header)
        manifest = self.alice.manifest(matter, package, items, [self.court])
        made, _ = self.post(self.alice, f"/v1/packages/{package}/seal", manifest)
        sealed = party.Sent(matter, package, items, manifest, entries.parse(made.data))
        self.sealed.append(package)
        self.last = sealed
        self.receive(sealed)

    def draw(self):
        """An item of any size: small, of one part that is too large to be put at once, or of several parts."""
        drawn = self.random.random() if self.ways.total() else LARGE[self.number % len(LARGE)]
        if drawn < SEVERAL_PARTS:
            return self.item(17 * party.MIB)
        if drawn < LARGE_PART:
            return self.item(17 * party.MIB, 64 * party.MIB)
        return self.item(self.random.randrange(1000, 300_000))

    def put_header(self, who, package, header):
        digest = hashlib.sha256(header).hexdigest()
        sent = {**self.tokens[who], "Content-Type": "application/octet-stream"}
        put = self.line.ask("PUT", f"/v1/packages/{package}/headers/{digest}", content=header, headers=sent)
        assert put.status_code in (200, 201), put.text
        return {"sha256": digest, "size": len(header)}

    def grant(self, sent):
        """The receiver grants one item back to the sender's office."""
        item, office = sent.items[0], self.alice.authority
        header = self.put_header(self.bob, sent.package, build_header(item.key, [office.identity.recipient]))
        named = {"items": [{"id": item.id, "header": header}], "recipients": party.receivers([office])}
        said = self.bob.say("grant", sent.matter.handle, manifest=sent.manifest.id, sealing="x25519", **named)
        self.post(self.bob, f"/v1/packages/{sent.package}/grants", said)

    def item(self, size, part_size=16 * party.MIB):
        return Item(self.random.randbytes(size), [self.court.identity.recipient], part_size)

    def bring(self, package, item):
        """Upload a body, whole or by windows; what is acknowledged is remembered."""
        part_size, parts = item.member["part_size"], len(item.parts)
        if parts > 1:
            self.bring_windows(package, item, part_size)
        else:
            self.upload(self.begin(package, item).headers["Location"], item.body)
        self.ways["windows" if parts > 1 else "a large part" if len(item.body) > 16 * party.MIB else "whole"] += 1
        self.bodies[package, item.id] = hashlib.sha256(item.body).digest()

    def bring_windows(self, package, item, part_size):
        """Windows in any order, then the body that they make."""
        starts = list(range(0, len(item.body), part_size))
        self.random.shuffle(starts)
        for start in starts:
            data = item.body[start : start + part_size]
            place = {"Rogatory-Start": str(start), "Rogatory-Item-Length": str(len(item.body))}
            made = self.begin(package, item, {**place, "Upload-Concat": "partial", "Upload-Length": str(len(data))})
            self.upload(made.headers["Location"], data)
        made = self.begin(package, item, {"Upload-Concat": f"final;{made.headers['Rogatory-Upload']}"})
        assert made.headers["Upload-Offset"] == str(len(item.body))

    def begin(self, package, item, how=None):
        path = f"/v1/packages/{package}/items/{item.id}/uploads?part_size={item.member['part_size']}"
        headers = {**self.tokens[self.alice], **TUS, **(how or {"Upload-Length": str(len(item.body))})}
        made = self.line.ask("POST", path, headers=headers)
        assert made.status_code in (200, 201), made.text
        return made

    def upload(self, location, body):
        offset, at_most = 0, max(1000, len(body) // self.random.randrange(1, 6))
        while offset < len(body):
            chunk = body[offset : offset + at_most]
            headers = {**self.tokens[self.alice], **TUS, **BYTES, "Upload-Offset": str(offset)}
            answer = self.line.ask("PATCH", location, content=chunk, headers=headers, again=False)
            if answer is not None and answer.status_code == 204:
                assert int(answer.headers["Upload-Offset"]) == offset + len(chunk)
                offset += len(chunk)
                continue
            assert answer is None or answer.status_code == 409, (answer.status_code, answer.text)
            offset = self.resume(location, offset, offset + len(chunk))

    def resume(self, location, acknowledged, sent):
        """Where an upload stands: nothing acknowledged is lost, nothing is there that was not sent."""
        answer = self.line.ask("HEAD", location, headers={**self.tokens[self.alice], **TUS})
        assert answer.status_code == 200, answer.status_code
        offset = int(answer.headers["Upload-Offset"])
        assert acknowledged <= offset <= sent
        return offset

    def receive(self, sent):
        detail = {"grant": sent.manifest.id}
        said = self.bob.act("key.released", sent.matter.handle, {"package": sent.package}, detail)
        _, answer = self.post(self.bob, f"/v1/packages/{sent.package}/release", said)
        assert {each["item"] for each in answer["headers"]} == {item.id for item in sent.items}
        self.grant(sent)
        digests = [{name: item.member[name] for name in ("id", "sha256", "blake3")} for item in sent.items]
        facts = {"manifest": sent.manifest.id, "sealed": sent.sealed.hash.hex(), "outcome": "accepted"}
        items = sorted(({**each, "plaintext": "checked"} for each in digests), key=lambda each: each["id"])
        said = self.bob.say("receipt", sent.matter.handle, items=items, **facts)
        self.post(self.bob, f"/v1/packages/{sent.package}/receipt", said)

    def end(self):
        self.stopping.set()
        self.join()
        self.line.http.close()


class Watcher(Thread):
    """A recipient who looks at the list all the time: whatever is listed is whole."""

    def __init__(self, service, bob):
        super().__init__(daemon=True, name="watcher")
        self.stopping, self.wrong, self.looks = Event(), [], 0
        self.bob, self.line = bob, Line(service.addresses)
        self.tokens = Tokens(self.line, bob)
        self.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                answer = self.line.ask("GET", "/v1/packages", headers=self.tokens[self.bob])
                assert answer.status_code == 200, answer.text
                for package in answer.json()["packages"]:
                    self.look(package)
                self.looks += 1
                time.sleep(0.05)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.wrong.append(error)

    def look(self, package):
        sealed = package["state"] != "declared"
        assert sealed == ("sealed" in package) == ("manifest" in package) == ("retain_until" in package), package
        assert sealed or package["receipts"] == [], package
        if sealed:
            assert [item["state"] for item in package["items"]] == ["sealed"] * 2, package

    def end(self):
        self.stopping.set()
        self.join()
        self.line.http.close()
