"""Evidence as it is found: empty, in twenty thousand pieces, under names that nobody would choose."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rogatory import Terms
from rogatory import send as sending
from rogatory.source import sources

from tests.backends import EMBEDDED, only
from tests.e2e.theatre import client_of, tool

pytestmark = only(EMBEDDED)

MANY = 20_000
ODD = {
    b"line\nend": "control",
    b"carriage\r\nreturn": "control",
    b"\xff\xfe not utf-8 \x80": "not-text",
    b"-rf": None,
    "invoice\u202efdp.exe".encode(): "override",
    b"n" * 255: None,
    b"=cmd|' calc'!A0": None,
    b"@SUM(1+1)*2.csv": None,
    b"back\\slash": "backslash",
    b" spaces at both ends ": "spaces",
    "e\u0301 decomposed".encode(): "not-nfc",
    "\u00e9 decomposed".encode(): None,
    b"Case": None,
    b"case": None,
    b"\x1b[31mred": "control",
    b"<script>alert(1)<script>": None,
    b"con": None,
    b"%2e%2e%2fup": None,
    b"...": None,
}
"""Name → what it must be flagged as."""


class Liar:
    """A source whose inventory calls files otherwise than they are called."""

    def __init__(self, source, names):
        self._source, self._names = source, names

    def __getattr__(self, name):
        return getattr(self._source, name)

    def lines(self, item):
        files = [line for line in self._source.lines(item) if line.type == "file"]
        return [replace(line, path=self._names.get(line.path.rpartition(b"/")[2], line.path)) for line in files]


def sums(root):
    """Raw name → SHA-256 of every file below a directory."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {os.fsencode(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_an_empty_file_is_evidence_too(theatre):
    path = theatre.root / "empty.txt"
    path.touch()
    package = theatre.send(path)
    target = theatre.root / "empty"
    assert theatre.receive(package, target)["files"] == 1
    assert (target / "evidence" / "empty.txt").read_bytes() == b""
    line = json.loads((target / "inventory.jsonl").read_bytes().splitlines()[1])
    assert (line["size"], line["sha256"]) == (0, hashlib.sha256(b"").hexdigest())


@pytest.fixture
def memory(tmp_path):
    """A directory in memory where there is one: what is many is not slow there."""
    place = Path("/dev/shm")
    if not os.access(place, os.W_OK):
        return tmp_path
    return place / f"rogatory-{os.getpid()}-{tmp_path.name}"


def test_twenty_thousand_small_files_arrive_as_they_were(theatre, memory):
    try:
        root = memory / "many"
        for number in range(MANY):
            if number % 500 == 0:
                folder = root / f"folder {number // 500:02}"
                folder.mkdir(parents=True)
            (folder / f"{number:05}.txt").write_bytes(b"file %d\n" % number * (number % 7))
        package = theatre.send(root)
        target = memory / "received"
        assert theatre.receive(package, target, "--unpack")["files"] == MANY
        assert sums(target / "evidence" / "many") == sums(root)
    finally:
        shutil.rmtree(memory, ignore_errors=True)


@pytest.fixture(scope="module")
def odd(theatre):
    """Every odd name as a file and as a folder, sent."""
    root = theatre.root / "odd"
    for name in map(os.fsdecode, ODD):
        (root / "folders" / name).mkdir(parents=True)
        (root / "folders" / name / "inside").write_text("in", "utf-8")
        (root / name).write_bytes(b"as " + os.fsencode(name))
    return root, theatre.send(root)


