"""The container and its packing list: what is written is read back, and nothing else is read."""

import io
import json
import re
import struct
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import packing
from custody.archive import ArchiveMalformed, ArchiveTooLarge, open_archive, write_archive
from custody.bundle import open_bundle, write_bundle
from custody.errors import CustodyError, FormatError
from custody.packing import LeafLine, PackingList
from custody.table import table
from custody.tail import TailProof
from custody.text import to_base64
from tests.custody.world import World, folder, packed, zipped

WORLD = World().exchange("export")
NAMES = st.from_regex(r"[a-z0-9_-][a-z0-9._-]{0,8}(/[a-z0-9_-][a-z0-9._-]{0,8})?", fullmatch=True)
FILES = st.dictionaries(NAMES, st.binary(max_size=300), max_size=6)
HASH = st.binary(min_size=32, max_size=32)


def read(data):
    with folder(data) as path:
        archive = open_archive(path)
        try:
            return {name: archive.read(name) for name in archive.names}
        finally:
            archive.close()


@given(FILES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_archive_gives_back_what_was_put_in(files, compress):
    assert read(zipped(files, compress=compress)) == files


def test_the_same_files_give_the_same_bytes_and_foreign_tools_read_them():
    files = WORLD.bundle()
    data = zipped(files)
    assert data == zipped(files)
    with zipfile.ZipFile(io.BytesIO(data)) as foreign:
        assert foreign.testzip() is None
        assert {name: foreign.read(name) for name in foreign.namelist()} == files


@given(FILES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_archive_is_refused_or_gives_other_files(files, draw):
    data = bytearray(zipped(files))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        found = read(bytes(data))
    except FormatError:
        return
    assert found != files


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_garbage_is_no_archive(data):
    with pytest.raises(ArchiveMalformed):
        read(data)


def foreign(**options):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", options.get("data", b"x"))
        archive.comment = options.get("comment", b"")
    return target.getvalue()


def overlapping():
    data = zipped({"a": b"same", "b": b"same"})
    place = data.rindex(b"PK\x01\x02")
    return data[: place + 42] + struct.pack("<I", 0) + data[place + 46 :]


@pytest.mark.parametrize(
    "data",
    [
        foreign(),
        foreign(comment=b"note"),
        foreign(data=bytes(10**6)),
        overlapping(),
        b"x" + zipped({"a": b""}),
        zipped({"a": b""}) + b"x",
        zipped({"a": b"", "b": b""}).replace(b"b", b"a"),
        zipped({"aa": b""}).replace(b"aa", b".."),
        zipped({"aaa": b""}).replace(b"aaa", b"/aa"),
        zipped({"aaa": b""}).replace(b"aaa", b"a//"),
        zipped({"aaa": b""}).replace(b"aaa", b"AAA"),
        zipped({"a": b"1" * 4000}, compress=True)[:-30],
        b"",
    ],
)
def test_what_is_not_of_the_profile_is_malformed(data):
    with pytest.raises(ArchiveMalformed):
        read(data)


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "a//b", ".a", "a/.b", "A", "a b", "", "a" * 300, "a\\b"])
def test_names_that_could_lead_elsewhere_are_not_written(name):
    with pytest.raises(ArchiveMalformed):
        zipped({name: b""})


def test_a_bomb_is_refused_before_it_is_opened(monkeypatch):
    bomb = {"a": bytes(10**6)}
    with monkeypatch.context() as patch:
        patch.setattr("custody.archive.MAX_RATIO", 10**6)
        data = zipped(bomb, compress=True)
        assert read(data) == bomb
    assert len(data) < 2000
    with pytest.raises(ArchiveMalformed):
        read(data)
    assert read(zipped(bomb, compress=True)) == bomb


def test_more_files_than_a_zip_holds_are_refused():
    with pytest.raises(ArchiveTooLarge):
        write_archive(io.BytesIO(), ((f"f{number}", lambda: ()) for number in range(65_536)))


def test_links_and_odd_files_in_a_directory_are_malformed(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ArchiveMalformed):
        open_archive(tmp_path)


def test_write_bundle_and_directory_hold_the_same_files():
    target = io.BytesIO()
    contents = WORLD.contents()
    write_bundle(target, contents)
    assert read(target.getvalue()) == WORLD.bundle(checkpoint=contents.checkpoint)


def test_a_bundle_lists_exactly_its_files():
    files = WORLD.bundle()
    with folder(files) as path:
        bundle = open_bundle(path)
        assert {"bundle.json", *bundle.names()} == files.keys()
        assert bundle.packing.kind == "exchange"


@pytest.mark.parametrize("change", [{"extra": b""}, {"headers/x/y": b""}, {"entries.csv": b""}, {"service/else": b""}])
def test_a_file_that_no_bundle_has_is_malformed(change):
    for files in (WORLD.bundle() | change, packed(WORLD.bundle() | change)):
        with folder(files) as path, pytest.raises(FormatError):
            open_bundle(path)


