"""What a lying sender, a thief of a key, or an operator with the log key tries on records, each by name."""

import io
import json
import secrets

import pytest

from custody import canonical, inventory, statement
from custody import entry as entries
from custody.canonical import NotCanonical
from custody.ed25519 import SignatureInvalid
from custody.entry import StatementMismatch
from custody.errors import CustodyError, UnsupportedError
from custody.exchange import Exchange
from custody.inventory import InventoryMalformed, InventoryReader
from custody.keys import KeyMalformed, KeyRecord, SigningKey
from custody.kinds import UnknownKind
from custody.registry import Registry, RegistryRuleBroken, SignerNotEntitled
from custody.schema import SchemaMismatch
from custody.statement import SignatureMissing
from tests.custody.parties import Authority
from tests.custody.test_exchange import COURT, GRID, POLICE, REGISTRIES, STRANGER, Case, digest, refused


@pytest.fixture
def police():
    return Authority("police.nl").enrolled()


def stuffed(said, key_id, signature=bytes(64)):
    """The envelope with one more line of signature, as anybody can write it."""
    rows = sorted([*said.signatures, (key_id, signature)])
    return statement.parse(statement._envelope(f"application/vnd.rogatory.{said.kind}.v1+json", said.body, rows))


# ------------------------------------------------------------ canonical JSON and schemas


@pytest.mark.parametrize("piece", [b"[]", b"{}", b'"aa"', b"1"])
def test_a_small_payload_cannot_become_a_huge_value(piece):
    with pytest.raises(NotCanonical):
        canonical.decode(b'{"a":[' + b",".join([piece] * 1_000_000) + b"]}")


@pytest.mark.parametrize("time", ["2026-02-30T10:00:00.000000Z", "2026-13-01T10:00:00.000000Z", "0000-01-01T00:00:00.000000Z",
                                  "2026-01-01T24:00:00.000000Z", "2026-01-01T23:59:60.000000Z"])  # fmt: skip
def test_a_time_that_no_calendar_has_is_no_time(police, time):
    with pytest.raises(SchemaMismatch):
        statement.sign(police.common("act", event="log.exported", time=time), [police.key])


def test_what_a_message_quotes_of_a_hostile_value_stays_short(police):
    for value in ("x" * 1_000_000, ["x"] * 100_000):
        with pytest.raises(SchemaMismatch) as caught:
            statement.sign(police.common("act", event=value), [police.key])
        assert len(str(caught.value)) < 300


# ------------------------------------------------------------ statements


@pytest.mark.parametrize(
    "members",
    [
        {"action": "revoke"},
        {"action": "add"},
        {"action": "rotate"},
        {"action": "revoke", "replaces": "ab" * 32},
        {"action": "revoke", "revokes": "ab" * 32, "replaces": "ab" * 32},
        {"action": "add", "revokes": "ab" * 32},
    ],
)
def test_a_key_statement_has_the_members_of_its_action(police, members):
    with pytest.raises(SchemaMismatch):
        statement.sign(police.common("key", **members), [police.key])


def test_an_enrolment_is_of_an_authority_or_of_a_principal(police):
    for more in ({"name": "Politie"}, {"recovery": police.recovery.public.id}):
        with pytest.raises(SchemaMismatch):
            statement.sign(police.enrolment().payload | more, [police.key])
    lacking = {name: value for name, value in police.founding().payload.items() if name != "country"}
    with pytest.raises(SchemaMismatch):
        statement.sign(lacking, [police.key])


def test_another_version_of_a_known_kind_is_unsupported_by_its_own_code(police):
    with pytest.raises(UnsupportedError) as caught:
        statement.sign(police.common("act", event="log.exported") | {"v": 2}, [police.key])
    assert caught.value.code == "unknown-version"
    assert isinstance(caught.value, UnknownKind)


# ------------------------------------------------------------ registries


def test_a_key_that_proved_no_possession_founds_nothing():
    victim, thief = Authority("police.nl"), Authority("police.nl")
    thief.identity = victim.identity
    thief.lodge("authority.enrolled", thief.founding())
    assert thief.registry.founders == {thief.key.public.id, thief.recovery.public.id}


@pytest.mark.parametrize("way", ["add", "rotate", "revoke"])
def test_a_thief_of_the_authority_key_cannot_touch_the_recovery_key(police, way):
    own = SigningKey.generate()
    record = KeyRecord.of(own.public, use="recovery", holder=police.id).fields()
    members = {
        "add": {"key": record},
        "rotate": {"key": record, "replaces": police.recovery.public.id},
        "revoke": {"revokes": police.recovery.public.id},
    }[way]
    event = {"add": "key.added", "rotate": "key.rotated", "revoke": "key.revoked"}[way]
    said = police.key_statement(way, [police.key] if way == "revoke" else [police.key, own], **members)
    with pytest.raises(RegistryRuleBroken):
        police.lodge(event, said)


