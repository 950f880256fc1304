"""What each act demands, and that a refusal changes nothing."""

import hashlib
import secrets
from datetime import timedelta

import pytest

from app.jobs import fixity
from app.services import exchanges
from custody import statement
from custody.keys import SigningKey
from custody.sealing import build_header
from tests.app.party import Item, headers_of, receivers, token


@pytest.fixture
def matter(alice, court):
    return alice.open_exchange(court)


def refused(answer):
    return answer.json()["code"]


def unchanged(service, matter):
    """The chain's events but for notes of denial."""
    return [event for event in service.events(matter.handle) if event != "access.denied"]


# ---------------------------------------------------------------- statements


def test_a_statement_of_another_log_is_refused(service, alice, court, matter):
    said = alice.act("exchange.closed", matter.handle)
    other = statement.sign({**said.payload, "log": "other.example.org/log"}, [alice.voice])
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", other, 422)) == "statement-refused"
    assert unchanged(service, matter) == ["exchange.opened"]


def test_a_statement_of_another_chain_is_refused(service, alice, court, matter):
    said = alice.act("exchange.closed", secrets.token_hex(32))
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", said, 422)) == "statement-refused"
    assert unchanged(service, matter) == ["exchange.opened"]


def test_a_statement_of_another_event_is_refused(service, alice, matter):
    said = alice.act("log.exported", matter.handle, detail={"form": "bundle"})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", said, 422)) == "statement-refused"


def test_a_statement_signed_by_a_stranger_is_refused(service, alice, matter):
    said = alice.act("exchange.closed", matter.handle)
    forged = statement.sign(said.payload, [SigningKey.generate()])
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", forged, 422)) == "statement-refused"
    assert unchanged(service, matter) == ["exchange.opened"]


def test_a_statement_whose_signature_is_wrong_is_refused(service, alice, matter):
    said = alice.act("exchange.closed", matter.handle)
    other = alice.act("exchange.closed", matter.handle)
    envelope = said.envelope.decode().replace(
        said.envelope.decode().split('"sig":"')[1][:86], other.envelope.decode().split('"sig":"')[1][:86]
    )
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", envelope, 422)) == "statement-refused"


def test_a_statement_of_somebody_else_is_refused(alice, bob, matter):
    said = bob.act("exchange.closed", matter.handle)
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", said, 422)) == "statement-refused"


@pytest.mark.parametrize("minutes", [-11, 11])
def test_a_statement_of_another_time_is_refused_with_both_times(service, alice, matter, minutes):
    service.now.ahead = timedelta(minutes=minutes)
    said = alice.act("exchange.closed", matter.handle)
    service.now.ahead = timedelta(0)
    answer = alice.post(f"/v1/exchanges/{matter.id}/close", said, 422)
    assert refused(answer) == "clock-skew"
    assert said.payload["time"] in answer.json()["detail"]


def test_a_checkpoint_the_log_never_signed_is_not_believed(service, alice, matter):
    said = alice.act("exchange.closed", matter.handle, seen={"size": 2, "root": "ab" * 32})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", said, 422)) == "statement-refused"


@pytest.mark.parametrize("envelope", ["{}", "no json", '{"payload":"","payloadType":"x","signatures":[]}', "éé"])
def test_an_envelope_that_is_none_is_refused(alice, matter, envelope):
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/close", envelope, 422)) == "statement-refused"


def test_the_same_statement_again_gives_the_same_record(service, alice, court):
    handle = secrets.token_hex(32)
    said = alice.act("exchange.opened", handle, detail={"parties": sorted([alice.authority.id, court.id])})
    first = alice.post("/v1/exchanges", said, 201).json()
    again = alice.post("/v1/exchanges", said, 200).json()
    assert again["record"]["entry"] == first["record"]["entry"]
    assert again["exchange"] == first["exchange"]
    assert service.events(handle) == ["exchange.opened"]


# ---------------------------------------------------------------- exchanges


def test_a_handle_is_taken_once(alice, court, matter):
    said = alice.act("exchange.opened", matter.handle, detail={"parties": sorted([alice.authority.id, court.id])})
    assert refused(alice.post("/v1/exchanges", said, 409)) == "state-conflict"


def test_an_exchange_is_opened_by_one_of_its_parties(service, alice, court):
    other = service.authority()
    said = alice.act("exchange.opened", secrets.token_hex(32), detail={"parties": sorted([other.id, court.id])})
    assert refused(alice.post("/v1/exchanges", said, 422)) == "statement-refused"


