"""Notes, proofs and cosignatures of ours, judged by code of others; and theirs by ours.

The others: golang.org/x/mod/sumdb (notes, tree proofs), built from the distribution's packages without a network, and
dilithium-py, a plain ML-DSA that shares nothing with the library we sign and verify by.
"""

import base64
import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from dilithium_py.ml_dsa import ML_DSA_44

from custody import cosignature, merkle
from custody.errors import CustodyError
from custody.note import KeyType, SignerKey, VerifierKey, open_note, parse_note
from tests.custody.world import World

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors" / "log"
TEXT = "evidence.example.org/log\n4\nQ4n32v2tAvWvWAEIbSGUCWFGX0o2mug8PSZc4DScJns=\n"
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
"""The key of the package's own examples."""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A function that puts questions to the Go program."""
    program = tmp_path_factory.mktemp("go") / "check"
    offline = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}
    offline["GOCACHE"] = str(program.parent / "cache")
    build = ["go", "build", "-o", str(program), str(HERE / "check.go")]
    subprocess.run(build, env=os.environ | offline, check=True, timeout=240)

    def ask(*questions):
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return ask


@cache
def facts(op):
    """(name, vector) of every single fact about one operation."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(VECTORS.glob("*.json"))}
    return [(name, vector) for name, vector in found.items() if vector["op"] == op]


@cache
def world():
    return World(witnesses=2).exchange()


def test_others_open_the_notes_that_hold_and_no_other(theirs):
    rows = facts("note")
    said = theirs(*({"op": "open", **vector["input"]} for _, vector in rows))
    stricter = {"note-malformed", "text-malformed", "checkpoint-malformed", "cosignature-malformed"}
    for (name, vector), answer in zip(rows, said, strict=True):
        if vector["expect"] == "ok":
            assert set(answer.get("names", ())) == {who for who, _ in vector["output"]}, (name, answer)
        elif vector["expect"] not in stricter:
            assert "error" in answer, name
    assert {vector["expect"] for _, vector in rows} >= {"ok", "signature-invalid", "not-signed"}


def test_others_open_the_checkpoint_of_a_bundle_and_see_every_flip(theirs):
    keys = [str(key.verifier) for key in (*world().signers, *world().witnesses) if key.verifier.type != 6]
    note = world().checkpoint().decode()
    flips = [note.replace("evidence", "evidencf"), note.replace(str(len(world().slots)), "7", 1)]
    good, *bad = theirs(*({"op": "open", "note": each, "keys": keys} for each in (note, *flips)))
    assert len(good["names"]) == len(keys) == 3
    assert good["text"] == parse_note(note.encode()).text
    assert all("error" in answer for answer in bad)


def test_we_open_what_others_sign(theirs):
    (signed,) = theirs({"op": "sign", "text": TEXT, "secret": SECRET})
    note = open_note(signed["note"].encode(), [VerifierKey.parse(PUBLIC)])
    assert note.text == TEXT
    with pytest.raises(CustodyError):
        open_note(signed["note"].replace("Q4n3", "Q4n4").encode(), [VerifierKey.parse(PUBLIC)])


@pytest.mark.parametrize(
    ("op", "names"),
    [("inclusion", {}), ("consistency", {"size": "size2", "root": "root2", "old_size": "size1", "old_root": "root1"})],
)
def test_others_accept_the_proofs_that_hold_and_no_other(theirs, op, names):
    rows = facts(op)
    asked = [vector["input"] | {new: vector["input"][old] for new, old in names.items()} for _, vector in rows]
    said = theirs(*({"op": op, **{name: row[name] for name in row if name in KNOWN}} for row in asked))
    wrong = [
        (name, vector["expect"], answer)
        for (name, vector), answer in zip(rows, said, strict=True)
        if ("error" in answer) == (vector["expect"] == "ok")
    ]
    assert wrong == []


KNOWN = {"path", "root", "leaf", "index", "size", "old_size", "old_root"}


def test_others_prove_what_we_prove(theirs):
    leaves = world().leaves()[:21]
    hashes = [merkle.leaf_hash(data) for data in leaves]
    node = world().node(hashes)
    texts = [data.hex() for data in leaves]
    asked = [{"op": "prove", "leaves": texts, "index": place} for place in range(len(leaves))]
    asked += [{"op": "prove", "leaves": texts, "old_size": size} for size in range(1, len(leaves) + 1)]
    ours = [merkle.inclusion_path(index=place, size=len(leaves), node=node) for place in range(len(leaves))]
    ours += [merkle.consistency_path(size1=size, size2=len(leaves), node=node) for size in range(1, len(leaves) + 1)]
    for answer, path in zip(theirs(*asked), ours, strict=True):
        assert answer["root"] == merkle.root(hashes).hex()
        assert answer.get("path", []) == [value.hex() for value in path]


# ---------------------------------------------------------------- ML-DSA-44


def cosigned(name):
    """(key, signed bytes, signature) of an ML-DSA-44 cosignature in the checkpoint of the world."""
    note = parse_note(world().checkpoint())
    key = next(key.verifier for key in world().signers if key.verifier.type == KeyType.COSIGN_MLDSA44)
    line = next(line for line in note.lines if base64.b64decode(line.split()[-1])[:4] == key.key_id)
    time, signature = cosignature.parse(base64.b64decode(line.split()[-1])[4:])
    return key, cosignature.mldsa44_message(cosigner=name or key.name, time=time, text=note.text), signature


def test_an_independent_ml_dsa_accepts_our_cosignatures_and_nothing_else():
    key, message, signature = cosigned("")
    assert ML_DSA_44.verify(key.public, message, signature)
    assert not ML_DSA_44.verify(key.public, cosigned("other.example/log")[1], signature)
    assert not ML_DSA_44.verify(key.public, message, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not ML_DSA_44.verify(key.public, message, signature, ctx=b"x")


def test_we_accept_the_cosignature_of_an_independent_ml_dsa():
    public, secret = ML_DSA_44.key_derive(bytes(range(32)))
    key = VerifierKey("evidence.example.org/log", KeyType.COSIGN_MLDSA44, public)
    message = cosignature.mldsa44_message(cosigner=key.name, time=1_700_000_000, text=TEXT)
    payload = key.key_id + cosignature.encode(time=1_700_000_000, signature=ML_DSA_44.sign(secret, message))
    line = f"— {key.name} {base64.b64encode(payload).decode()}\n"
    note = open_note(f"{TEXT}\n{line}".encode(), [key])
    assert note.cosignatures() == [(key.full_id, 1_700_000_000)]


def test_a_seed_gives_both_the_same_key():
    ours = SignerKey.from_private("x", KeyType.COSIGN_MLDSA44, MLDSA44PrivateKey.from_seed_bytes(bytes(range(32))))
    assert ours.verifier.public == ML_DSA_44.key_derive(bytes(range(32)))[0]