def test_odd_names_arrive_to_the_byte_and_are_shown_escaped(theatre, odd):
    root, package = odd
    target = theatre.root / "odd-received"
    said = theatre.run(theatre.receiver, "receive", package, "--to", target, "--unpack")
    assert sums(target / "evidence" / "odd") == sums(root)
    assert said.err == ""
    assert all(character.isprintable() or character == "\n" for character in said.out)
    assert "\u202e" not in said.out
    for name, why in ODD.items():
        flagged = [line for line in said.out.splitlines() if line.startswith("look twice") and why and why in line]
        assert not why or flagged, name
    done = subprocess.run(
        [tool("sha256sum"), "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=target, capture_output=True, check=False
    )
    assert done.returncode == 0, done


def test_odd_names_of_single_items_are_sent_and_received(theatre):
    root = theatre.root / "alone"
    root.mkdir()
    names = (b"-rf", b"line\nend", b"\xff\xfe", b"=1+1")
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    words = ["send", "--exchange", theatre.exchange, "--to", theatre.receiver.authority, "--json", "--"]
    paths = [root / os.fsdecode(name) for name in names]
    package = theatre.run(theatre.sender, *words, *paths).json["package"]
    target = theatre.root / "alone-received"
    theatre.receive(package, target)
    assert sums(target / "evidence") == sums(root)


def test_names_of_evidence_are_in_no_table_and_no_sheet(theatre, odd):
    export, sheet, bundle = (theatre.root / name for name in ("odd-export.zip", "odd.html", "odd-bundle.zip"))
    theatre.run(theatre.sender, "export", theatre.exchange, "-o", export)
    theatre.run(theatre.sender, "bundle", theatre.exchange, "-o", bundle)
    theatre.run(theatre.sender, "sheet", bundle, "--trust", theatre.sender.trust, "-o", sheet, expect=None)
    with zipfile.ZipFile(export) as files:
        assert all(name.isascii() and ".." not in name and not name.startswith("/") for name in files.namelist())
        rows = list(csv.reader(files.read("entries.csv").decode().splitlines()))
    assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r")]
    assert "<script" not in sheet.read_text()
    assert "calc" not in sheet.read_text()


HOSTILE = {
    b"file-%d" % number: name
    for number, name in enumerate(
        [b"../outside", b"/tmp/rogatory-outside", b"a/../../outside", b"a//b", b".", b"./a", b"a/b/", b"x" * 300]
    )
}


@pytest.fixture
def lie(theatre, monkeypatch, tmp_path):
    """Send files whose names in the signed inventory are hostile, from a client that was changed; the package."""
    root = tmp_path / "harmless"
    root.mkdir()
    for name in [*HOSTILE, b"good"]:
        (root / name.decode()).write_bytes(b"this is " + name)

    def send(*paths):
        monkeypatch.setattr(sending, "sources", lambda given: [Liar(source, HOSTILE) for source in sources(given)])
        with client_of(theatre.sender) as client:
            terms = Terms(retain_until=datetime.now(UTC) + timedelta(days=2))
            exchange = client.exchange(theatre.exchange)
            return client.send(exchange, paths, to=[theatre.receiver.authority], terms=terms).package

    return send


@pytest.fixture
def target(tmp_path):
    """Where to receive; nothing but that may be written."""
    deep = tmp_path / "in" / "deep" / "target"
    deep.parent.mkdir(parents=True)
    before = sums(tmp_path)
    yield deep
    written = [each for each in sums(tmp_path) if each not in before]
    assert written
    assert all(each.startswith(b"in/deep/") for each in written)
    assert not [path for path in deep.parent.iterdir() if not path.name.startswith("target")]
    assert not Path("/tmp/rogatory-outside").exists()


def test_files_of_hostile_names_arrive_under_harmless_ones(theatre, lie, target, tmp_path):
    package = lie(*(tmp_path / "harmless" / name.decode() for name in [*HOSTILE, b"good"]))
    said = theatre.receive(package, target)
    assert said["complete"]
    assert len(sums(target / "evidence")) == len(HOSTILE) + 1
    assert set(sums(target / "evidence").values()) == set(sums(tmp_path / "harmless").values())


def test_hostile_names_in_an_archive_are_named_and_not_made_and_the_archive_can_still_be_had(
    theatre, lie, target, tmp_path
):
    package = lie(tmp_path / "harmless")
    said = theatre.run(theatre.receiver, "receive", package, "--to", target, "--unpack", "--json", expect=8).json
    assert {row["name"] for row in said["skipped"]} == {name.decode() for name in HOSTILE.values()}
    assert sums(target / "evidence") == {b"harmless/good": hashlib.sha256(b"this is good").hexdigest()}
    whole = target.with_name("target-in-one-piece")
    assert theatre.receive(package, whole)["complete"]
    (archive,) = (whole / "evidence").iterdir()
    with tarfile.open(archive) as members:
        files = [members.extractfile(name).read() for name in members.getnames() if members.getmember(name).isfile()]
    assert set(files) == {path.read_bytes() for path in (tmp_path / "harmless").iterdir()}
