"""A disk acquired with the distribution's own tool: the same digests at the source, in the inventory, on arrival."""

import hashlib
import json
import re
import subprocess
import tarfile

import pytest
from blake3 import blake3

from tests.backends import EMBEDDED, only
from tests.e2e.theatre import ROOT, tool

pytestmark = only(EMBEDDED)

SEGMENT = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """An ext4 file system made of real files."""
    path = tmp_path_factory.mktemp("disk") / "stick.raw"
    made = [tool("mke2fs"), "-q", "-F", "-t", "ext4", "-d", ROOT / "docs", path, "8M"]
    subprocess.run(made, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def segments(raw):
    """The same, acquired to E01 in several segments."""
    command = [tool("ewfacquirestream"), "-q", "-f", "encase6", "-c", "none", "-S", str(SEGMENT), "-d", "sha1"]
    facts = ["-C", "2026/0417", "-D", "stick", "-E", "07", "-e", "J. de Vries", "-N", "none"]
    with raw.open("rb") as disk:
        target = ["-t", raw.with_suffix("")]
        subprocess.run([*command, *facts, *target], stdin=disk, check=True, capture_output=True)
    found = sorted(raw.parent.glob("stick.E*"))
    assert len(found) >= 2
    return found


@pytest.fixture(scope="module")
def package(theatre, segments):
    return theatre.send(segments[0], options=["--examiner", "J. de Vries", "--exhibit", "07=stick"])


@pytest.fixture(scope="module")
def received_said(theatre, package):
    return theatre.run(theatre.receiver, "receive", package, "--to", theatre.root / "unpacked", "--unpack")


@pytest.fixture(scope="module")
def received(theatre, received_said):
    return theatre.root / "unpacked"


@pytest.fixture(scope="module")
def inventory(received):
    head, *lines = [json.loads(line) for line in (received / "inventory.jsonl").read_bytes().splitlines()]
    return head, {line["path"]: line for line in lines}


def digests(path):
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), blake3(data).hexdigest()


def test_every_segment_has_one_digest_at_the_source_in_the_inventory_and_on_arrival(segments, inventory, received):
    listed = {path: (line["sha256"], line["blake3"]) for path, line in inventory[1].items()}
    assert listed == {path.name: digests(path) for path in segments}
    arrived = {path.name: path for path in (received / "evidence").rglob("stick.E*")}
    assert {name: digests(path) for name, path in arrived.items()} == listed


def test_the_digests_inside_the_image_stand_in_the_inventory_as_read_and_are_those_of_the_disk(raw, inventory):
    rows = inventory[0]["acquisition"]["source_digests"]
    assert {row["how"] for row in rows} == {"read"}
    data = raw.read_bytes()
    assert {row["algorithm"]: row["value"] for row in rows} == {
        "md5": hashlib.md5(data).hexdigest(),
        "sha1": hashlib.sha1(data).hexdigest(),
    }


def test_what_arrived_is_an_image_that_its_own_tools_verify(received):
    first = next((received / "evidence").rglob("stick.E01"))
    said = subprocess.run([tool("ewfverify"), "-q", "-d", "sha1", first], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_command_that_receive_tells_to_check_again_does(received_said, received):
    command = re.search(r"check again at any time: (.+)", received_said.out)[1]
    assert tool("sha256sum")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert len(done.stdout.splitlines()) == sum(path.is_file() for path in (received / "evidence").rglob("*"))


def test_left_in_one_piece_the_segments_are_members_of_an_ordinary_archive(theatre, package, segments):
    theatre.receive(package, theatre.root / "whole")
    (archive,) = [path for path in (theatre.root / "whole" / "evidence").iterdir() if path.is_file()]
    with tarfile.open(archive) as members:
        found = {name: members.extractfile(name).read() for name in members.getnames()}
    assert found == {path.name: path.read_bytes() for path in segments}


def test_a_later_segment_stands_for_the_whole_image(theatre, segments):
    said = theatre.run(theatre.sender, *theatre.send_words(segments[1]), "--dry-run", "--json").json
    assert [item["plain_size"] for item in said["items"]] >= [sum(path.stat().st_size for path in segments)]
    assert [item["name"] for item in said["items"]] == [segments[0].name]


def test_each_act_of_the_hand_over_left_exactly_one_entry(theatre, segments):
    exchange = theatre.open_exchange()
    package = theatre.send(segments[0], exchange=exchange)
    theatre.receive(package, theatre.root / "for-the-record")
    theatre.run(theatre.receiver, "receipt", "accept", package)
    counted = {}
    for event, about in theatre.events(exchange):
        assert about == (None if event == "exchange.opened" else package)
        counted[event] = counted.get(event, 0) + 1
    counted.pop("fixity.checked", None)  # the service's own work, when it finds the time
    assert counted == {
        "exchange.opened": 1,
        "package.declared": 1,
        "upload.completed": 2,  # the archive and the inventory
        "package.sealed": 1,
        "manifest.viewed": 1,
        "key.released": 1,
        "download.opened": 1,
        "download.closed": 1,
        "receipt.signed": 1,
    }
