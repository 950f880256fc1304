"""`prove` and `confirm`: one file of a package, shown to somebody who may see nothing else."""

import io
import json

import pytest
from rogatory.cli import main

from custody.digest import digest_stream
from custody.errors import CustodyError
from custody.fileproof import FileProof
from custody.inventory import InventoryWriter, Line
from tests.custody.world import World, zipped

FILES = {b"a.txt": b"first", b"b/photo.jpg": b"second", b"c\xff": b"third", b"d": b""}


class Told(World):
    """A story whose inventory is of FILES."""

    def manifest_members(self, **options):
        text = io.BytesIO()
        writer = InventoryWriter(text, package=self.package, count=len(FILES) + 1)
        for name, data in FILES.items():
            found = digest_stream(io.BytesIO(data))
            extents = [(self.items[0].id, 0, found.size)]
            writer.add(
                Line(path=name, type="file", size=found.size, sha256=found.sha256, blake3=found.blake3, extents=extents)
            )
        writer.add(Line(path=b"e", type="directory"))
        self.inventory, commitment = text.getvalue(), writer.finish().hex()
        return super().manifest_members(**options) | {"inventory_commitment": commitment}


@pytest.fixture(scope="module")
def world():
    return Told().exchange()


@pytest.fixture
def place(world, tmp_path):
    """What `receive` leaves, a bundle, and a trust file."""
    evidence = tmp_path / "received" / "evidence"
    for name, data in FILES.items():
        path = evidence / name.decode(errors="surrogateescape")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "received" / "inventory.jsonl").write_bytes(world.inventory)
    (tmp_path / "received" / "manifest.json").write_bytes(world.manifest.envelope)
    (tmp_path / "bundle.zip").write_bytes(zipped(world.bundle()))
    (tmp_path / "trust.json").write_bytes(world.trust().encode())
    return tmp_path


def run(capfd, *typed):
    code = main(["--json", *map(str, typed)])
    said = capfd.readouterr()
    return code, json.loads(said.out or said.err)


def confirm(capfd, place, file, proof="proof", bundle="bundle.zip"):
    given = ("--bundle", place / bundle, "--trust", place / "trust.json")
    return run(capfd, "confirm", place / proof, file, *given)


@pytest.mark.parametrize("name", ["a.txt", "b/photo.jpg", "c\udcff", "d"])
def test_a_file_is_proven_and_confirmed_and_no_other_name_is_told(place, capfd, name):
    file = place / "received" / "evidence" / name
    code, said = run(capfd, "prove", file, "-o", place / "proof")
    assert (code, said["count"]) == (0, 5)
    proof = (place / "proof").read_bytes()
    others = {each.decode(errors="replace") for each in FILES if each != name.encode(errors="surrogateescape")}
    assert not [other for other in others if f'"path":"{other}"'.encode() in proof]
    code, said = confirm(capfd, place, file)
    assert (code, said["confirmed"], said["authority"]) == (0, True, "police.nl")


def test_another_file_is_not_confirmed(place, capfd):
    evidence = place / "received" / "evidence"
    run(capfd, "prove", evidence / "a.txt", "-o", place / "proof")
    code, said = confirm(capfd, place, evidence / "b" / "photo.jpg")
    assert (code, said["error"]["code"]) == (20, "file-differs")


def test_a_file_that_changed_since_it_came_is_not_proven(place, capfd):
    file = place / "received" / "evidence" / "a.txt"
    file.write_bytes(b"Furst")
    assert run(capfd, "prove", file, "-o", place / "proof")[1]["error"]["code"] == "file-differs"
    assert not (place / "proof").exists()


def test_an_inventory_that_is_not_the_manifests_proves_nothing(place, capfd, world):
    changed = world.inventory.replace(b'"path":"d"', b'"path":"D"').replace(b'"path":"a.txt"', b'"path":"a.txs"')
    (place / "received" / "inventory.jsonl").write_bytes(changed)
    code, said = run(capfd, "prove", place / "received" / "evidence" / "b" / "photo.jpg", "-o", place / "proof")
    assert code in (3, 20)
    assert said["error"]["code"] in ("inventory-mismatch", "inventory-malformed")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"index": 1}, "inventory-mismatch"),
        ({"count": 4}, "proof-malformed"),
        ({"head": "00" * 32}, "inventory-mismatch"),
        ({"path": ()}, "proof-malformed"),
        ({"manifest": "00" * 32}, "manifest-missing"),
        ({"package": "00" * 16}, "manifest-missing"),
        ({"log": "elsewhere.example/log"}, "manifest-missing"),
    ],
)
def test_a_proof_of_which_anything_is_changed_is_refused(place, capfd, members, code):
    file = place / "received" / "evidence" / "a.txt"
    run(capfd, "prove", file, "-o", place / "proof")
    proof = FileProof.parse((place / "proof").read_bytes())
    (place / "proof").write_bytes(FileProof(**(vars(proof) | members)).encode())
    assert confirm(capfd, place, file)[1]["error"]["code"] == code


def test_a_line_that_is_changed_is_refused(place, capfd):
    file = place / "received" / "evidence" / "a.txt"
    run(capfd, "prove", file, "-o", place / "proof")
    data = (place / "proof").read_bytes()
    (place / "proof").write_bytes(data.replace(b"a.txt", b"z.txt"))
    assert confirm(capfd, place, file)[1]["error"]["code"] == "inventory-mismatch"


def test_with_a_bundle_that_does_not_hold_nothing_is_confirmed(place, capfd, world):
    file = place / "received" / "evidence" / "a.txt"
    run(capfd, "prove", file, "-o", place / "proof")
    forged = world.copy()
    forged.forge(0, time="2026-11-21T10:09:00.000000Z")
    (place / "bundle.zip").write_bytes(zipped(forged.bundle()))
    code, said = confirm(capfd, place, file)
    assert not said["confirmed"]
    assert code != 0


def test_a_flipped_bit_of_a_proof_is_a_typed_error_or_changes_no_byte_that_counts(place, capfd, world):
    run(capfd, "prove", place / "received" / "evidence" / "a.txt", "-o", place / "proof")
    data, commitment = (place / "proof").read_bytes(), world.manifest.payload["inventory_commitment"]
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            proof = FileProof.parse(bytes(flipped))
            proof.check(commitment)
        except CustodyError:
            continue
        assert vars(proof) | {"log": "", "manifest": "", "package": ""} == vars(FileProof.parse(data)) | {
            "log": "",
            "manifest": "",
            "package": "",
        }


def test_a_file_that_was_not_received_has_no_proof(tmp_path, capfd):
    (tmp_path / "x").write_bytes(b"x")
    assert run(capfd, "prove", tmp_path / "x", "-o", tmp_path / "proof")[1]["error"]["code"] == "not-received"
