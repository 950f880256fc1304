# ruff: noqa: PTH112, PTH123, PTH208, PTH211 - names are bytes here, which pathlib does not take
"""What is sent: the archive is deterministic, its extents hold what was hashed, a change is noticed."""

import hashlib
import io
import os
import shutil
import stat
import tarfile
from types import SimpleNamespace

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from rogatory import source, tar
from rogatory.source import SourceChanged, SourceMissing, SourceUnsendable, sources

from custody.inventory import InventoryReader, InventoryWriter

NAMES = [
    b"plain.txt",
    "Grüße.txt".encode(),
    b"\xff\xfe-not-text",
    b"a\nb",
    b"x" * 200,
    b"back\\slash",
    b"sp ace ",
    b"0",
]
ITEM = "ab" * 16


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "seized"
    deep = root / "deep" / ("d" * 90)
    deep.mkdir(parents=True)
    (root / "empty-folder").mkdir()
    for number, name in enumerate(NAMES):
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(bytes([number]) * (number * 1000))
    (deep / "big").write_bytes(os.urandom(1_500_000))
    os.symlink("../outside", root / "link")
    os.utime(root / "plain.txt", ns=(1, 1_700_000_000_123_456_789))
    return root


def read(one):
    return b"".join(one.pieces())


def test_a_folder_gives_the_same_bytes_every_time_and_of_the_size_said_before(folder):
    first, again = sources([folder])[0], sources([folder])[0]
    data = read(first)
    assert len(data) == first.size
    assert read(again) == data == read(first)


def test_a_block_device_is_sent_as_long_as_it_can_be_read_and_has_no_time(tmp_path, monkeypatch):
    device = tmp_path / "sdb"
    device.write_bytes(b"sector" * 1000)
    seen = SimpleNamespace(S_ISDIR=stat.S_ISDIR, S_ISREG=lambda _: False, S_ISBLK=lambda _: True)
    monkeypatch.setattr(source, "stat", seen)
    (found,) = sources([device])
    assert read(found) == device.read_bytes()
    (line,) = found.lines(ITEM)
    assert (line.path, line.type, line.size, line.mtime) == (b"sdb", "device", 6000, None)
    assert found.source_digests() == []


def test_a_copy_of_a_folder_made_in_another_order_gives_the_same_bytes(folder, tmp_path):
    other = tmp_path / "elsewhere" / "seized"
    other.mkdir(parents=True)
    for name in sorted(os.listdir(os.fsencode(folder)), reverse=True):
        path = os.fsencode(folder) + b"/" + name
        if os.path.isdir(path):
            shutil.copytree(path, os.fsencode(other) + b"/" + name)
        else:
            shutil.copy2(path, os.fsencode(other) + b"/" + name, follow_symlinks=False)
    shutil.copystat(folder, other)
    assert read(sources([other])[0]) == read(sources([folder])[0])


def test_every_extent_holds_exactly_the_bytes_of_its_file(folder):
    one = sources([folder])[0]
    data = read(one)
    lines = [line for line in one.lines(ITEM) if line.type == "file"]
    assert len(lines) == len(NAMES) + 1
    for line in lines:
        [(item, offset, size)] = line.extents
        found = data[offset : offset + size]
        with open(os.fsencode(folder.parent) + b"/" + line.path, "rb") as file:
            assert found == file.read()
        assert (item, line.size) == (ITEM, len(found))
        assert (line.sha256, line.blake3) == (hashlib.sha256(found).digest(), blake3(found).digest())


def test_the_lines_of_a_folder_make_an_inventory(folder):
    one, target = sources([folder])[0], io.BytesIO()
    read(one)
    lines = one.lines(ITEM)
    writer = InventoryWriter(target, package=ITEM, count=len(lines))
    for line in lines:
        writer.add(line)
    commitment = writer.finish()
    target.seek(0)
    reader = InventoryReader(target)
    assert {line.path for line in reader.lines()} >= {b"seized/" + name for name in NAMES}
    reader.check(commitment.hex(), package=ITEM)


def test_other_programs_read_the_archive(folder):
    found = {}
    with tarfile.open(fileobj=io.BytesIO(read(sources([folder])[0])), errors="surrogateescape") as archive:
        for member in archive:
            found[os.fsencode(member.name)] = archive.extractfile(member).read() if member.isfile() else member.linkname
    assert found[b"seized/link"] == "../outside"
    for number, name in enumerate(NAMES):
        assert found[b"seized/" + name] == bytes([number]) * (number * 1000)