def test_a_recovery_key_is_rotated_by_itself(police):
    own = SigningKey.generate()
    record = KeyRecord.of(own.public, use="recovery", holder=police.id).fields()
    said = police.key_statement("rotate", [police.recovery, own], key=record, replaces=police.recovery.public.id)
    police.lodge("key.rotated", said, key=police.recovery.public.id)
    old = police.registry_act("authority.suspended", {"authority": police.id}, {"reason": "x"}, [police.recovery])
    with pytest.raises(SignerNotEntitled):
        police.lodge("authority.suspended", old)
    new = police.registry_act("authority.suspended", {"authority": police.id}, {"reason": "x"}, [own])
    police.lodge("authority.suspended", new)
    assert not police.registry.active()


def test_a_statement_counts_once_in_its_chain(police):
    granted = police.registry_act("role.granted", {"principal": police.principal}, {"role": "validator"})
    police.lodge("role.granted", granted)
    police.lodge(
        "role.ended", police.registry_act("role.ended", {"principal": police.principal}, {"role": "validator"})
    )
    with pytest.raises(RegistryRuleBroken):
        police.lodge("role.granted", granted)


def test_a_wrong_signature_by_a_key_the_registry_knows_fails_whoever_else_signed(police):
    said = police.registry_act("role.ended", {"principal": police.principal}, {"role": "sender"})
    with pytest.raises(SignatureInvalid):
        police.lodge("role.ended", stuffed(said, police.recovery.public.id))
    with pytest.raises(SignatureInvalid):
        police.lodge("role.ended", stuffed(said, police.login.public.id))
    acted = police.says("act", "ab" * 32, event="log.exported", detail={"form": "export"})
    asked = police.registry.signers(stuffed(acted, police.key.public.id), event="log.exported", at=9)
    assert {key.id for key in asked} == {police.voice.public.id, police.key.public.id}


def test_a_signature_by_a_key_that_comes_later_or_never_is_no_part_of_the_answer(police):
    later = SigningKey.generate()
    acted = police.says("act", "ab" * 32, event="log.exported", detail={"form": "export"})
    acted = stuffed(stuffed(acted, later.public.id), police.identity.recipient.key_id)
    record = KeyRecord.of(later.public, use="authority", holder=police.id)
    police.lodge(
        "key.added", police.key_statement("add", [police.key, later], key=record.fields()), key=police.key.public.id
    )
    assert [key.id for key in police.registry.signers(acted, event="log.exported", at=3)] == [police.voice.public.id]


def test_an_operator_cannot_name_a_key_that_does_not_speak_for_the_signer(police):
    said = stuffed(police.registry_act("role.ended", {"principal": police.principal}, {"role": "sender"}), "ff" * 32)
    with pytest.raises(StatementMismatch):
        police.lodge("role.ended", said, key="ff" * 32)


def test_a_principal_cannot_found_an_authority():
    police = Authority("police.nl")
    payload = police.founding().payload
    payload["signer"] = {"authority": police.id, "principal": police.principal}
    with pytest.raises(RegistryRuleBroken):
        police.lodge("authority.enrolled", statement.sign(payload, [police.key, police.recovery]))


def test_a_founding_enrolment_brings_no_keys_of_principals():
    police = Authority("police.nl")
    payload = police.founding().payload
    record = KeyRecord.of(police.voice.public, use="statement", holder=police.principal).fields()
    payload["keys"] = sorted([*payload["keys"], record], key=lambda row: row["id"])
    said = statement.sign(payload, [police.key, police.recovery, police.voice])
    with pytest.raises(RegistryRuleBroken):
        police.lodge("authority.enrolled", said, key=police.key.public.id)


def test_nothing_is_given_to_a_revoked_principal(police):
    police.lodge(
        "principal.revoked",
        police.registry_act("principal.revoked", {"principal": police.principal}, {"reason": "left"}),
    )
    with pytest.raises(RegistryRuleBroken):
        police.lodge(
            "role.granted", police.registry_act("role.granted", {"principal": police.principal}, {"role": "validator"})
        )
    key = SigningKey.generate()
    record = KeyRecord.of(key.public, use="statement", holder=police.principal).fields()
    with pytest.raises(RegistryRuleBroken):
        police.lodge("key.added", police.key_statement("add", [police.key, key], key=record), key=police.key.public.id)


