# ruff: noqa: PTH118 - paths as the walk gives them
"""From plaintext to files: hostile inventories write nothing outside and nothing unchecked."""

import hashlib
import os

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from rogatory.names import NameRefused
from rogatory.unpack import Delivered, Delivery, PlaintextDiffers, finish_tree, layouts

from custody.inventory import Line

ITEM = "ab" * 16


def line(path, data=b"", offset=0, **changes):
    facts = {
        "path": path,
        "type": "file",
        "size": len(data),
        "sha256": hashlib.sha256(data).digest(),
        "blake3": blake3(data).digest(),
        "extents": [(ITEM, offset, len(data))],
    }
    return Line(**(facts | changes))


def link(path, target):
    return Line(path=path, type="symlink", target=target)


def deliver(root, lines, data, *, unpack=True, step=7):
    root.mkdir(exist_ok=True)
    into = Delivered()
    with Delivery(root, layouts(lines, {ITEM: len(data)})[ITEM], unpack=unpack, into=into) as delivery:
        for start in range(0, len(data), step):
            delivery.write(data[start : start + step])
        delivery.finish()
    finish_tree(root, lines, into, unpack=unpack)
    return into


def everything(place):
    return sorted(
        os.path.relpath(os.path.join(folder, name), place) for folder, _, names in os.walk(place) for name in names
    )


HOSTILE = [
    b"../escaped",
    b"/abs",
    b"a/../../escaped",
    b"a//b",
    b".",
    b"x/./y",
    b"e" * 300,
    b"/".join([b"d" * 200] * 25),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_writes_nothing_outside_and_is_reported(tmp_path, name):
    lines = [line(name, b"evil", 0), line(b"good", b"good", 4)]
    into = deliver(tmp_path / "in", lines, b"evilgood")
    assert everything(tmp_path) == ["in/good"]
    assert len(into.skipped) == 1
    assert into.files == 2


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../x", b"../..", b"a/../../../b"])
def test_a_link_that_leads_out_is_not_made(tmp_path, target):
    into = deliver(tmp_path / "in", [line(b"f", b"12", 1), link(b"way/out", target)], b"012")
    assert not os.path.lexists(tmp_path / "in" / "way" / "out")
    assert [name for name, _ in into.skipped] == ["way/out"]


def test_no_file_is_written_through_a_link_of_the_package(tmp_path):
    (tmp_path / "outside").mkdir()
    lines = [link(b"door", b"here"), line(b"door/file", b"evil", 1)]
    into = deliver(tmp_path / "in", lines, b"0evil")
    assert everything(tmp_path) == ["in/door/file"]
    assert [name for name, _ in into.skipped] == ["door"]


@pytest.mark.parametrize("name", [b"way/on", b"way/on/and/on", b"/".join([b"d" * 200] * 25)])
def test_a_name_that_cannot_be_had_is_reported_and_the_rest_is_made(tmp_path, name):
    """Below a link, wherever that leads, and beyond what a path can be long."""
    lines = [line(b"f", b"12", 1), link(b"way", b"y" * 256), link(name, b"f"), link(b"z", b"f")]
    into = deliver(tmp_path / "in", lines, b"012")
    assert everything(tmp_path) == ["in/f", "in/way", "in/z"]
    assert [shown for shown, _ in into.skipped] == [name.decode()]


def test_a_link_inside_is_made(tmp_path):
    deliver(tmp_path / "in", [line(b"d/f", b"12", 1), link(b"d/l", b"f")], b"012")
    assert (tmp_path / "in" / "d" / "l").read_bytes() == b"12"


@pytest.mark.parametrize("unpack", [True, False])
def test_a_file_that_is_not_the_inventorys_is_named(tmp_path, unpack):
    lines = [line(b"a", b"aaaa", 1), line(b"b", b"bbbb", 5)]
    with pytest.raises(PlaintextDiffers, match="'b'"):
        deliver(tmp_path / "in", lines, b"0aaaabbbx", unpack=unpack)


def test_two_names_that_are_one_here_are_refused(tmp_path):
    lines = [line(b"a", b"1", 0), line(b"a/b", b"2", 1), line(b"c", b"3", 2)]
    into = deliver(tmp_path / "in", lines, b"123")
    assert everything(tmp_path) == ["in/a", "in/c"]
    assert [name for name, _ in into.skipped] == ["a/b"]


@pytest.mark.parametrize(
    "lines",
    [
        [line(b"a", b"1234", 0), line(b"b", b"34", 2)],
        [line(b"a", b"1234", 100)],
        [line(b"a", b"1234", 0, extents=[(ITEM, 0, 2), (ITEM, 2, 2)])],
    ],
    ids=["overlap", "outside", "several"],
)
def test_extents_that_cannot_be_followed_leave_the_item_whole_and_unchecked(tmp_path, lines):
    layout = layouts(lines, {ITEM: 10})[ITEM]
    assert (layout.kind, layout.checked) == ("opaque", False)
    into = deliver(tmp_path / "in", lines, b"0123456789")
    assert (tmp_path / "in" / f"item-{ITEM}.bin").read_bytes() == b"0123456789"
    assert into.files == 0


def test_a_single_file_with_a_name_that_cannot_be_gets_its_items_id(tmp_path):
    into = deliver(tmp_path / "in", [line(b"../../evil", b"data", 0)], b"data")
    assert everything(tmp_path) == [f"in/item-{ITEM}.bin"]
    assert into.files == 1


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    gaps=st.lists(st.integers(1, 9), min_size=8, max_size=8),
    step=st.integers(1, 50),
)
@settings(max_examples=100)
def test_whatever_the_pieces_every_file_is_its_extent(tmp_path_factory, sizes, gaps, step):
    data, lines = b"", []
    for number, (size, gap) in enumerate(zip(sizes, gaps, strict=False)):
        content = os.urandom(size)
        data += bytes(gap)
        lines.append(line(b"f%d" % number, content, len(data)))
        data += content
    place = tmp_path_factory.mktemp("u")
    into = deliver(place / "in", lines, data, step=step)
    assert into.files == len(lines)
    for one in lines:
        found = (place / "in" / one.path.decode()).read_bytes()
        assert hashlib.sha256(found).digest() == one.sha256
    assert dict(into.sums).keys() == {b"evidence/" + one.path for one in lines}


def test_a_name_taken_twice_in_a_layout_stops_before_anything_is_overwritten(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "disk.dd").write_bytes(b"first")
    with pytest.raises(NameRefused):
        deliver(tmp_path / "in", [line(b"disk.dd", b"data", 0)], b"data")
    assert (tmp_path / "in" / "disk.dd").read_bytes() == b"first"
