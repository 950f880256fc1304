"""Write tests/vectors/records: one fact a file, from the reference alone.

Run from the checkout: `python tests/vectors/generate_records.py`. Nothing is random. Replays of registries and
exchanges come from record_chains.py.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import reference as ref
from tests import reference_records as rec
from tests.vectors import record_chains, record_more

HERE = Path(__file__).parent
HANDLE = "ab" * 32
PRINCIPAL = rec.word("principal", 16).hex()
SIGNER = {"authority": "police.nl", "principal": PRINCIPAL}
VOICE, OTHER = rec.Key("voice"), rec.Key("other")


class Vectors(dict):
    def add(self, name, op, about, data, expect="ok", output=None):  # noqa: PLR0917
        if name in self:
            raise ValueError(f"two vectors are named {name}")
        vector = {"about": about, "op": op, "input": data, "expect": expect}
        if output is not None:
            vector["output"] = output
        self[name] = vector


# ------------------------------------------------------------ canonical JSON
def canonical_json(v):
    def case(name, about, data, expect="not-canonical"):
        v.add(f"canonical-{name}", "canonical", about, {"hex": data.hex()}, expect)

    everything = {
        "a": -(2**53 - 1),
        "b": 2**53 - 1,
        "c": [True, False, [], {}],
        "d": '\0\b\t\n\x0b\f\r\x1f"\\/\x7f',
        "e": "\u2028\U0001f600é",
    }
    case("of-everything-allowed", "each type, each escape, nothing else escaped", rec.canonical(everything), "ok")
    case("of-nothing", "the empty object", b"{}", "ok")
    case("of-eight-levels", "the top level is the first", b'{"a":' + b"[" * 7 + b"]" * 7 + b"}", "ok")
    case("of-a-key-of-64", "the longest key", rec.canonical({"a" * 64: 1}), "ok")
    case("not-normalised", "a combining accent stays as it is", rec.canonical({"a": "e\u0301"}), "ok")
    for name, number in {
        "1.0": "1.0", "minus-zero": "-0", "minus-0.0": "-0.0", "an-exponent": "1e2", "a-leading-zero": "01", "a-plus": "+1",
        "a-point-before": ".5", "two-to-the-53": "9007199254740992", "two-to-the-53-plus-1": "9007199254740993",
        "minus-two-to-the-53": "-9007199254740992", "two-to-the-64": "18446744073709551616", "nan": "NaN",
        "infinity": "Infinity", "a-thousand-digits": "1" * 1000,
    }.items():  # fmt: skip
        case(f"number-{name}", "another number token", b'{"a":' + number.encode() + b"}")
    for name, value in {
        "null": b"null", "single-quotes": b"'a'", "escaped-letter": b'"\\u0061"', "escaped-slash": b'"\\/"',
        "upper-case-escape": b'"\\u001F"', "long-escape": b'"\\u000a"', "raw-control": b'"\n"', "a-comma-after": b"[1,]",
        "lone-surrogate-escaped": b'"\\ud800"', "pair-escaped": b'"\\ud83d\\ude00"', "lone-surrogate-written": b'"\xed\xa0\x80"',
        "latin-1": b'"\xe9"', "overlong": b'"\xc0\xaf"', "beyond-unicode": b'"\xf4\x90\x80\x80"', "a-comment": b"1/**/",
        "nine-levels": b"[" * 8 + b"]" * 8, "a-thousand-levels": b"[" * 1000 + b"]" * 1000,
    }.items():  # fmt: skip
        case(f"value-{name}", "not a value of the profile, or not its spelling", b'{"a":' + value + b"}")
    for name, text in {
        "empty": b"", "array": b"[]", "string": b'"a"', "number": b"1", "a-duplicate-key": b'{"a":1,"a":1}',
        "a-duplicate-key-of-other-value": b'{"a":1,"a":2}', "keys-out-of-order": b'{"b":1,"a":2}', "a-space": b'{"a": 1}',
        "a-line-feed-after": b'{"a":1}\n', "a-space-before": b' {"a":1}', "a-mark-before": b'\xef\xbb\xbf{"a":1}',
        "another-after": b'{"a":1}{}', "a-nul-after": b'{"a":1}\0', "utf-16": '{"a":1}'.encode("utf-16-le"), "cut": b'{"a":1',
        "proto-as-key": b'{"__proto__":1}', "an-upper-case-key": b'{"A":1}', "a-digit-first-in-a-key": b'{"1":1}', "an-empty-key": b'{"":1}',
        "a-key-of-65": rec.canonical({"a" * 65: 1}), "a-key-with-a-dash": b'{"a-b":1}', "an-accent-in-a-key": '{"é":1}'.encode(),
        "an-escaped-key": b'{"\\u0061":1}',
    }.items():  # fmt: skip
        case(f"text-{name}", "not one object in its one spelling", text)


# ------------------------------------------------------------ statements
def act(**members):
    return rec.common("act", HANDLE, SIGNER, "act", event="log.exported", detail={"form": "bundle"}) | members


def envelopes(v):
    def case(name, about, said, expect="envelope-malformed"):
        data = said if isinstance(said, bytes) else said.envelope
        output = {"id": said.id, "envelope": rec.digest(said.envelope)} if expect == "ok" else None
        v.add(f"statement-{name}", "statement", about, {"envelope": data.decode()}, expect, output)

    good = rec.Said(act(), [VOICE])
    case("good", "its id is the digest of what was signed", good, "ok")
    both = rec.Said(act(), [VOICE, OTHER])
    case("of-two-signatures", "the same id, another envelope", both, "ok")
    case("with-signatures-out-of-order", "not ascending by key id", both.with_rows(both.rows[::-1]))
    case("with-one-key-twice", "none twice", good.with_rows(good.rows * 2))
    case("without-signatures", "at least one", good.with_rows([]))
    five = [(rec.word(str(n)).hex(), good.rows[0][1]) for n in range(5)]
    case("of-five-signatures", "at most four", good.with_rows(sorted(five)))
    case("with-a-short-key-id", "full ids only", good.with_rows([(VOICE.id[:16], good.rows[0][1])]), "text-malformed")
    case(
        "with-an-upper-case-key-id",
        "lower case",
        good.with_rows([(VOICE.id.upper(), good.rows[0][1])]),
        "text-malformed",
    )
    case(
        "with-a-signature-without-padding",
        "base64 has one spelling",
        good.with_rows([(VOICE.id, good.rows[0][1].rstrip("="))]),
        "text-malformed",
    )
    outer = json.loads(good.envelope)
    case("with-a-member-more", "exactly three", rec.canonical(outer | {"extra": 1}))
    case(
        "with-a-member-less", "exactly three", rec.canonical({name: outer[name] for name in ("payload", "payloadType")})
    )
    case("with-a-number-as-payload", "a string", rec.canonical(outer | {"payload": 1}))
    case("with-an-object-as-signatures", "an array", rec.canonical(outer | {"signatures": {}}))
    case(
        "with-a-member-more-in-a-signature",
        "exactly keyid and sig",
        rec.canonical(outer | {"signatures": [outer["signatures"][0] | {"cert": "x"}]}),
    )
    case(
        "with-a-line-feed-in-the-payload",
        "lenient decoders take it",
        rec.canonical(outer | {"payload": outer["payload"] + "\n"}),
        "text-malformed",
    )
    case(
        "in-url-base64",
        "another alphabet",
        rec.canonical(outer | {"payload": outer["payload"].replace("=", "") + "-_=="}),
        "text-malformed",
    )
    text = good.rows[0][1].rstrip("=")
    stray = text[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-1]] + "=="
    case(
        "with-stray-bits-in-a-signature", "unused bits are zero", good.with_rows([(VOICE.id, stray)]), "text-malformed"
    )
    case(
        "spelled-with-a-space",
        "the envelope is canonical too",
        good.envelope.replace(b'":', b'": ', 1),
        "not-canonical",
    )
    case(
        "whose-payload-has-a-space",
        "the payload is canonical",
        rec.Said(act(), [VOICE], body=good.body + b" "),
        "not-canonical",
    )
    case(
        "of-version-2-by-its-type",
        "unsupported, not malformed",
        rec.canonical(outer | {"payloadType": "application/vnd.rogatory.act.v2+json"}),
        "unknown-kind",
    )
    case("of-an-unknown-kind", "unsupported", rec.Said(act(kind="verdict"), [VOICE]), "unknown-kind")
    case(
        "of-another-maker",
        "unsupported",
        rec.canonical(outer | {"payloadType": "application/vnd.in-toto+json"}),
        "unknown-kind",
    )
    case("of-version-2", "unsupported, not malformed", rec.Said(act(v=2), [VOICE]), "unknown-version")
    case("of-version-true", "no integer", rec.Said(act(v=True), [VOICE]), "schema")
    case("under-another-type", "kind and type are one", rec.Said(act(), [VOICE], kind="approval"), "schema")
    payloads(case)


def payloads(case):
    def schema(name, about, **members):
        case(name, about, rec.Said({x: y for x, y in (act() | members).items() if y is not None}, [VOICE]), "schema")

    for member in ("v", "log", "chain", "time", "nonce", "signer", "event"):
        schema(f"without-{member}", "required", **{member: None})
    schema("with-an-unknown-member", "an unknown member of a known thing is malformed", extra="x")
    schema("with-an-empty-detail", "absent, never empty", detail={})
    schema("with-an-upper-case-handle", "lower-case hex", chain="AB" * 32)
    schema("with-a-short-nonce", "16 bytes", nonce="ab" * 15)
    schema("with-a-time-without-fraction", "one spelling of time", time="2026-11-22T10:00:00Z")
    schema("with-a-time-of-another-zone", "UTC only", time="2026-11-22T10:00:00.000000+00:00")
    schema("with-a-time-that-no-calendar-has", "the 30th of February", time="2026-02-30T10:00:00.000000Z")
    schema("with-a-leap-second", "no minute has 61 seconds here", time="2026-12-31T23:59:60.000000Z")
    schema("in-the-name-of-the-service", "the service signs no statement", signer={"authority": "@service"})
    schema("of-an-authority-in-upper-case", "lower case", signer={"authority": "Police.NL", "principal": PRINCIPAL})
    schema("that-has-seen-an-empty-log", "size at least 1", seen={"size": 0, "root": "ab" * 32})
    schema("with-a-code-of-free-text", "free text has no place", purpose="For the case of Mr X")
    forms = {"add": {"revokes": "ab" * 32}, "revoke": {"replaces": "ab" * 32}, "rotate": {"replaces": "ab" * 32}}
    for action, members in forms.items():
        payload = rec.common("key", HANDLE, {"authority": "police.nl"}, action, action=action, **members)
        case(
            f"of-a-key-to-{action}-without-its-members",
            "exactly those of the action",
            rec.Said(payload, [VOICE]),
            "schema",
        )
    keys = [rec.record(VOICE, "statement", PRINCIPAL)]
    mixed = rec.common("enrolment", HANDLE, {"authority": "police.nl"}, "mixed", keys=keys, name="Politie")
    mixed["principal"] = {"id": PRINCIPAL, "type": "client", "roles": ["sender"]}
    case("of-an-enrolment-of-both-forms", "an authority or a principal", rec.Said(mixed, [VOICE]), "schema")


def signatures(v):
    def case(name, about, said, key, expect):
        data = {"envelope": said.envelope.decode(), "key": key.public}
        v.add(f"signature-{name}", "signature", about, data, expect)

    for alg in ("ed25519", "es256"):
        key = rec.Key(f"signer-{alg}", alg)
        good = rec.Said(act(), [key])
        raw = ref.base64.b64decode(good.rows[0][1])
        case(f"{alg}-good", "over the PAE", good, key, "ok")
        case(
            f"{alg}-flipped",
            "one bit",
            good.with_rows([(key.id, ref.b64(raw[:-1] + bytes([raw[-1] ^ 1])))]),
            key,
            "signature-invalid",
        )
        case(f"{alg}-cut", "one byte short", good.with_rows([(key.id, ref.b64(raw[:-1]))]), key, "signature-invalid")
        over = good.with_rows([(key.id, ref.b64(key.sign(good.body)))])
        case(f"{alg}-over-the-payload-alone", "the type is signed too", over, key, "signature-invalid")
        moved = rec.Said(act(nonce="cd" * 16), [], rows=good.rows)
        case(f"{alg}-of-another-statement", "a nonce apart", moved, key, "signature-invalid")
        case(f"{alg}-of-nobody-asked", "another key signed", rec.Said(act(), [OTHER]), key, "signature-missing")


# ------------------------------------------------------------ entries
def entries(v):
    said = rec.Said(act(), [VOICE])

    def entry(name, about, expect="ok", *, event="log.exported", by=said, raw=None, **changes):
        chain = rec.Chain(HANDLE)
        chain.add(event, by, **changes)
        data = raw(chain.steps[0]["entry"]) if raw else chain.steps[0]["entry"]
        output = {"hash": rec.digest(data.encode())} if expect == "ok" else None
        v.add(f"entry-{name}", "entry", about, {"entry": data}, expect, output)

    entry("of-a-party", "its hash is that of its bytes")
    noted = {"part_size": 2**24, "parts": "ab" * 32, "size": 100}
    about = {"package": "ab" * 16, "item": "cd" * 16}
    entry("of-the-service", "without statement", event="upload.completed", by=None, subject=about, noted=noted)
    entry("of-version-2", "unsupported", "unknown-version", v=2)
    entry("of-version-true", "no integer", "schema", v=True)
    entry("of-an-unknown-event", "unsupported", "unknown-event", event="package.opened")
    entry("with-an-unknown-member", "malformed", "schema", extra="x")
    entry(
        "with-seq-0.0",
        "a fraction survives a second encoding",
        "not-canonical",
        raw=lambda text: text.replace('"seq":0', '"seq":0.0'),
    )
    entry("with-a-negative-seq", "from 0", "schema", seq=-1)
    entry("with-seq-true", "no integer", "schema", seq=True)
    entry("with-seq-beyond-2-to-the-53", "out of the profile", "not-canonical", seq=2**53)
    entry("without-prev", "required", "schema", prev=None)
    entry("with-a-space", "not canonical", "not-canonical", raw=lambda text: text.replace('":', '": ', 1))
    entry(
        "with-an-empty-noted",
        "absent, never empty",
        "schema",
        raw=lambda text: text.replace(',"prev"', ',"noted":{},"prev"'),
    )
    entry("too-long", "64 KiB", "not-canonical", extra="x" * 65536)
    entry(
        "of-the-service-with-a-statement",
        "its word is its own",
        "entry-malformed",
        event="upload.completed",
        subject=about,
        noted=noted,
    )
    entry("of-a-party-without-a-statement", "an act is signed", "entry-malformed", statement=None)
    entry("of-the-service-under-a-party's-event", "the service invents an act", "entry-malformed", by=None)
    entry(
        "of-the-service-with-a-key",
        "it acts without principal and key",
        "entry-malformed",
        event="upload.completed",
        by=None,
        subject=about,
        noted=noted,
        actor={"authority": "@service", "key": VOICE.id},
    )
    entry(
        "of-the-service-without-its-noted",
        "the event demands it",
        "entry-malformed",
        event="upload.completed",
        by=None,
        subject=about,
    )
    entry(
        "with-a-noted-of-another-event",
        "closed for each event",
        "schema",
        event="upload.completed",
        by=None,
        subject=about,
        noted={"reason": "x"},
    )
    entry(
        "with-a-subject-too-few",
        "as the event says",
        "schema",
        event="upload.completed",
        by=None,
        subject={"item": "cd" * 16},
        noted=noted,
    )
    entry("with-a-subject-too-many", "as the event says", "schema", subject={"package": "ab" * 16})
    entry(
        "with-an-unknown-subject",
        "closed",
        "schema",
        event="upload.completed",
        by=None,
        subject=about | {"title": "x"},
        noted=noted,
    )
    boolean = noted | {"size": True}
    entry(
        "with-a-boolean-as-size",
        "true is no integer",
        "schema",
        event="upload.completed",
        by=None,
        subject=about,
        noted=boolean,
    )
    grid = noted | {"part_size": 2**24 + 1}
    entry(
        "with-a-grid-that-is-no-power-of-two",
        "one of nine",
        "schema",
        event="upload.completed",
        by=None,
        subject=about,
        noted=grid,
    )
    matches(v, said)


def matches(v, said):
    subject = {"package": "ab" * 16}
    declared = rec.Said(act(event="package.declared", subject=subject, detail={"recipients": ["court.fr"]}), [VOICE])
    other = rec.Said(act(nonce="cd" * 16), [VOICE])

    def match(name, about, expect="statement-mismatch", *, event="log.exported", by=said, carried=None, **changes):
        chain = rec.Chain(HANDLE)
        chain.add(event, by, **changes)
        data = {"entry": chain.steps[0]["entry"], "envelope": (carried or by).envelope.decode()}
        v.add(f"match-{name}", "match", about, data, expect)

    match("good", "entry and statement say the same", "ok")
    match("with-a-subject", "equal to the act's", "ok", event="package.declared", by=declared, subject=subject)
    match("of-another-statement", "another id", carried=other)
    match("of-another-envelope", "the same id, other signatures", carried=rec.Said(act(), [VOICE, OTHER]))
    match(
        "of-another-statement-id", "the entry lies", statement={"id": other.id, "envelope": rec.digest(said.envelope)}
    )
    match("of-another-envelope-hash", "the entry lies", statement={"id": said.id, "envelope": "ab" * 32})
    match("of-another-event", "an act names its event", event="exchange.closed")
    match("of-another-kind", "an act where a manifest stands", event="package.sealed", subject=subject)
    match("of-another-log", "a replay into another log", log="other.example/log")
    match("of-another-chain", "a replay into another exchange", chain="cd" * 32)
    actor = {**SIGNER, "key": VOICE.id}
    match("of-another-authority", "another signer", actor=actor | {"authority": "court.fr"})
    match("of-another-principal", "another signer", actor=actor | {"principal": "ab" * 16})
    match("of-no-principal", "as if the authority spoke", actor={"authority": "police.nl", "key": VOICE.id})
    match("of-a-key-that-did-not-sign", "actor.key", actor=actor | {"key": OTHER.id})
    match("of-no-key", "actor.key is missing", actor=SIGNER)
    match(
        "of-another-subject",
        "about another package",
        event="package.declared",
        by=declared,
        subject={"package": "cd" * 16},
    )
    lacking = rec.Said(act(detail=None) | {"detail": {"form": "film"}}, [VOICE])
    match("with-a-detail-of-another-shape", "closed for each event", "schema", by=lacking)
    without = rec.Said({name: value for name, value in act().items() if name != "detail"}, [VOICE])
    match("without-its-detail", "the event demands it", "schema", by=without)
    lifted = rec.common("hold", HANDLE, SIGNER, "hold", hold="ab" * 16, state="lifted", reason="x", **subject)
    match(
        "of-another-state",
        "hold.placed carries a hold that is placed",
        "schema",
        event="hold.placed",
        by=rec.Said(lifted, [VOICE]),
        subject=subject,
    )


# ------------------------------------------------------------ keys, ids, inventories
def keys(v):
    def case(name, about, row, expect="key-malformed"):
        v.add(f"key-{name}", "key", about, {"record": row}, expect, {"id": row["id"]} if expect == "ok" else None)

    ed, es, age = rec.Key("ed"), rec.Key("es", "es256"), rec.Recipient("age")
    good = rec.record(ed, "authority", "police.nl")
    case("ed25519", "id: the digest of the SPKI", good, "ok")
    case("es256", "id: the digest of the SPKI", rec.record(es, "login", PRINCIPAL), "ok")
    case("recipient", "id: the digest of the recipient string", rec.record(age, "encryption", "police.nl"), "ok")
    case("of-another-id", "recomputed", good | {"id": "ab" * 32})
    case("of-another-algorithm", "recomputed", good | {"alg": "ml-dsa-65"})
    case("ed25519-for-login", "ES256 only", good | {"use": "login"})
    case("es256-for-statements", "Ed25519 only", rec.record(es, "statement", PRINCIPAL))
    case("ed25519-for-encryption", "recipients only", good | {"use": "encryption"})
    case("raw", "no SPKI", good | {"public": ref.b64(ed.spki[-32:]), "id": rec.digest(ed.spki[-32:])})
    spare = ed.spki + b"\0"
    case("with-a-byte-to-spare", "the only encoding", good | {"public": ref.b64(spare), "id": rec.digest(spare)})
    short = bytes([2 + (es.spki[-1] & 1)]) + es.spki[27:59]
    packed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + short
    case(
        "es256-compressed",
        "the only encoding",
        rec.record(es, "login", PRINCIPAL) | {"public": ref.b64(packed), "id": rec.digest(packed)},
    )
    case("without-padding", "base64 has one spelling", good | {"public": good["public"].rstrip("=")}, "text-malformed")
    small = ed.spki[:12] + bytes(32)
    case("of-small-order", "y = 0", good | {"public": ref.b64(small), "id": rec.digest(small)}, "public-key-refused")
    mixed = ed.spki[:12] + ref.encoded(ref.plus(ref.times(7, ref.BASE_POINT), ref.ORDER_8))
    case(
        "of-mixed-order",
        "a component of small order",
        good | {"public": ref.b64(mixed), "id": rec.digest(mixed)},
        "public-key-refused",
    )
    upper = age.public.upper()
    case(
        "recipient-in-upper-case",
        "one spelling",
        rec.record(age, "encryption", "police.nl") | {"public": upper, "id": rec.digest(upper.encode())},
        "recipient-malformed",
    )

    for authority in ("police.nl", "@service"):
        data = {"origin": rec.ORIGIN, "authority": authority}
        name = authority.lstrip("@").replace(".", "-")
        v.add(f"handle-of-{name}", "registry-handle", "a computed handle", data, output=rec.registry_handle(authority))
    v.add(
        "exchange-id",
        "exchange-id",
        "the first 16 bytes of a digest",
        {"handle": HANDLE},
        output=rec.exchange_id(HANDLE),
    )


def inventories(v):
    package, item = "ab" * 16, "cd" * 16
    head = {"v": 1, "kind": "inventory", "package": package, "salt": rec.word("salt").hex(), "count": 3}

    def line(path, **members):
        row = {
            "type": "file",
            "salt": rec.word(f"salt {path}").hex(),
            "size": 3,
            "sha256": "01" * 32,
            "blake3": "02" * 32,
        }
        row |= {"extents": [{"item": item, "offset": 0, "size": 3}]}
        row |= {"path": path} if isinstance(path, str) else {"path_b64": rec.path_b64(path)}
        return {name: value for name, value in (row | members).items() if value is not None}

    bare = {"size": None, "sha256": None, "blake3": None, "extents": None}
    lines = [line("a/b"), line("a/link", type="symlink", target="b", **bare), line(b"\xff.txt")]
    good, commitment = rec.inventory(head, lines)

    def case(name, about, data=None, expect="inventory-malformed", against=commitment, of=package):  # noqa: PLR0917
        given = {"file": ref.b64(good if data is None else data), "commitment": against, "package": of}
        v.add(f"inventory-{name}", "inventory", about, given, expect)

    def file(rows, **changes):
        return rec.inventory(head | {"count": len(rows)} | changes, rows)[0]

    case("good", "a file, a link, a name that is no text", expect="ok")
    empty, nothing = rec.inventory(head | {"count": 0}, [])
    case("of-nothing", "the root of no line", empty, "ok", nothing)
    case("of-another-commitment", "one bit", expect="inventory-mismatch", against="00" + commitment[2:])
    case("of-another-package", "line 0 names it", expect="inventory-mismatch", of="ef" * 16)
    salted = [lines[0] | {"salt": "00" * 32}, *lines[1:]]
    case("with-another-salt", "salts are committed to", file(salted), "inventory-mismatch")
    case("out-of-order", "ascending by raw bytes", file([lines[1], lines[0], lines[2]]))
    case("with-a-path-twice", "none twice", file([lines[0], lines[0], lines[2]]))
    case("in-order-of-code-units", "raw bytes decide", file([line("\U0001f600"), line("\uffee"), lines[2]]))
    case("with-a-line-missing", "count says three", file(lines[:2], count=3))
    case("with-a-line-too-many", "count says two", file(lines, count=2))
    case("cut", "within a line", good[:-1])
    case("with-path-b64-of-valid-text", "as path, then", file([line(b"a"), *lines[1:]]))
    case("with-both-paths", "exactly one", file([line("a") | {"path_b64": rec.path_b64(b"\xff")}]))
    case("with-a-nul-in-a-path", "no name has one", file([line("a\0b")]))
    case("whose-extents-do-not-add-up", "to the size", file([line("a", size=4)]))
    case("of-a-file-without-digests", "all three", file([line("a", sha256=None)]))
    case(
        "of-a-directory-with-a-size",
        "none of the three",
        file([line("a", **(bare | {"type": "directory", "size": 0}))]),
    )
    case("of-a-link-without-target", "needs one", file([line("a", type="symlink", **bare)]))
    case("with-an-unknown-member", "closed", file([line("a", owner="root")]), "schema")
    case("of-version-2", "unsupported", file(lines, v=2), "unknown-version")
    case("with-windows-line-ends", "LF only", good.replace(b"\n", b"\r\n"), "not-canonical")


def vectors():
    found = Vectors()
    for part in (
        canonical_json,
        envelopes,
        signatures,
        entries,
        keys,
        inventories,
        record_chains.registries,
        record_chains.exchanges,
        record_more.write,
    ):
        part(found)
    return {f"{name}.json": json.dumps(vector, indent=1, sort_keys=True) + "\n" for name, vector in found.items()}


def main():
    folder = HERE / "records"
    folder.mkdir(exist_ok=True)
    made = vectors()
    for old in folder.glob("*.json"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} vectors in {folder}")


if __name__ == "__main__":
    main()