def test_a_refused_entry_leaves_the_registry_as_it_was(police):
    own = SigningKey.generate()
    record = KeyRecord.of(own.public, use="statement", holder=secrets.token_hex(16)).fields()
    said = police.key_statement("rotate", [police.key, own], key=record, replaces=police.voice.public.id)
    with pytest.raises(RegistryRuleBroken):
        police.lodge("key.rotated", said)
    assert [found.id for found in police.registry.keys(use="statement")] == [police.voice.public.id]


def test_a_registry_does_not_begin_behind_a_gap():
    police = Authority("police.nl")
    said = police.founding()
    made = police.chain.add("authority.enrolled", said)
    late = made._replace(seq=1)
    with pytest.raises(RegistryRuleBroken):
        Registry("police.nl").apply(late, said, index=1)


# ------------------------------------------------------------ exchanges


def test_an_act_counts_once_in_an_exchange():
    case = Case().declared()
    said = POLICE.says("act", case.handle, event="log.exported", detail={"form": "export"})
    case.take("log.exported", said)
    refused(case.take, "log.exported", said)


def test_an_exchange_is_not_opened_by_a_statement_of_another_kind_or_event():
    case = Case().sealed()
    opening = case.chain.entries[0]
    other = POLICE.says("act", case.handle, event="exchange.closed")
    for said in (case.said, other):
        with pytest.raises(CustodyError):
            Exchange().apply(opening, said, index=1, registries=REGISTRIES)
    with pytest.raises(CustodyError):
        case.rules.apply(case.chain.entries[-1], other, index=999, registries=REGISTRIES)


def test_an_operator_cannot_name_anothers_key_in_an_exchange():
    case = Case().opened()
    said = POLICE.says("act", case.handle, event="log.exported", detail={"form": "export"})
    said = stuffed(said, COURT.voice.public.id)
    with pytest.raises(StatementMismatch):
        case.take("log.exported", said, key=COURT.voice.public.id)


def test_a_party_is_added_once():
    case = Case().opened()
    refused(case.act, POLICE, "party.added", {"authority": "court.fr"}, {"as": "party"})
    refused(case.act, POLICE, "party.added", {"authority": "court.fr"}, {"as": "auditor"})
    case.act(POLICE, "party.added", {"authority": "other.xx"}, {"as": "auditor"})
    refused(case.act, POLICE, "party.added", {"authority": "other.xx"}, {"as": "auditor"})
    case.act(POLICE, "party.added", {"authority": "other.xx"}, {"as": "party"})


def test_an_item_arrives_once_and_none_stands_in_a_package_unsaid():
    case = Case().uploaded()
    noted = {"size": 100, "part_size": GRID, "parts": digest("late")}
    refused(case.take, "upload.completed", subject={"package": case.package, "item": case.item}, noted=noted)
    case.take("upload.completed", subject={"package": case.package, "item": secrets.token_hex(16)}, noted=noted)
    refused(case.take, "package.sealed", case.manifest())
    assert case.rules.packages[case.package].manifest is None


def test_a_header_leaves_only_of_an_item_that_the_grant_has_and_while_it_lasts():
    case = Case().sealed()
    refused(
        case.act,
        COURT,
        "key.released",
        {"package": case.package},
        {"grant": case.said.id, "items": [secrets.token_hex(16)]},
    )
    header = {"size": 200, "sha256": digest("again")}
    recipients = [{"authority": "court.fr", "keys": [COURT.identity.recipient.key_id]}]
    for until, step in (
        ("2026-11-22T09:59:59.999999Z", refused),
        ("2026-11-22T10:00:00.000000Z", lambda act, *more: act(*more)),
    ):
        said = POLICE.says("grant", case.handle, manifest=case.said.id, sealing="x25519", recipients=recipients, until=until,
                           items=[{"id": case.item, "header": header}])  # fmt: skip
        case.take("grant.added", said, subject={"package": case.package})
        step(case.act, COURT, "key.released", {"package": case.package}, {"grant": said.id})
        refused(
            case.act, COURT, "key.released", {"package": case.package}, {"grant": said.id, "items": [case.inventory]}
        )


