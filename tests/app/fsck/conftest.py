"""A service in which everything has happened that leaves rows, at rest."""

import hashlib
import secrets

import pytest

from app.jobs import fixity
from app.services.fsck import check
from custody.sealing import build_header
from tests.app.party import Item, receivers
from tests.app.running import Running

CONDITIONS = [{"code": "no-capital-punishment", "text_sha256": "cd" * 32}]


def live(service):
    """Two authorities do everything once; what is left open is left open."""
    police, court, third = (service.authority(name) for name in ("police.nl", "court.de", "third.fr"))
    alice, bob = police.enrol(), court.enrol()
    police.lodge(police.says("role.ended", {"principal": police.enrol("sender").id}, role="sender"))
    matter = alice.open_exchange(court, auditors=[service.authority("audit.eu")])
    alice.post(
        f"/v1/exchanges/{matter.id}/parties",
        alice.act("party.added", matter.handle, {"authority": third.id}, {"as": "party"}),
    )
    sent = alice.send(matter, court, conditions=CONDITIONS)
    bob.get(f"/v1/packages/{sent.package}/manifest")
    bob.post(
        f"/v1/packages/{sent.package}/conditions",
        bob.say("acceptance", matter.handle, statement=sent.manifest.id, conditions=CONDITIONS),
    )
    bob.release(sent)
    regrant(bob, sent, third)
    handle = bob.open_download(sent).json()["download"]
    bob.get(f"/v1/downloads/{handle}/items/{sent.items[0].id}")
    bob.request("POST", f"/v1/downloads/{handle}/close", 201)
    bob.open_download(sent, item=sent.items[0].id)
    bob.receipt(sent)
    withdrawn = alice.send(matter, court)
    said = alice.say("withdrawal", matter.handle, manifest=withdrawn.manifest.id, reason="wrong-recipient")
    alice.post(f"/v1/packages/{withdrawn.package}/withdrawal", said)
    leave_open(alice, matter, court)
    other = alice.open_exchange(court)
    alice.post(f"/v1/exchanges/{other.id}/close", alice.act("exchange.closed", other.handle))


def regrant(bob, sent, third):
    item = sent.items[0]
    header = build_header(item.key, [third.identity.recipient])
    bob.put_header(sent.package, header)
    named = {"id": item.id, "header": {"sha256": hashlib.sha256(header).hexdigest(), "size": len(header)}}
    members = {"manifest": sent.manifest.id, "recipients": receivers([third]), "sealing": "x25519", "items": [named]}
    said = bob.say("grant", sent.matter.handle, **members, until="2100-01-01T00:00:00.000000Z")
    bob.post(f"/v1/packages/{sent.package}/grants", said)


def leave_open(alice, matter, court):
    """A declared package with a body that has arrived, one ended, one of two parts half way, and partial ones."""
    package = alice.declare(matter, court)
    item = Item(b"x" * 1000, [court.identity.recipient])
    alice.upload(package, item)
    alice.put_header(package, item.header)
    gone = alice.create(package, secrets.token_hex(16), 1000).headers["Location"]
    alice.patch(gone, 0, b"y" * 10)
    alice.request("DELETE", gone, 204, headers={"Tus-Resumable": "1.0.0"})
    part = 16 * 1024 * 1024
    under_way = alice.create(package, secrets.token_hex(16), 2 * part).headers["Location"]
    alice.patch(under_way, 0, b"z" * (part + 10))
    begin_partials(alice, package)


def begin_partials(alice, package):
    """A window of two parts half way and one that is whole, of one body; a piece of another."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Concat": "partial"}
    part, short = 16 * 1024 * 1024, 70_001
    paths = [f"/v1/packages/{package}/items/{secrets.token_hex(16)}/uploads" for _ in range(2)]
    for start, length, count in ((0, 2 * part, part + 20), (2 * part, short, short)):
        place = {"Rogatory-Start": str(start), "Rogatory-Item-Length": str(2 * part + short)}
        window = alice.request("POST", paths[0], 201, headers={**headers, "Upload-Length": str(length)} | place)
        alice.patch(window.headers["Location"], 0, b"w" * count)
    piece = alice.request("POST", paths[1], 201, headers={**headers, "Upload-Length": "1000"})
    alice.patch(piece.headers["Location"], 0, b"p" * 500)


@pytest.fixture(scope="session")
def lived(tmp_path_factory):
    """Its state directory, with no service at work on it."""
    running = Running(tmp_path_factory.mktemp("service"))
    running.service.caretaker.stop()
    live(running)
    fixity.run(running.runtime, lambda: False)
    running.service.sequencer.stop()
    running.stop()
    return running


def findings(runtime, *, objects=False):
    found = []
    done = check(runtime, found.append, objects=objects)
    assert done.findings == len(found)
    return found