def test_a_party_must_be_enrolled(alice):
    said = alice.act(
        "exchange.opened", secrets.token_hex(32), detail={"parties": sorted([alice.authority.id, "nobody"])}
    )
    assert refused(alice.post("/v1/exchanges", said, 409)) == "state-conflict"


def test_an_added_party_sees_the_exchange_and_an_added_auditor_its_log_only(service, alice, matter):
    third, board = service.authority(), service.authority()
    worker, auditor = third.enrol("receiver"), board.enrol("auditor")
    for authority, part in ((third, "party"), (board, "auditor")):
        said = alice.act("party.added", matter.handle, {"authority": authority.id}, {"as": part})
        alice.post(f"/v1/exchanges/{matter.id}/parties", said)
    assert worker.get(f"/v1/exchanges/{matter.id}").json()["packages"] == []
    seen = auditor.get("/v1/exchanges").json()["exchanges"]
    assert [each["id"] for each in seen] == [matter.id]
    assert auditor.get(f"/v1/exchanges/{matter.id}/log").json()["entries"]
    assert auditor.get("/v1/packages").json() == {"packages": []}


def test_a_party_is_added_once(alice, court, matter):
    said = alice.act("party.added", matter.handle, {"authority": court.id}, {"as": "party"})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/parties", said, 409)) == "state-conflict"


def test_nothing_is_declared_in_a_closed_exchange_and_open_uploads_have_ended(service, alice, court, matter):
    package = alice.declare(matter, court)
    location = alice.create(package, token(), 1000).headers["Location"]
    alice.post(f"/v1/exchanges/{matter.id}/close", alice.act("exchange.closed", matter.handle))
    alice.patch(location, 0, b"x" * 10, expect=410)
    said = alice.act("package.declared", matter.handle, {"package": token()}, {"recipients": [court.id]})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/packages", said, 409)) == "state-conflict"
    assert service.events(matter.handle)[-2:] == ["upload.aborted", "exchange.closed"]


def test_exchanges_come_in_pages_without_a_gap_or_a_double(service, monkeypatch):
    monkeypatch.setattr(exchanges, "_PAGE", 3)
    here, there = service.authority(), service.authority()
    carol = here.enrol()
    made = [carol.open_exchange(there).id for _ in range(5)]
    first = carol.get("/v1/exchanges").json()
    rest = carol.get("/v1/exchanges", params={"cursor": first["next"]}).json()
    found = [each["id"] for each in first["exchanges"] + rest["exchanges"]]
    assert found == made[::-1]
    assert "next" not in rest


# ---------------------------------------------------------------- packages


def test_recipients_are_parties(service, alice, matter):
    said = alice.act("package.declared", matter.handle, {"package": token()}, {"recipients": [service.authority().id]})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/packages", said, 422)) == "statement-refused"


def test_a_package_id_is_taken_once(alice, court, matter):
    package = alice.declare(matter, court)
    said = alice.act("package.declared", matter.handle, {"package": package}, {"recipients": [court.id]})
    assert refused(alice.post(f"/v1/exchanges/{matter.id}/packages", said, 409)) == "state-conflict"


class Draft:
    """A package that is uploaded and not sealed."""

    def __init__(self, sender, matter, *recipients, count=2):
        self.sender, self.matter, self.recipients = sender, matter, recipients
        self.package = sender.declare(matter, *recipients)
        self.items = [
            Item(secrets.token_bytes(500), [each.identity.recipient for each in recipients]) for _ in range(count)
        ]
        for item in self.items:
            sender.upload(self.package, item)
            sender.put_header(self.package, item.header)

    def seal(self, expect, items=None, **changes):
        said = self.sender.manifest(self.matter, self.package, items or self.items, self.recipients, **changes)
        return self.sender.post(f"/v1/packages/{self.package}/seal", said, expect)


@pytest.fixture
def draft(alice, court, matter):
    return Draft(alice, matter, court, count=3)


def test_an_item_that_did_not_arrive_is_no_item(service, draft, court):
    draft.items.append(Item(b"never sent", [court.identity.recipient]))
    assert refused(draft.seal(409)) == "manifest-mismatch"
    assert "package.sealed" not in service.events(draft.matter.handle)