def test_a_download_closes_once_and_as_what_was_opened():
    case = Case().sealed()
    opened = case.act(COURT, "download.opened", {"package": case.package, "item": case.item}, purpose="investigation")
    noted = {"bytes": 100, "opened": opened.hash.hex(), "outcome": "closed"}
    refused(case.take, "download.closed", subject={"package": case.package, "item": case.inventory}, noted=noted)
    case.take("download.closed", subject={"package": case.package, "item": case.item}, noted=noted)
    refused(case.take, "download.closed", subject={"package": case.package, "item": case.item}, noted=noted)


def test_a_receipt_and_a_withdrawal_name_the_manifest_and_not_a_grant():
    case = Case().sealed()
    recipients = [{"authority": "court.fr", "keys": [COURT.identity.recipient.key_id]}]
    items = [{"id": case.item, "header": {"size": 200, "sha256": digest("again")}}]
    grant = POLICE.says(
        "grant", case.handle, manifest=case.said.id, sealing="x25519", recipients=recipients, items=items
    )
    case.take("grant.added", grant, subject={"package": case.package})
    refused(case.receipt, manifest=grant.id)
    said = POLICE.says("withdrawal", case.handle, manifest=grant.id, reason="mistake")
    refused(case.take, "package.withdrawn", said, subject={"package": case.package})


def test_a_duty_after_delivery_needs_a_delivery_and_an_answer_needs_a_demand():
    case = Case().uploaded()
    demand = POLICE.says("restriction", case.handle, package=case.package, measure="recall", reason="court_order")
    refused(case.take, "package.recalled", demand)
    case.said = case.manifest()
    case.take("package.sealed", case.said)

    def destroyed(who, answers):
        return case.take(
            "package.destroyed",
            who.says("destruction", case.handle, package=case.package, answers=answers, outcome="destroyed"),
        )

    refused(destroyed, COURT, demand.id)
    case.take("package.recalled", demand)
    refused(destroyed, POLICE, demand.id)
    refused(destroyed, COURT, case.said.id)
    destroyed(COURT, demand.id)


def test_a_registry_that_is_not_at_hand_is_told():
    case = Case().uploaded()
    said = case.manifest()
    made = case.chain.add("package.sealed", said)
    case.rules.apply(made, said, index=999, registries={"police.nl": POLICE.registry})
    assert case.rules.unchecked == {"court.fr"}
    assert STRANGER.id not in case.rules.unchecked


# ------------------------------------------------------------ inventories and keys


@pytest.mark.parametrize("more", [{"size": 0}, {"sha256": "ab" * 32}, {"blake3": "ab" * 32}])
def test_a_directory_has_neither_size_nor_digests(more):
    head = {"v": 1, "kind": "inventory", "package": "ab" * 16, "count": 1, "salt": "cd" * 32}
    line = {"type": "directory", "path": "a", "salt": "ef" * 32} | more
    data = b"".join(canonical.encode(row) + b"\n" for row in (head, line))
    with pytest.raises(InventoryMalformed):
        list(InventoryReader(io.BytesIO(data)).lines())


def test_a_claimed_count_costs_nothing():
    head = {"v": 1, "kind": "inventory", "package": "ab" * 16, "count": 2**53 - 1, "salt": "cd" * 32}
    reader = inventory.InventoryReader(io.BytesIO(canonical.encode(head) + b"\n"))
    with pytest.raises(InventoryMalformed):
        list(reader.lines())


def test_no_signature_of_any_length_raises_anything_else():
    for alg in ("ed25519", "es256", "ml-dsa-65"):
        key = SigningKey.generate(alg).public
        for signature in (b"", bytes(64), b"\xff" * 64, bytes(3309), b"x" * 100_000):
            with pytest.raises(SignatureInvalid):
                key.verify(signature, b"text")


def test_a_second_spelling_of_a_public_key_is_refused():
    key = SigningKey.generate("es256").public
    point = key._key.public_numbers()
    packed = bytes([2 + (point.y & 1)]) + point.x.to_bytes(32, "big")
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    with pytest.raises(KeyMalformed):
        KeyRecord.parse(
            KeyRecord.of(key, use="login", holder="ab" * 16).fields() | {"public": statement.to_base64(head + packed)}
        )


def test_a_missing_proof_is_still_missing_beside_others(police):
    key = SigningKey.generate()
    record = KeyRecord.of(key.public, use="authority", holder=police.id).fields()
    with pytest.raises(SignatureMissing):
        police.lodge("key.added", police.key_statement("add", [police.key], key=record))


def test_the_bytes_of_an_entry_are_bounded(police):
    said = police.registry_act("role.ended", {"principal": police.principal}, {"role": "sender"})
    with pytest.raises(CustodyError):
        entries.parse(json.dumps(said.payload).encode() + b" " * entries.MAX_ENTRY)
