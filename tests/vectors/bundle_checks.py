"""Bundle vectors, check by check: what an operator with the log's key makes, and what is done to what is handed out."""

import base64
import json
import re
import tempfile
from pathlib import Path

from custody.text import to_base64
from tests.custody import test_verify_attacks as attacks
from tests.custody import test_verify_mutations as single
from tests.custody.world import packed
from tests.vectors.bundle_table import FOLDER, Made, changed, lines, of, row, slim, tiny, vector

SEQ = attacks.SEQ
LOG = b"evidence.example.org/log"

# ---------------------------------------------------------------- canonical: every file in its only spelling


def swap_first(rows):
    return [rows[1], rows[0], *rows[2:]]


def cut_feed(data):
    return data[:-1]


ENTRIES, LEAVES, STATEMENTS = f"{FOLDER}entries.jsonl", f"{FOLDER}leaves.jsonl", "statements.jsonl"
MALFORMED = [
    ("entries-without-a-last-line-end", "entries", cut_feed, "lines-malformed", ENTRIES, 2),
    ("entries-with-a-line-of-garbage", "entries", lines(lambda rows: [b"garbage\n", *rows]), "not-canonical", ENTRIES, 1),
    ("entries-with-a-space", "entries", lambda data: data.replace(b'"seq":1', b'"seq": 1'), "not-canonical", ENTRIES, 2),
    ("entries-with-a-member-too-many", "entries", lambda data: data.replace(b'"seq":1,', b'"seq":1,"sex":1,'), "schema", ENTRIES, 2),
    ("entries-with-a-float", "entries", lambda data: data.replace(b'"seq":1,', b'"seq":1.0,'), "not-canonical", ENTRIES, 2),
    ("entries-with-a-key-twice", "entries", lambda data: data.replace(b'"seq":1,', b'"seq":1,"seq":1,'), "not-canonical", ENTRIES, 2),
    ("entries-of-short-lines", "entries", lambda data: b"\n" * 40, "lines-malformed", ENTRIES, 1),
    ("leaves-without-a-last-line-end", "leaves", cut_feed, "lines-malformed", LEAVES, 2),
    ("leaves-with-a-space", "leaves", lambda data: data.replace(b'"seq":1', b'"seq": 1'), "lines-malformed", LEAVES, 2),
    ("leaves-out-of-order", "leaves", lines(swap_first), "lines-malformed", LEAVES, 2),
    ("leaves-of-one-seq", "leaves", lambda data: data.replace(b'"seq":1', b'"seq":0'), "lines-malformed", LEAVES, 2),
    ("leaves-with-a-seq-too-large", "leaves", lambda data: data.replace(b'"seq":1', b'"seq":9007199254740992'), "lines-malformed", LEAVES, 2),
    ("leaves-with-an-index-too-large", "leaves", lambda data: re.sub(rb'"index":\d', b'"index":9007199254740992', data), "lines-malformed", LEAVES, 1),
    ("tail-of-garbage", "tail", b"garbage\n", "not-canonical", f"{FOLDER}tail.json", None),
    ("tail-with-a-short-path", "tail", lambda data: re.sub(rb'"path":\["[0-9a-f]{64}",', b'"path":[', data), "schema", f"{FOLDER}tail.json", None),
    ("statements-out-of-order", "statements", lines(swap_first), "lines-malformed", STATEMENTS, 2),
    ("statements-with-one-twice", "statements", lines(lambda rows: [rows[0], *rows]), "lines-malformed", STATEMENTS, 2),
    ("statements-without-a-last-line-end", "statements", cut_feed, "lines-malformed", STATEMENTS, 2),
    ("inclusion-of-garbage", "inclusion", b"garbage\n", "batch-malformed", "inclusion", None),
    ("inclusion-with-a-size-of-leading-zero", "inclusion", lambda data: data.replace(b"\n6\n", b"\n06\n"), "decimal-malformed", "inclusion", None),
    ("checkpoint-of-garbage", "checkpoint", b"garbage", "note-malformed", "checkpoint", None),
    ("checkpoint-with-a-control-character", "checkpoint", lambda data: b"\t" + data, "note-malformed", "checkpoint", None),
    ("checkpoint-with-a-fourth-line", "checkpoint", lambda data: data.replace(b"\n\n", b"\nmore\n\n"), "checkpoint-malformed", "checkpoint", None),
    ("checkpoint-with-a-signature-twice", "checkpoint", lines(lambda rows: [*rows, rows[-1]]), "note-malformed", "checkpoint", None),
    ("policy-of-garbage", "policy", b"garbage\n", "policy-malformed", "policy", None),
    ("a-note-of-garbage", "note", b"garbage", "note-malformed", "checkpoints/7", None),
    ("a-proof-of-garbage", "proof", b"garbage\n", "batch-malformed", "consistency/1-6", None),
    ("a-proof-without-sizes", "proof", b"rogatory/consistency/v1\n", "batch-malformed", "consistency/1-6", None),
    ("a-proof-under-another-name", "proof", b"rogatory/consistency/v1\n2\n6\n", "misnamed", "consistency/1-6", None),
    ("a-proof-with-a-short-hash", "proof", b"rogatory/consistency/v1\n1\n6\nAAAA\n", "text-malformed", "consistency/1-6", None),
    ("no-checkpoint", "checkpoint", None, "misnamed", "checkpoint", None),
    ("no-inclusion", "inclusion", None, "misnamed", "inclusion", None),
    ("no-statements", "statements", None, "misnamed", STATEMENTS, None),
    ("no-entries", "entries", None, "misnamed", ENTRIES, None),
    ("no-leaves", "leaves", None, "misnamed", LEAVES, None),
]  # fmt: skip
for _name, _file, _change, _code, _path, _line in MALFORMED:
    _place = {"file": _path} | ({"line": _line} if _line else {})
    row(_name, _name.replace("-", " "), changed(**{_file: _change}), "canonical", code=_code, exit_code=3, **_place)