def test_nothing_stands_in_a_package_unsaid(draft):
    assert refused(draft.seal(409, items=draft.items[:2])) == "manifest-mismatch"


@pytest.mark.parametrize("member", ["parts", "size"])
def test_the_manifest_is_what_was_uploaded(draft, member):
    last = draft.items[-1].member
    last[member] = "00" * 32 if member == "parts" else last["size"] + 1
    assert refused(draft.seal(409)) == "manifest-mismatch"


def test_a_header_must_have_been_put(alice, court, matter):
    package = alice.declare(matter, court)
    items = [Item(b"x", [court.identity.recipient]) for _ in range(2)]
    for item in items:
        alice.upload(package, item)
    said = alice.manifest(matter, package, items, [court])
    assert refused(alice.post(f"/v1/packages/{package}/seal", said, 409)) == "manifest-mismatch"


def test_a_header_is_written_for_exactly_the_keys_that_are_named(service, alice, court, matter):
    third = service.authority()
    draft = Draft(alice, matter, court)
    alice.post(
        f"/v1/exchanges/{matter.id}/parties",
        alice.act("party.added", matter.handle, {"authority": third.id}, {"as": "party"}),
    )
    assert refused(draft.seal(409, recipients=receivers([court, third]))) == "manifest-mismatch"


def test_a_key_that_is_not_live_receives_nothing(draft, court):
    rows = [{"authority": court.id, "keys": ["ab" * 32]}]
    assert refused(draft.seal(422, recipients=rows)) == "statement-refused"


def test_a_package_is_sealed_once(draft):
    draft.seal(201)
    assert refused(draft.seal(409)) == "state-conflict"


def test_a_sealed_body_is_locked_until_the_date_of_its_manifest(service, draft):
    draft.seal(201)
    item = draft.items[0].id
    info = service.runtime.store.stat(f"bodies/{draft.package}/{item}")
    assert info.locked_until > service.now() + timedelta(days=1000)


def test_bodies_are_read_back_after_the_seal(service, alice, draft):
    draft.seal(201)
    while fixity.run(service.runtime, lambda: False):
        pass
    view = alice.get(f"/v1/packages/{draft.package}").json()
    assert {item["fixity"] for item in view["items"]} == {"ok"}
    assert service.events(draft.matter.handle).count("fixity.checked") == 3


def test_a_body_that_is_not_what_the_manifest_claims_is_found(service, alice, draft):
    draft.items[-1].member["sha256"] = "00" * 32
    draft.seal(201)
    while fixity.run(service.runtime, lambda: False):
        pass
    assert service.events(draft.matter.handle).count("fixity.failed") == 1


@pytest.mark.parametrize("data", [b"no header", b"age-encryption.org/v1\n"])
def test_a_header_that_is_none_is_refused(alice, court, matter, data):
    package = alice.declare(matter, court)
    assert refused(alice.put_header(package, data, expect=400)) == "bad-request"


def test_a_header_is_put_under_its_own_digest(alice, court, matter):
    package = alice.declare(matter, court)
    header = Item(b"x", [court.identity.recipient]).header
    headers = {"Content-Type": "application/octet-stream"}
    path = f"/v1/packages/{package}/headers/{'ab' * 32}"
    assert refused(alice.request("PUT", path, 400, headers=headers, content=header)) == "bad-request"
    alice.put_header(package, header, expect=201)
    alice.put_header(package, header, expect=200)


# ---------------------------------------------------------------- grants, releases


@pytest.fixture
def sent(alice, court, matter):
    return alice.send(matter, court)


def test_a_withdrawn_package_releases_nothing(alice, bob, sent):
    said = alice.say("withdrawal", sent.matter.handle, manifest=sent.manifest.id, reason="wrong-recipient")
    alice.post(f"/v1/packages/{sent.package}/withdrawal", said)
    assert refused(bob.release(sent, 409)) == "state-conflict"
    assert refused(bob.open_download(sent, 409)) == "state-conflict"
    assert alice.get(f"/v1/packages/{sent.package}").json()["state"] == "withdrawn"


