"""The record as it is read: page by page, exported, and the registries beside it."""

import base64
import io
import json
import zipfile

import pytest

from custody import entry as entries
from custody import statement
from custody.keys import KeyRecord, SigningKey
from tests.app.party import Principal, check_record, token


@pytest.fixture(scope="module")
def sent(alice, bob, court):
    made = alice.send(alice.open_exchange(court), court)
    bob.release(made)
    bob.receipt(made)
    return made


# ---------------------------------------------------------------- pages


def test_the_pages_are_the_chain_as_it_was_at_the_first_and_looking_is_noted(service, alice, bob, sent):
    viewed = len(views(service, sent))
    found, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = bob.get(f"/v1/exchanges/{sent.matter.id}/log", params=query).json()
        found += page["entries"]
        cursor = page.get("next")
        if cursor is None:
            break
    noted = views(service, sent)[viewed:]
    chain = service.entries(sent.matter.handle)
    assert [each["entry"].encode() for each in found] == [each.data for each in chain[: len(found)]]
    between = chain[len(found) : noted[0].seq]
    assert {each.event for each in between} <= {"fixity.checked"}, (
        "the service's own look at the store may come between"
    )
    assert len(noted) == -(-len(found) // 3)
    assert sum(each.noted["entries"] for each in noted) == len(found)


def views(service, sent):
    return [each for each in service.entries(sent.matter.handle) if each.event == "log.viewed"]


def test_the_statements_of_a_page_are_those_its_entries_name(bob, sent):
    page = bob.get(f"/v1/exchanges/{sent.matter.id}/log").json()
    named = {entries.parse(each["entry"].encode()).statement_id for each in page["entries"]} - {None}
    assert {statement.parse(each.encode()).id for each in page["statements"]} == named


@pytest.mark.parametrize("cursor", ["x", "1", "-", "a-b", "9" * 50])
def test_a_cursor_of_somebody_else_is_refused(bob, sent, cursor):
    bob.get(f"/v1/exchanges/{sent.matter.id}/log", 400, params={"cursor": cursor})
    bob.get("/v1/exchanges", 400, params={"cursor": cursor})


def test_the_manifest_comes_with_its_record_and_that_it_was_seen_is_noted(service, bob, sent):
    view = bob.get(f"/v1/packages/{sent.package}/manifest").json()
    assert view["envelope"].encode() == sent.manifest.envelope
    assert check_record(service, view["record"]).hash.hex() == view["sealed"] == sent.sealed.hash.hex()
    recorded = [event for event in service.events(sent.matter.handle) if event != "fixity.checked"]  # comes when it may
    assert recorded[-1] == "manifest.viewed"


# ---------------------------------------------------------------- exports


def export(principal, matter, form):
    said = principal.act("log.exported", matter.handle, detail={"form": form})
    return principal.post(f"/v1/exchanges/{matter.id}/export", said)


@pytest.mark.parametrize("form", ["bundle", "export"])
def test_an_export_proves_the_exchange_and_holds_the_act_that_asked_for_it(*, service, police, court, bob, sent, form):
    answer = export(bob, sent.matter, form)
    report = service.verify(answer.content, police, court)
    assert report.verified, [check for check in report.checks if check.status.value != "pass"]
    record = json.loads(base64.b64decode(answer.headers["Rogatory-Record"]))
    assert check_record(service, record).event == "log.exported"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert record["entry"] in archive.read("entries.jsonl").decode().split("\n")
        assert ("entries.csv" in archive.namelist()) == (form == "export")


def headers_in(answer):
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name.removeprefix("headers/") for name in archive.namelist() if name.startswith("headers/")}


def test_a_bundle_hands_out_no_header_that_was_not_released(service, alice, bob, court):
    sent = alice.send(alice.open_exchange(court), court)
    named = {item.member["header"]["sha256"] for item in sent.items}
    assert headers_in(export(bob, sent.matter, "bundle")) == set()
    assert headers_in(export(alice, sent.matter, "bundle")) == named
    bob.release(sent, items=[sent.items[0].id])
    assert headers_in(export(bob, sent.matter, "bundle")) == {sent.items[0].member["header"]["sha256"]}
    auditor = court.enrol("auditor")
    assert headers_in(export(auditor, sent.matter, "export")) == set()


