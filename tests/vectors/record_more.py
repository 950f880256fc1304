"""More single facts of records: for each refusal that no other vector misses, one that does."""

import hashlib
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests import reference as ref
from tests import reference_records as rec
from tests.vectors.record_chains import POLICE, Exchanges, Registries, by_id

HANDLE = "ab" * 32
VOICE = rec.Key("voice")
SIGNER = {"authority": "police.nl", "principal": rec.word("principal", 16).hex()}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def write(v):
    values(v)
    envelopes(v)
    payloads(v)
    keys(v)
    signatures(v)
    entries(v)
    registries(v)
    exchanges(v)


def act(**members):
    return rec.common("act", HANDLE, SIGNER, "act", event="log.exported", detail={"form": "bundle"}) | members


def values(v):
    for name, value in {"half-a-word": b"tru", "another-word": b"trux", "half-a-no": b"fals}"}.items():
        data = {"hex": (b'{"a":' + value + b"}").hex()}
        v.add(f"canonical-value-{name}", "canonical", "neither true nor false", data, "not-canonical")


def envelopes(v):
    good = rec.Said(act(), [VOICE])
    outer = json.loads(good.envelope)
    row = outer["signatures"][0]
    for name, about, change in [
        ("with-a-number-as-type", "a string", {"payloadType": 1}),
        ("with-a-string-as-signature", "an object", {"signatures": ["x"]}),
        ("with-a-number-as-key-id", "a string", {"signatures": [row | {"keyid": 1}]}),
        ("with-a-number-as-sig", "a string", {"signatures": [row | {"sig": 1}]}),
    ]:
        data = {"envelope": rec.canonical(outer | change).decode()}
        v.add(f"statement-{name}", "statement", about, data, "envelope-malformed")


def payloads(v):
    def case(name, about, payload, expect="schema"):
        said = rec.Said(payload, [VOICE])
        v.add(f"statement-{name}", "statement", about, {"envelope": said.envelope.decode()}, expect)

    case("with-a-number-as-nonce", "hex is text", act(nonce=5))
    case("with-a-number-as-time", "a time is text", act(time=5))
    case("of-a-version-in-a-list", "no integer", act(v=[1]))
    case("with-a-string-as-signer", "an object", act(signer="police.nl"))
    case("with-a-string-as-detail", "an object", act(detail="bundle"))
    enrolment = POLICE.enrolment()
    case("of-an-enrolment-with-a-number-as-keys", "an array", enrolment | {"keys": 5})
    case("of-an-enrolment-of-an-unknown-role", "one member of a list", enrolment | {"principal": enrolment["principal"] | {"roles": ["king"]}})  # fmt: skip
    case("of-an-enrolment-with-roles-out-of-order", "ascending", enrolment | {"principal": enrolment["principal"] | {"roles": ["sender", "receiver"]}})  # fmt: skip
    exchange = Exchanges(v)
    item, inventory = exchange.row(exchange.item), exchange.row(exchange.inventory)
    for name, about, change in [
        ("of-a-size-that-no-body-has", "a chunk of its mark alone", {"size": 16 + 65552 + 16}),
        ("of-too-many-parts", "10,001 of them", {"size": 10_000 * 2**24 + 2**16}),
    ]:
        for what, members in [("an-item", {"items": [item | change]}), ("an-inventory", {"inventory": inventory | change})]:  # fmt: skip
            case(f"of-{what}-{name}", about, exchange.manifest(**members).payload, "manifest-malformed")
    dated = POLICE.founding(name="2026-11-22T1Z")
    said = rec.Said(dated, [POLICE.key, POLICE.recovery])
    output = {"id": said.id, "envelope": rec.digest(said.envelope)}
    v.add("statement-of-an-authority-named-like-a-time", "statement", "a name is no time", {"envelope": said.envelope.decode()}, output=output)  # fmt: skip


def keys(v):
    def case(name, about, spki, alg, use="login", holder=SIGNER["principal"]):  # noqa: PLR0917
        row = {"id": rec.digest(spki), "alg": alg, "use": use, "holder": holder, "public": ref.b64(spki)}
        v.add(f"key-{name}", "key", about, {"record": row}, "key-malformed")

    agreed = X25519PrivateKey.from_private_bytes(rec.word("agreed")).public_key().public_bytes_raw()
    case("of-x25519", "it signs nothing", bytes.fromhex("302a300506032b656e032100") + agreed, "ed25519", "statement")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    curve = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    case("of-another-curve", "P-384", curve.public_bytes(serialization.Encoding.DER, form), "es256")


