"""What a role that may begin something must not reach by it."""

import io
import zipfile

from storage import keys
from tests.app.party import Item


def headers_in(principal, matter):
    said = principal.act("log.exported", matter.handle, detail={"form": "bundle"})
    data = principal.post(f"/v1/exchanges/{matter.id}/export", said).content
    return {name for name in zipfile.ZipFile(io.BytesIO(data)).namelist() if name.startswith("headers/")}


def test_an_auditor_is_handed_no_header_of_its_own_authority(alice, bob, court):
    sent = alice.send(alice.open_exchange(court), court)
    bob.release(sent)
    assert headers_in(court.enrol("auditor"), sent.matter) == set()
    assert len(headers_in(bob, sent.matter)) == len(sent.items)


def test_only_its_sender_has_the_bodies_of_a_package_locked(service, alice, bob, court):
    matter = alice.open_exchange(court)
    package, item = alice.declare(matter, court), Item(b"evidence", [court.identity.recipient])
    alice.upload(package, item)
    inventory = Item(b"inventory", [court.identity.recipient])
    alice.upload(package, inventory)
    said = bob.manifest(matter, package, [inventory, item], [court])
    assert bob.post(f"/v1/packages/{package}/seal", said, 403).json()["code"] == "not-entitled"
    locked = {service.runtime.store.stat(keys.body(package, each.id)).locked_until for each in (inventory, item)}
    assert locked == {None}
    assert service.events(matter.handle).count("access.denied") == 1