def test_what_signers_say_they_saw_is_consistent_with_the_bundle(service, police, court, alice, bob):
    answer = service.http.get("/log/checkpoint")
    _, size, root = answer.text.split("\n")[:3]
    seen = {"size": int(size), "root": base64.b64decode(root).hex()}
    matter = alice.open_exchange(court)
    said = alice.act("exchange.closed", matter.handle, seen=seen)
    alice.post(f"/v1/exchanges/{matter.id}/close", said)
    report = service.verify(export(bob, matter, "bundle").content, police, court)
    assert {check.id: check.status.value for check in report.checks}["consistency"] == "pass"


# ---------------------------------------------------------------- registries


def test_a_registry_comes_whole_and_proven(service, alice, court):
    answer = alice.get(f"/v1/authorities/{court.id}/registry")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        lines = archive.read(f"registry/{court.id}/entries.jsonl").splitlines()
    assert [entries.parse(line).data for line in lines] == [each.data for each in service.entries(court.handle)][
        : len(lines)
    ]
    report = service.verify(answer.content, court)
    assert {check.id for check in report.checks if check.status.value == "fail"} == set()


def test_authorities_are_listed(alice, court):
    rows = alice.get("/v1/authorities").json()["authorities"]
    assert {"id": court.id, "name": f"Office {court.id}", "country": "NL", "suspended": False} in rows


def test_an_authority_that_is_not_here_has_no_registry(service, alice, court):
    alice.get("/v1/authorities/nobody/registry", 404)
    court.service.post(
        "/v1/authorities/nobody/registry",
        court.says("authority.suspended", {"authority": court.id}, reason="x"),
        expect=404,
    )


def test_only_the_authority_itself_speaks_in_its_registry(police, court, alice):
    said = court.says("authority.suspended", {"authority": court.id}, reason="x")
    police.lodge(said, 422)
    forged = statement.sign(said.payload, [police.key])
    court.lodge(forged, 422)
    by_principal = alice.act("principal.revoked", police.handle, {"principal": alice.id}, {"reason": "x"})
    police.lodge(by_principal, 422)


def test_a_first_enrolment_is_not_lodged_by_anybody(service, court):
    from tests.app.party import Authority

    stranger = Authority(service, "stranger")
    service.post("/v1/authorities/stranger/registry", stranger.founding(), expect=422)
    court.lodge(court.founding(), 422)


def test_a_key_is_registered_once_on_a_service(service, court):
    one, two = service.authority(), service.authority()
    first = Principal(one, ["sender"])
    one.lodge(first.enrolment())
    thief = Principal(two, ["sender"])
    thief.login = first.login
    assert two.lodge(thief.enrolment(), 409).json()["code"] == "state-conflict"


def test_a_key_is_rotated_and_the_old_one_signs_no_more(service, court):
    authority = service.authority()
    new = SigningKey.generate()
    fields = KeyRecord.of(new.public, use="authority", holder=authority.id).fields()
    members = {"action": "rotate", "key": fields, "replaces": authority.key.public.id}
    said = statement.sign(authority.common("key", authority.handle, **members), [authority.key, new])
    authority.lodge(said)
    authority.lodge(authority.says("authority.suspended", {"authority": authority.id}, reason="x"), 422)
    authority.key = new
    authority.enrol()
    assert service.events(authority.handle) == ["authority.enrolled", "key.rotated", "principal.enrolled"]


def test_what_is_lodged_twice_gives_one_entry(service):
    authority = service.authority()
    said = Principal(authority, ["sender"]).enrolment()
    first, again = authority.lodge(said), authority.lodge(said, 200)
    assert first.json()["record"]["entry"] == again.json()["record"]["entry"]
    assert token() not in service.events(authority.handle)