UNSUPPORTED = [
    ("tail-of-version-2", "tail", lambda data: data.replace(b'"v":1}', b'"v":2}'), "bundle-unsupported", f"{FOLDER}tail.json"),
    ("statement-of-an-unknown-type", "statements", lambda data: data.replace(b'"payloadType":"', b'"payloadType":"x', 1), "unknown-kind", STATEMENTS),
    ("entry-of-version-2", "entries", lambda data: data.replace(b'"v":1}', b'"v":2}', 1), "unknown-version", ENTRIES),
    ("entry-of-an-unknown-event", "entries", lambda data: data.replace(b'"authority.enrolled"', b'"authority.founded"'), "unknown-event", ENTRIES),
]  # fmt: skip
for _name, _file, _change, _code, _path in UNSUPPORTED:
    row(_name, _name.replace("-", " "), changed(**{_file: _change}), "canonical", code=_code, exit_code=24, file=_path)


@vector("a statement of another kind than its type", "canonical", code="schema", exit_code=3, file=STATEMENTS, line=1)
def statement_of_another_kind_than_its_type():
    return of_payload(b'"kind":"enrolment"', b'"kind":"emblazing"')


@vector("a statement of a version to come", "canonical", code="unknown-version", exit_code=24, file=STATEMENTS)
def statement_of_version_2():
    return of_payload(b'"v":1}', b'"v":2}')