def signatures(v):
    """What only the bounds of ECDSA refuse: s + n adds up like s."""
    said = rec.Said(act(), [])
    number = int.from_bytes(hashlib.sha256(said.pae).digest(), "big")
    nonce, s = 0x1234567890ABCDEF, 12_345
    r = ec.derive_private_key(nonce, ec.SECP256R1()).public_key().public_numbers().x % ORDER
    secret = (s * nonce - number) * pow(r, -1, ORDER) % ORDER
    key = rec.Key("small s", "es256")
    key.private = ec.derive_private_key(secret, ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key.spki = key.private.public_key().public_bytes(serialization.Encoding.DER, form)
    key.id, key.public = rec.digest(key.spki), ref.b64(key.spki)
    for name, about, first, second, expect in [
        ("small", "both numbers in their bounds", r, s, "ok"),
        ("with-s-above-the-order", "s + n in the place of s", r, s + ORDER, "signature-invalid"),
        ("with-r-of-zero", "a number from 1", 0, s, "signature-invalid"),
        ("with-s-of-zero", "a number from 1", r, 0, "signature-invalid"),
    ]:
        raw = first.to_bytes(32, "big") + second.to_bytes(32, "big")
        data = {"envelope": said.with_rows([(key.id, ref.b64(raw))]).envelope.decode(), "key": key.public}
        v.add(f"signature-es256-{name}", "signature", about, data, expect)


def entries(v):
    chain = rec.Chain(HANDLE)
    chain.add("log.exported", rec.Said(act(), [VOICE]))
    entry = chain.steps[0]["entry"].replace('"event":"log.exported"', '"event":"Log Exported"')
    v.add("entry-of-an-event-that-is-no-name", "entry", "malformed, not unknown", {"entry": entry}, "schema")
    row = rec.record(rec.Key("ed"), "authority", "police.nl") | {"owner": "x"}
    v.add("key-with-an-unknown-member", "key", "closed", {"record": row}, "schema")
    subject = {"package": "ab" * 16}
    for name, about, more in [("with-a-detail-of-none", "that event has none", {"detail": {"form": "bundle"}})]:
        payload = rec.common("act", HANDLE, SIGNER, "act", event="download.opened", subject=subject, **more)
        said, chain = rec.Said(payload, [VOICE]), rec.Chain(HANDLE)
        chain.add("download.opened", said, subject=subject)
        data = {"entry": chain.steps[0]["entry"], "envelope": said.envelope.decode()}
        v.add(f"match-{name}", "match", about, data, "schema")


def registries(v):
    made = Registries(v)
    empty, about, key = rec.Chain(POLICE.handle), {"authority": POLICE.id}, POLICE.key
    founding = rec.Said(POLICE.founding(), [key, POLICE.recovery])
    made.case("founded-at-seq-1", "entry 0 was taken away", "authority.enrolled", founding, about, chain=empty, seq=1)
    person = {"principal": POLICE.principal}
    enrolment = rec.Said(POLICE.enrolment(), [key, POLICE.voice, POLICE.login])
    made.case("founded-by-an-enrolment-of-a-principal", "an authority's is needed", "authority.enrolled", enrolment, person, "schema", chain=empty, actor={"authority": POLICE.id, "key": key.id})  # fmt: skip
    chain = POLICE.registry()
    spare = [rec.Key("spare key"), rec.Key("spare recovery"), rec.Recipient("spare age")]
    rows = [rec.record(each, use, POLICE.id) for each, use in zip(spare, ("authority", "recovery", "encryption"), strict=True)]  # fmt: skip
    again = rec.Said(POLICE.founding(keys=by_id(rows), recovery=spare[1].id), [key, *spare[:2]])
    made.case("with-a-principal-enrolled-as-an-authority", "a principal's is needed", "principal.enrolled", again, about, "schema", chain=chain, actor={"authority": POLICE.id, "key": key.id})  # fmt: skip
    tool, door, new = rec.Key("tool"), rec.Key("door", "es256"), "cd" * 16
    lone, other = rec.record(tool, "statement", new), rec.record(door, "login", "ef" * 16)
    for name, why, payload, signers in [
        ("without-a-login-key", "one of each", POLICE.enrolment(new, keys=[lone]), [key, tool]),
        (
            "with-a-key-of-another",
            "both are its own",
            POLICE.enrolment(new, keys=by_id([lone, other])),
            [key, tool, door],
        ),
    ]:
        own = payload | {"principal": payload["principal"] | {"id": new}}
        made.case(f"with-a-principal-{name}", why, "principal.enrolled", rec.Said(own, signers), {"principal": new}, actor={"authority": POLICE.id, "key": key.id})  # fmt: skip
    for use, held in [("statement", POLICE.id), ("login", POLICE.id), ("authority", "cd" * 16)]:
        bearer = rec.Key("bearer", "es256" if use == "login" else "ed25519")
        payload = POLICE.about_key("add", key=rec.record(bearer, use, held))
        made.case(f"with-a-key-for-{use}-of-another-holder", "persons log in and speak, authorities do the rest", "key.added", rec.Said(payload, [key, bearer]), {"key": bearer.id}, actor={"authority": POLICE.id, "key": key.id})  # fmt: skip


def exchanges(v):
    made = Exchanges(v)
    chain, other = made.opened(), {"authority": "other.xx"}
    for _ in range(2):
        made.step(chain, POLICE, "party.added", {"as": "auditor"}, other)
    made.case("with-an-auditor-added-twice", "rule 2", chain)
