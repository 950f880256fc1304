"""Statements: what is signed is what is read, and an id belongs to what was said."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import canonical, statement
from custody.canonical import NotCanonical
from custody.ed25519 import SignatureInvalid
from custody.errors import CustodyError
from custody.keys import SigningKey
from custody.kinds import KINDS, UnknownKind
from custody.schema import SchemaMismatch
from custody.statement import EnvelopeMalformed, SignatureMissing
from tests.custody.parties import Authority

POLICE = Authority("police.nl").enrolled()
SAID = POLICE.says("act", "ab" * 32, event="exchange.closed")


def reseal(change):
    outer = json.loads(SAID.envelope)
    change(outer)
    return canonical.dump(outer)


def test_parsing_gives_back_what_was_said():
    again = statement.parse(SAID.envelope)
    assert (again.id, again.payload, again.kind) == (SAID.id, SAID.payload, "act")
    again.verify(POLICE.voice.public)


def test_more_signatures_leave_the_id_and_change_the_envelope_hash():
    twice = statement.cosign(SAID, [SigningKey.generate()])
    assert twice.id == SAID.id
    assert twice.envelope_hash != SAID.envelope_hash


def test_the_pae_is_dsse():
    assert (
        statement.pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_key_that_did_not_sign_is_missed():
    with pytest.raises(SignatureMissing):
        SAID.verify(SigningKey.generate().public)


@pytest.mark.parametrize("alg", ["ed25519", "es256", "ml-dsa-65"])
def test_every_flipped_bit_of_a_signature_is_noticed(alg):
    key = SigningKey.generate(alg)
    signature = key.sign(b"text")
    key.public.verify(signature, b"text")
    for place in range(0, len(signature), max(1, len(signature) // 64)):
        forged = bytearray(signature)
        forged[place] ^= 1
        with pytest.raises(SignatureInvalid):
            key.public.verify(bytes(forged), b"text")


@given(st.integers(0, len(SAID.envelope) - 1), st.integers(0, 7))
def test_every_flipped_bit_of_an_envelope_is_noticed(place, bit):
    forged = bytearray(SAID.envelope)
    forged[place] ^= 1 << bit
    with pytest.raises(CustodyError):
        statement.parse(bytes(forged)).verify(POLICE.voice.public)


@given(st.binary(max_size=200))
def test_garbage_raises_typed_errors_only(data):
    with pytest.raises(CustodyError):
        statement.parse(data)


def _unsort(outer):
    outer["signatures"] = [*json.loads(statement.cosign(SAID, [SigningKey.generate()]).envelope)["signatures"]][::-1]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda outer: outer.update(extra=1), EnvelopeMalformed),
        (lambda outer: outer.pop("signatures"), EnvelopeMalformed),
        (lambda outer: outer.update(signatures=[]), EnvelopeMalformed),
        (lambda outer: outer.update(signatures=outer["signatures"] * 2), EnvelopeMalformed),
        (lambda outer: outer.update(signatures=outer["signatures"] * 5), EnvelopeMalformed),
        (_unsort, EnvelopeMalformed),
        (lambda outer: outer.update(payload=outer["payload"].rstrip("=") + "\n"), CustodyError),
        (lambda outer: outer.update(payloadType="application/vnd.rogatory.act.v2+json"), UnknownKind),
        (lambda outer: outer.update(payloadType="application/vnd.rogatory.receipt.v1+json"), SchemaMismatch),
        (lambda outer: outer["signatures"][0].update(keyid="AB" * 32), CustodyError),
        (lambda outer: outer.update(payload=base64.b64encode(SAID.body + b" ").decode()), NotCanonical),
    ],
)
def test_an_envelope_out_of_the_profile_is_refused(change, error):
    with pytest.raises(error):
        statement.parse(reseal(change))


def test_an_unknown_member_is_malformed_and_another_version_unsupported():
    with pytest.raises(SchemaMismatch):
        statement.sign(SAID.payload | {"extra": 1}, [POLICE.voice])
    with pytest.raises(UnknownKind):
        statement.sign(SAID.payload | {"v": 2}, [POLICE.voice])
    with pytest.raises(UnknownKind):
        statement.sign(SAID.payload | {"kind": "verdict"}, [POLICE.voice])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_the_common_members(kind):
    for member in ("v", "log", "chain", "time", "nonce", "signer"):
        payload = {name: value for name, value in SAID.payload.items() if name != member} | {"kind": kind}
        with pytest.raises(SchemaMismatch):
            KINDS[kind].check(payload)


def looked_at(envelope, monkeypatch):
    """What the thorough look says."""
    with monkeypatch.context() as patched:
        patched.setattr(statement, "_at_one_glance", lambda envelope: None)
        return outcome(envelope)


def outcome(envelope):
    try:
        return statement.parse(envelope)
    except CustodyError as error:
        return type(error)


def test_a_glance_suffices_for_an_ordinary_act(monkeypatch):
    assert statement._at_one_glance(SAID.envelope) == looked_at(SAID.envelope, monkeypatch) == SAID


def test_a_glance_never_accepts_what_a_closer_look_refuses(monkeypatch):
    @given(st.booleans(), st.data())
    def check(inside, data):
        forged = bytearray(SAID.body if inside else SAID.envelope)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(forged) - 1))
            match data.draw(st.sampled_from(["flip", "drop", "digit"])):
                case "flip":
                    forged[place] ^= 1 << data.draw(st.integers(0, 7))
                case "drop":
                    del forged[place]
                case _:
                    forged[place] = data.draw(st.sampled_from(b'09afz"\\,:{}[]-. AQgw='))
        envelope = bytes(forged)
        if inside:
            envelope = reseal(lambda outer: outer.update(payload=base64.b64encode(envelope).decode()))
        assert outcome(envelope) == looked_at(envelope, monkeypatch)

    check()