def test_headers_leave_only_after_their_conditions_were_accepted(alice, bob, court, matter):
    conditions = [{"code": "no-capital-punishment", "text_sha256": "cd" * 32}]
    sent = alice.send(matter, court, conditions=conditions)
    assert refused(bob.release(sent, 409)) == "state-conflict"
    other = bob.say(
        "acceptance", matter.handle, statement=sent.manifest.id, conditions=[{**conditions[0], "code": "other"}]
    )
    assert refused(bob.post(f"/v1/packages/{sent.package}/conditions", other, 422)) == "statement-refused"
    said = bob.say("acceptance", matter.handle, statement=sent.manifest.id, conditions=conditions)
    bob.post(f"/v1/packages/{sent.package}/conditions", said)
    assert len(headers_of(bob.release(sent))) == 2
    again = bob.say("acceptance", matter.handle, statement=sent.manifest.id, conditions=conditions)
    assert refused(bob.post(f"/v1/packages/{sent.package}/conditions", again, 409)) == "already-answered"


def test_a_release_of_some_items_hands_out_those_alone(bob, sent):
    wanted = sent.items[0]
    assert headers_of(bob.release(sent, items=[wanted.id])) == {wanted.id: wanted.header}
    handle = bob.open_download(sent).json()["download"]
    for item in sent.items:
        digest = item.member["header"]["sha256"]
        bob.get(f"/v1/downloads/{handle}/items/{item.id}", 200 if item is wanted else 404, params={"header": digest})


def grant(sender, sent, receiver, items, **changes):
    members = {
        "manifest": sent.manifest.id,
        "recipients": receivers([receiver]),
        "sealing": "x25519",
        "items": sorted(items, key=lambda each: each["id"]),
    }
    return sender.say("grant", sent.matter.handle, **(members | changes))


@pytest.fixture
def third(service, alice, matter):
    made = service.authority()
    said = alice.act("party.added", matter.handle, {"authority": made.id}, {"as": "party"})
    alice.post(f"/v1/exchanges/{matter.id}/parties", said)
    return made


def rekeyed(item, receiver):
    return build_header(item.key, [receiver.identity.recipient])


def named(item, header):
    return {"id": item.id, "header": {"sha256": hashlib.sha256(header).hexdigest(), "size": len(header)}}


def test_a_recipient_grants_on_and_the_third_opens(*, service, bob, court, third, police, sent):
    carol, item = third.enrol("receiver"), sent.items[0]
    header = rekeyed(item, third)
    bob.put_header(sent.package, header)
    said = grant(bob, sent, third, [named(item, header)])
    bob.post(f"/v1/packages/{sent.package}/grants", said)
    assert headers_of(carol.release(sent, grant=said)) == {item.id: header}
    assert [each["id"] for each in carol.get(f"/v1/packages/{sent.package}/manifest").json()["grants"]] == [said.id]
    exported = bob.post(
        f"/v1/exchanges/{sent.matter.id}/export", bob.act("log.exported", sent.matter.handle, detail={"form": "bundle"})
    )
    assert service.verify(exported.content, police, court, third).verified


def test_a_header_known_by_its_digest_alone_cannot_be_granted(bob, court, sent):
    """Else a recipient would hand itself, without conditions, what conditions are set to."""
    item = sent.items[0]
    said = grant(bob, sent, court, [{"id": item.id, "header": item.member["header"]}])
    assert refused(bob.post(f"/v1/packages/{sent.package}/grants", said, 409)) == "manifest-mismatch"


def test_a_grant_of_another_package_releases_nothing_here(alice, bob, court, matter, sent):
    other = alice.send(matter, court)
    detail = {"grant": other.manifest.id}
    said = bob.act("key.released", matter.handle, {"package": sent.package}, detail)
    bob.post(f"/v1/packages/{sent.package}/release", said, 404)


# ---------------------------------------------------------------- receipts


def test_a_package_is_answered_once_by_each_authority(bob, sent):
    bob.receipt(sent)
    assert refused(bob.receipt(sent, 409)) == "already-answered"


def test_a_receipt_accepts_exactly_the_digests_of_the_manifest(bob, sent):
    row = {"id": sent.items[0].id, "sha256": "00" * 32, "blake3": "00" * 32, "plaintext": "checked"}
    assert refused(bob.receipt(sent, 422, items=[row])) == "statement-refused"


def test_a_receipt_names_the_seal_it_answers(bob, sent):
    assert refused(bob.receipt(sent, 422, sealed="00" * 32)) == "statement-refused"


def test_a_rejection_has_a_reason(bob, sent):
    assert refused(bob.receipt(sent, 422, outcome="rejected", items=[])) == "statement-refused"
    bob.receipt(sent, 201, outcome="rejected", items=[], reason="cannot_open")
