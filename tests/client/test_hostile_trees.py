# ruff: noqa: PTH113, PTH114, PTH116, PTH118, PTH123, PTH208 - names are bytes here, which pathlib does not take
"""Whole trees of hostile names and links: nothing is made outside, nothing made leads outside, nothing is silent."""

import errno
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from rogatory import names

from tests.client.test_unpack import ITEM, deliver, line, link

WORDS = (
    b"", b".", b"..", b"a", b"A", b"con", b"C:", b"b\\c", b"\\\\host", b"nul\0", b"line\nend", b"\r\nx", b"=1+1",
    b"@cmd", b"-rf", b"~", b"\xff\xfe", b"x" * 255, b"y" * 256, b" lead", b"trail ", b"dot.", b"\xef\xbb\xbfbom",
    "\u202efdp.exe".encode(), "\u2066iso".encode(), "é".encode(), "e\u0301".encode(), "ﬁ".encode(), "К".encode(),
)  # fmt: skip


ALONE = f"item-{ITEM}.bin".encode()
"""What a single file is called whose name cannot be."""


def names_refused(name):
    try:
        names.safe_join(Path("root"), name)
    except names.NameRefused:
        return True
    return False


def path(random):
    steps = [random.choice(WORDS) for _ in range(random.randrange(1, 4))]
    return (b"/" if random.random() < 0.1 else b"") + b"/".join(steps)


def tree(random):
    """Lines of an inventory, each name once; and the plaintext that they lie in."""
    lines, data = {}, b""
    for _ in range(random.randrange(1, 9)):
        name = path(random)
        if random.random() < 0.3:
            lines[name] = link(name, path(random))
            continue
        content = random.randbytes(random.randrange(1, 6))
        if name not in lines:
            lines[name] = line(name, content, len(data))
            data += content
    return list(lines.values()), data


def made(root):
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [*folders, *files]:
            yield os.path.join(folder, name)


def leads_somewhere(link):
    """Whether it is no circle of links; of one `realpath` says nothing that counts."""
    try:
        os.stat(link)
    except OSError as error:
        return error.errno != errno.ELOOP
    return True


@pytest.mark.deep
def test_no_tree_leaves_its_place_or_hides_a_name(tmp_path, effort):
    random = effort.random
    for _ in effort.turns(usual=250, full=100_000):
        lines, data = tree(random)
        if not data:
            continue
        place = tmp_path / "place"
        place.mkdir()
        into = deliver(place / "in", lines, data)
        assert os.listdir(place) == ["in"]
        root = os.path.realpath(os.fsencode(place / "in"))
        there = list(made(place / "in"))
        for each in filter(leads_somewhere, there):
            assert (os.path.realpath(each) + b"/").startswith(root + b"/"), each
        wanted = {each.path: each for each in lines}
        kept = {os.path.relpath(each, root) for each in there if os.path.islink(each) or os.path.isfile(each)}
        if ALONE in kept:
            [only] = [each.path for each in lines if each.type == "file"]
            assert names_refused(only)
            kept.remove(ALONE)
            wanted.pop(only)
        assert kept <= wanted.keys()
        told = [name for name, _ in into.skipped]
        assert sorted(told) == sorted(names.shown(each) for each in wanted.keys() - kept)
        for each in kept:
            if wanted[each].type == "file":
                with open(os.path.join(root, each), "rb") as file:
                    ((_, offset, size),) = wanted[each].extents
                    assert file.read() == data[offset : offset + size]
        shutil.rmtree(place)


def test_names_that_look_alike_are_two_files_or_one_is_told(tmp_path):
    """Where a file system takes them for one, the second is reported; here nothing is overwritten either way."""
    alike = ["Grüße", unicodedata.normalize("NFD", "Grüße"), "FILE", "file", "ﬁle"]
    lines = [line(name.encode(), b"%d" % number, number) for number, name in enumerate(alike)]
    into = deliver(tmp_path / "in", lines, b"01234")
    contents = [(tmp_path / "in" / name).read_bytes() for name in os.listdir(tmp_path / "in")]
    assert len(contents) + len(into.skipped) == len(alike)
    assert len(set(contents)) == len(contents)