def of_payload(old, new):
    """Change the payload of the first statement, whose id then is another, so that it is put in order again."""
    w = tiny()
    files = slim(w.bundle("registry"))
    rows = []
    for line in files[STATEMENTS].splitlines():
        outer = json.loads(line)
        outer["payload"] = to_base64(base64.b64decode(outer["payload"]).replace(old, new))
        rows.append(json.dumps(outer, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    return of(w, packed(files | {STATEMENTS: b"".join(rows)}))


@vector("a note under another size's name", "canonical", code="misnamed", exit_code=3, file="checkpoints/7")
def a_note_under_another_name():
    w = tiny()
    return of(w, packed(slim(w.bundle("registry")) | {"checkpoints/7": w.checkpoint()}))


def many(change, name):
    """An exchange whose headers and parts lie in one file each, changed."""

    def make():
        w = single.quiet()
        files = slim(w.bundle())
        items = sorted(files)
        headers = sorted((path.split("/")[1], files[path]) for path in items if path.startswith("headers/"))
        parts = sorted((path.split("/")[1], files[path]) for path in items if path.startswith("parts/"))
        files = {path: data for path, data in files.items() if not path.startswith(("headers/", "parts/"))}
        files["headers.jsonl"] = rows_of("header", "sha256", headers)
        files["parts.jsonl"] = rows_of("item", "parts", parts)
        files[name] = change(files[name])
        return of(w, packed(files), require=("headers", "digests"))

    return make


def rows_of(first, second, pairs):
    def spell(name, data):
        fields = (
            {"item": name, "parts": to_base64(data)} if first == "item" else {"header": to_base64(data), "sha256": name}
        )
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    return b"".join(spell(name, data) for name, data in pairs)


row("honest-with-many-headers", "headers and parts lists in one file each", many(bytes, "headers.jsonl"))
for _file in ("headers.jsonl", "parts.jsonl"):
    _stem = _file.split(".")[0]
    for _name, _change, _line in [
        ("out-of-order", lines(swap_first), 2),
        ("with-one-twice", lines(lambda rows: [rows[0], *rows]), 2),
        ("with-garbage", lines(lambda rows: [*rows, b"{}\n"]), 4),
    ]:
        row(
            f"{_stem}-{_name}", f"{_file} {_name.replace('-', ' ')}", many(_change, _file),
            "canonical", code="lines-malformed", exit_code=3, file=_file, line=_line,
        )  # fmt: skip

# ---------------------------------------------------------------- for each check what only it finds


def alone(check):
    def make():
        with tempfile.TemporaryDirectory() as name:
            given = single.ONLY[check](Path(name))
            options = dict(given.options)
            if "items" in options:
                options["items"] = {path.name: path.read_bytes() for path in sorted(options["items"].iterdir())}
            if "before" in options:
                options["before"] = options["before"].read_bytes()
                options["before_trust"] = options["before_trust"].encode()
        return Made(given.files, given.trust, options)

    return make


BY_ITSELF = {
    "packing": ("file-damaged", 20, {"file": "verify.md"}),
    "canonical": ("note-malformed", 3, {"file": "checkpoints/7"}),
    "bodies": ("body-mismatch", 20, {"file": "entries.jsonl", "line": SEQ["closed"] + 1, "seq": SEQ["closed"]}),
    "chain": ("chain-broken", 20, {"file": "entries.jsonl", "seq": SEQ["exported"]}),
    "statements": ("statement-twice", 20, {"file": "statements.jsonl"}),
    "registries": ("signer-not-entitled", 20, {"file": "registry/court.fr/entries.jsonl", "seq": 2}),
    "signers": ("signer-not-entitled", 22, {"chain": "@exchange", "seq": 12}),
    "signatures": ("signature-invalid", 22, {"chain": "@exchange", "seq": SEQ["receipt"]}),
    "rules": ("exchange-rule", 20, {"chain": "@exchange", "seq": 12}),
    "labels": ("label-broken", 20, {"file": "leaves.jsonl", "seq": 5}),
    "inclusion": ("root-mismatch", 20, {}),
    "log": ("not-signed", 22, {}),
    "quorum": ("quorum-missing", 22, {}),
    "consistency": ("other-history", 25, {}),
    "completeness": ("label-present", 21, {"file": "tail.json", "seq": SEQ["receipt"] - 1}),
    "succession": ("succession-broken", 20, {"file": "entries.jsonl", "line": 1, "seq": 0}),
    "time": ("time-outside", 23, {"chain": "@exchange", "seq": SEQ["receipt"]}),
    "timestamps": (None, 23, {}),
    "conditions": (None, 21, {}),
    "digests": ("digests-differ", 20, {"chain": "@exchange", "seq": 12}),
    "headers": ("header-mismatch", 20, {}),
    "table": ("file-damaged", 20, {"file": "entries.csv"}),
    "items": ("item-differs", 20, {}),
}
for _check, (_code, _exit, _place) in BY_ITSELF.items():
    row(
        f"only-{_check}-finds-it", single.ONLY[_check].__name__.replace("_", " "), alone(_check), _check,
        code=_code, exit_code=_exit, status="fail" if _code else "not_checked", **_place,
    )  # fmt: skip

# ---------------------------------------------------------------- everything an operator with the log's key can make again

REPAIRED = {
    ("edits_what_was_uploaded", "digests"): ("digests-differ", "sealed"),
    ("edits_what_was_uploaded", "rules"): ("exchange-rule", "sealed"),
    ("edits_what_was_opened", "statements"): ("statement-mismatch", "download"),
    ("drops_the_acceptance", "conditions"): ("released-early", "accepted"),
    ("logs_an_act_twice", "statements"): ("statement-twice", "download"),
    ("swaps_acceptance_and_release", "conditions"): ("released-early", "accepted"),
    ("rewrites_an_act_under_its_signature", "signatures"): ("signature-invalid", "receipt"),
    ("invents_an_act", "signers"): ("signer-not-entitled", 12),
    ("relogs_a_manifest_as_acceptance", "statements"): ("statement-twice", 6),
    ("releases_before_acceptance", "conditions"): ("released-early", 6),
    ("releases_to_a_stranger", "conditions"): ("released-early", 6),
    ("seals_what_was_not_uploaded", "digests"): ("digests-differ", 4),
    ("dates_an_act_ahead", "time"): ("time-outside", "exported"),
    ("puts_an_event_into_the_wrong_chain", "chain"): ("chain-broken", 12),
    ("drops_an_act", "consistency"): ("seen-too-much", 9),
    ("drops_its_own_word", "consistency"): ("seen-too-much", 9),
    ("drops_the_receipt", "consistency"): ("seen-too-much", 10),
    ("speaks_with_the_voice_of_the_service", "consistency"): ("other-history", None),
}
"""(attack, check) → code, and the entry where it shows; the exit code stands in the attack's own table."""


def repaired(attack, check):
    def make():
        w = attack(attacks.honest(seen=check == "consistency"))
        return Made(slim(w.bundle()), w.trust())

    return make


for _attack, _check, _exit in attacks.REPAIRED:
    if (_attack.__name__, _check) in REPAIRED:
        _code, _seq = REPAIRED[_attack.__name__, _check]
        _place = {} if _seq is None else {"chain": "@exchange", "seq": SEQ.get(_seq, _seq)}
        row(
            f"operator-{_attack.__name__.replace('_', '-')}" + ("-rules" if _check == "rules" else ""),
            f"the operator {_attack.__name__.replace('_', ' ')} and makes everything above again",
            repaired(_attack, _check), _check, code=_code, exit_code=_exit, **_place,
        )  # fmt: skip
