"""Every vector of tests/vectors/log, and that the reference still writes each of them."""

import json
from pathlib import Path

import pytest

from custody import batch, cosignature, ed25519, leaf, merkle, tail, tiles
from custody.checkpoint import Checkpoint, open_checkpoint
from custody.errors import CustodyError
from custody.note import VerifierKey, open_note
from custody.policy import Policy
from custody.proof import TlogProof
from tests.reference import h
from tests.vectors import generate_log

FOLDER = Path(generate_log.__file__).parent / "log"
FILES = sorted(FOLDER.glob("*.json"))
unhex = bytes.fromhex


def unhexed(values):
    return [unhex(x) for x in values]


def first_label(given):
    return leaf.first_label(given["origin"], unhex(given["handle"])).hex()


def next_label(given):
    return leaf.next_label(unhex(given["salt"]), unhex(given["hash"])).hex()


def commitment(given):
    return leaf.commitment(unhex(given["salt"]), unhex(given["hash"])).hex()


def registry_handle(given):
    return leaf.registry_handle(given["origin"], given["authority"]).hex()


def parse_leaf(given):
    leaf.parse(unhex(given["data"]))


def root(given):
    leaves = [merkle.leaf_hash(x) for x in unhexed(given["leaves"])]
    grown = merkle.CompactRange()
    for value in leaves:
        grown.append(value)
    assert grown.root() == merkle.root(leaves)
    return grown.root().hex()


def tail_root(given):
    tree = tail.TailTree()
    for label in unhexed(given["labels"]):
        tree.add(label)
    return tree.root().hex()


def bucket_head(given):
    tree = tail.TailTree()
    for label in unhexed(given["labels"]):
        tree.add(label)
    return tree.head(tail.bucket_of(label)).hex()


def inclusion(given):
    case = {name: unhex(given[name]) for name in ("leaf", "root")}
    merkle.verify_inclusion(index=given["index"], size=given["size"], path=unhexed(given["path"]), **case)


def consistency(given):
    case = {name: unhex(given[name]) for name in ("root1", "root2")}
    merkle.verify_consistency(size1=given["size1"], size2=given["size2"], path=unhexed(given["path"]), **case)


def absence(given):
    proof = tail.TailProof(unhex(given["root"]), tuple(unhexed(given["bucket"])), tuple(unhexed(given["path"])))
    tail.verify_absent(proof, unhex(given["label"]))


def check_batch(given):
    size, hashes = batch.parse(given["file"].encode())
    leaves = {int(index): unhex(value) for index, value in given["leaves"].items()}
    batch.verify_batch(leaves=leaves, size=size, hashes=hashes, root=unhex(given["root"]))


def batch_proof(given):
    leaves = [merkle.leaf_hash(x) for x in unhexed(given["leaves"])]

    def node(level, index):
        return merkle.root(leaves[index << level : (index + 1) << level])

    return [x.hex() for x in batch.batch_proof(given["indices"], len(leaves), node)]


def batch_file(given):
    batch.parse(given["file"].encode())


def check_ed25519(given):
    ed25519.verify(unhex(given["public"]), unhex(given["signature"]), unhex(given["message"]))


def check_ed25519_key(given):
    ed25519.check_public(unhex(given["public"]))


def note(given):
    opened = open_note(given["note"].encode(), [VerifierKey.parse(x) for x in given["keys"]])
    return [[item.verifier.name, item.time] for item in opened.signatures]


def vkey(given):
    return VerifierKey.parse(given["text"]).full_id


def checkpoint(given):
    Checkpoint.parse(given["text"])


def checkpoint_note(given):
    log = [VerifierKey.parse(x) for x in given["log"]]
    open_checkpoint(given["note"].encode(), origin=given["origin"], log=log)


def cosigned_bytes(given):
    if given["type"] == 4:
        return cosignature.ed25519_message(time=given["time"], text=given["text"]).hex()
    return cosignature.mldsa44_message(cosigner=given["cosigner"], time=given["time"], text=given["text"]).hex()


def tlog_proof(given):
    proof = TlogProof.parse(given["proof"].encode())
    log = [VerifierKey.parse(x) for x in given["log"]]
    data = unhex(given["leaf"]) if "leaf" in given else proof.leaf_data(h(unhex(given["entry"])))
    proof.verify(leaf_data=data, origin=given["origin"], log=log)


def tile_path(given):
    tile = tiles.parse_path(given["path"])
    return {"level": tile.level, "n": tile.n, "width": tile.width}


def entries(given):
    return [x.hex() for x in tiles.parse_entries(unhex(given["data"]), given["width"])]


def policy(given):
    Policy.parse(given["text"])


def quorum(given):
    return Policy.parse(given["text"]).satisfied(set(given["keys"]))


def time(given):
    parsed = Policy.parse(given["text"])
    cosigned = [tuple(x) for x in given["cosignatures"]]
    return {"upper": parsed.upper(cosigned), "lower": parsed.lower(cosigned)}


OPERATIONS = {
    "first-label": first_label,
    "next-label": next_label,
    "commitment": commitment,
    "registry-handle": registry_handle,
    "leaf": parse_leaf,
    "root": root,
    "tail-root": tail_root,
    "bucket-head": bucket_head,
    "inclusion": inclusion,
    "consistency": consistency,
    "absence": absence,
    "batch": check_batch,
    "batch-proof": batch_proof,
    "batch-file": batch_file,
    "ed25519": check_ed25519,
    "ed25519-key": check_ed25519_key,
    "note": note,
    "vkey": vkey,
    "checkpoint": checkpoint,
    "open-checkpoint": checkpoint_note,
    "cosigned-bytes": cosigned_bytes,
    "proof": tlog_proof,
    "tile-path": tile_path,
    "entries": entries,
    "policy": policy,
    "quorum": quorum,
    "time": time,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_custody_agrees_with_the_vector(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    try:
        output = OPERATIONS[vector["op"]](vector["input"])
        found = "ok"
    except CustodyError as error:
        output, found = None, error.code
    assert (found, output) == (vector["expect"], vector.get("output"))


def test_the_reference_writes_exactly_these_vectors():
    assert {path.name: path.read_text(encoding="utf-8") for path in FILES} == generate_log.vectors()


def test_every_operation_has_a_vector_and_every_failing_one_a_succeeding_one():
    vectors = [json.loads(path.read_text(encoding="utf-8")) for path in FILES]
    assert {x["op"] for x in vectors if x["expect"] == "ok"} == set(OPERATIONS)