def test_the_archive_has_no_records_but_the_four(folder):
    with tarfile.open(fileobj=io.BytesIO(read(sources([folder])[0])), errors="surrogateescape") as archive:
        kept = {key for member in archive for key in member.pax_headers}
        assert {member.type for member in archive} <= {b"0", b"2", b"5"}
    assert kept
    assert kept <= {"path", "linkpath", "size", "mtime"}


@given(
    path=st.binary(min_size=1, max_size=400).filter(lambda raw: b"\0" not in raw and not raw.endswith(b"/")),
    size=st.sampled_from([0, 1, 511, 512, 8**11 - 1, 8**11, 2**43]),
    mtime=st.integers(-(2**60), 2**62),
)
@settings(max_examples=150)
def test_a_header_says_what_its_member_is(path, size, mtime):
    made = tar.header(tar.Member(path, "file", size, mtime))
    assert len(made) % tar.BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(made + tar.END), errors="surrogateescape", encoding="utf-8") as archive:
        [member] = [archive.next()]
    assert os.fsencode(member.name) == path
    assert member.size == size
    assert abs(float(member.pax_headers.get("mtime", member.mtime)) - mtime / 1e9) < 1e-3 * max(1, abs(mtime) / 1e12)


def test_a_file_is_its_own_plaintext_also_if_it_is_empty(tmp_path):
    for size in (0, 1, 3_000_000):
        path = tmp_path / f"file-{size}"
        path.write_bytes(os.urandom(size))
        [one] = sources([path])
        assert read(one) == path.read_bytes()
        [line] = one.lines(ITEM)
        assert (line.path, line.size, list(line.extents)) == (f"file-{size}".encode(), size, [(ITEM, 0, size)])


def change_content(path):
    path.write_bytes(b"z" * path.stat().st_size)


def change_size(path):
    with path.open("ab") as file:
        file.write(b"more")


def cut(path):
    os.truncate(path, 100)


def exchange(path):
    path.rename(path.with_suffix(".old"))
    path.write_bytes(b"other")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("change", [change_content, change_size, cut, exchange, remove])
@pytest.mark.parametrize("whole_folder", [True, False], ids=["folder", "file"])
def test_a_file_that_changes_before_it_is_read_is_named(tmp_path, change, whole_folder):
    root = tmp_path / "case"
    root.mkdir()
    path = root / "victim.bin"
    path.write_bytes(os.urandom(2_500_000))
    os.utime(path, ns=(1, 1))
    [one] = sources([root if whole_folder else path])
    change(path)
    with pytest.raises(SourceChanged, match=r"victim\.bin"):
        read(one)


@pytest.mark.parametrize("change", [change_content, change_size, cut, exchange, remove])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, change):
    path = tmp_path / "victim.bin"
    path.write_bytes(os.urandom(4_500_000))
    os.utime(path, ns=(1, 1))
    pieces = sources([path])[0].pieces()
    next(pieces)
    change(path)
    with pytest.raises(SourceChanged, match=r"victim\.bin"):
        list(pieces)


def test_a_link_that_turns_elsewhere_is_noticed(folder):
    [one] = sources([folder])
    (folder / "link").unlink()
    os.symlink("../elsewhere", folder / "link")
    with pytest.raises(SourceChanged, match="link"):
        read(one)


def test_a_folder_walk_follows_no_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "in" / "way-out")
    [one] = sources([tmp_path / "in"])
    assert b"secret" not in read(one).replace(b"/outside", b"")
    assert [line.path for line in one.lines(ITEM)] == [b"in", b"in/way-out"]


def test_what_cannot_be_sent_is_refused_with_a_reason(tmp_path):
    with pytest.raises(SourceUnsendable) as refused:
        sources([source.Path("-")])
    assert "file first" in (refused.value.hint or "")
    with pytest.raises(SourceMissing):
        sources([tmp_path / "absent"])
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "pipe")
    with pytest.raises(SourceUnsendable, match="pipe"):
        sources([tmp_path / "pipes"])


def test_two_sources_of_one_name_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "disk.dd").write_bytes(b"x")
    with pytest.raises(SourceUnsendable, match=r"disk\.dd"):
        sources([tmp_path / "a" / "disk.dd", tmp_path / "b" / "disk.dd"])


def test_twenty_thousand_small_files_are_one_item(tmp_path):
    root = tmp_path / "many"
    root.mkdir()
    for number in range(20_000):
        with open(root / f"{number:05}", "wb") as file:
            file.write(b"%d" % number)
    [one] = sources([root])
    assert sum(len(piece) for piece in one.pieces()) == one.size
    lines = one.lines(ITEM)
    assert len(lines) == 20_001
    assert lines[17].sha256 == hashlib.sha256(b"16").digest()