def test_a_listed_file_that_is_missing_is_malformed():
    files = WORLD.bundle()
    del files["checkpoint"]
    with folder(files) as path, pytest.raises(FormatError):
        open_bundle(path)


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [("v", 2, "bundle-unsupported"), ("kind", "mail", "bundle-unsupported"), ("size", -1, "schema")],
)
def test_newer_bundles_are_unsupported_and_odd_ones_malformed(member, value, code):
    fields = json.loads(WORLD.bundle()["bundle.json"]) | {member: value}
    with pytest.raises(CustodyError) as caught:
        PackingList.parse(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
    assert caught.value.code == code


@given(st.lists(st.tuples(st.integers(0, 2**53 - 1), HASH, HASH, HASH), max_size=5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_leaf_lines_are_read_back(rows, first):
    leaves = [LeafLine(first + seq, index, *hashes) for seq, (index, *hashes) in enumerate(rows)]
    data = b"".join(map(packing.encode_leaf, leaves))
    assert packing.parse_leaves(data) == leaves
    for line in data.splitlines():
        packing.LEAF.check(json.loads(line))


@pytest.mark.parametrize(
    "change",
    [(b'"seq":0', b'"seq":00'), (b'"index"', b'"Index"'), (b"\n", b"\r\n"), (b"}\n", b"}"), (b'"seq":0', b'"seq":1e0')],
)
def test_leaf_lines_have_one_spelling(change):
    line = packing.encode_leaf(LeafLine(0, 5, bytes(32), bytes(32), bytes(32)))
    with pytest.raises(FormatError):
        packing.parse_leaves(line.replace(*change))


def test_leaf_lines_ascend():
    line = packing.encode_leaf(LeafLine(3, 5, bytes(32), bytes(32), bytes(32)))
    with pytest.raises(FormatError):
        packing.parse_leaves(line + line)


@given(HASH, st.lists(HASH, max_size=4), st.lists(HASH, min_size=16, max_size=16))
@settings(max_examples=30, deadline=None)
def test_tails_are_read_back(root, bucket, path):
    proof = TailProof(root, tuple(bucket), tuple(path))
    assert packing.parse_tail(packing.encode_tail(proof)) == proof


@given(st.integers(0, 2**60), st.integers(0, 2**60), st.lists(HASH, max_size=5))
@settings(max_examples=30, deadline=None)
def test_consistency_files_are_read_back(old, new, path):
    assert packing.parse_consistency(packing.encode_consistency(old, new, path)) == (old, new, path)


@given(st.dictionaries(st.from_regex("[0-9a-f]{32}", fullmatch=True), st.binary(min_size=1, max_size=99), max_size=5))
@settings(max_examples=30, deadline=None)
def test_named_lines_are_read_back(rows):
    data = b"".join(packing.encode_named(packing.PARTS_LINE, "item", "parts", sorted(rows.items())))
    assert packing.parse_named(packing.PARTS_LINE, "item", "parts", data) == rows


def test_many_headers_and_parts_lie_in_one_file_each(monkeypatch):
    monkeypatch.setattr("custody.bundle.MANY", 2)
    files = WORLD.bundle()
    assert {"headers.jsonl", "parts.jsonl"} <= files.keys()
    assert not any(name.startswith(("headers/", "parts/")) for name in files)
    assert WORLD.verify(files).verified


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_cells_are_never_formulas(formula):
    fields = WORLD.chains[WORLD.handle][0].fields | {
        "subject": {"key": formula},
        "event": formula,
        "time": f'{formula}"',
    }
    line = list(table([json.dumps(fields).encode()]))[1].decode()
    assert all(cell.startswith(('"', "\"'")) and not re.match(r'"[=+\-@\t]', cell) for cell in line.strip().split(","))


def run(blocks, cwd, **values):
    found = []
    for block in blocks:
        text = block
        for name, value in values.items():
            text = re.sub(rf"\b{name}\b", value, text)
        text = text.replace("python3", sys.executable)
        found.append(
            subprocess.run(["bash", "-ec", text], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
        )
    return found


def test_the_instructions_can_be_followed_to_the_letter(tmp_path):
    world = World().exchange()
    text = world.bundle()["verify.md"].decode()
    blocks = re.findall(r"```\n(.*?)\n```", text, re.DOTALL)
    founding = world.police.voice.public
    log_key = next(str(key.verifier) for key in world.signers if key.verifier.type == 1).split("+", 2)[2]
    values = {"ID": world.manifest.id, "PUBLIC": to_base64(founding.spki), "LOGKEY": log_key}
    (tmp_path / "bundle.zip").write_bytes(zipped(world.bundle()))
    (unpacked,) = run(blocks[:1], tmp_path)
    assert unpacked.returncode == 0, unpacked.stderr
    path, item = tmp_path / "bundle", world.items[0]
    (path / "ITEM.age").write_bytes(item.header + item.body)
    (path / "IDENTITY").write_text(str(world.court.identity))
    digests, chain, first, said, signed, key, note, log, root, opened, body = run(blocks[1:], path, **values)
    assert opened.returncode == 0, opened.stderr
    assert (path / "plain").read_bytes() == b"disk image"
    assert signed.stdout.split()[0] == world.manifest.id
    assert f"{founding.id}  key.der" in key.stdout
    assert digests.returncode == 0, digests.stderr
    assert "OK" in digests.stdout
    assert "FAILED" not in digests.stdout
    assert chain.stdout.strip() == f"last entry 11 has SHA-256 {world.chains[world.handle][-1].hash.hex()}"
    assert first.stdout.split()[0] == world.chains[world.handle][0].hash.hex()
    assert founding.id in said.stdout
    assert key.returncode == 0, key.stderr
    assert "Verified Successfully" in key.stdout
    assert note.returncode == 0, note.stderr
    assert "Verified Successfully" in log.stdout
    assert root.stdout.strip() == "RIGHT"
    assert body.stdout.split()[0] == item.member["sha256"]
