import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import tiles
from custody.errors import CustodyError
from custody.tiles import Tile, TileMalformed
from tests import reference

LEVELS = st.integers(0, 63)
NUMBERS = st.one_of(st.integers(0, 3000), st.integers(0, 2**55 - 1))
WIDTHS = st.integers(1, 256)


def suffix(width):
    return "" if width == 256 else f".p/{width}"


@given(LEVELS, NUMBERS, WIDTHS)
def test_paths_are_the_references_and_read_back(level, n, width):
    path = tiles.tile_path(level, n, width)
    assert path == f"tile/{level}/{reference.number(n)}{suffix(width)}"
    assert tiles.parse_path(path) == Tile(level=level, n=n, width=width)
    path = tiles.entries_path(n, width)
    assert path == f"tile/entries/{reference.number(n)}{suffix(width)}"
    assert tiles.parse_path(path) == Tile(level=None, n=n, width=width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/data/000",
        "tile/0/../000",
        "tile/0/٠٠٠",
        "tile/0/" + "x999/" * 6 + "999",
    ],
)
def test_what_names_no_tile_is_refused(path):
    with pytest.raises(TileMalformed):
        tiles.parse_path(path)


@given(st.from_regex(r"\Atile/([0-9]{1,2}|entries)/(x?[0-9]{3}/){0,2}[0-9]{3}(\.p/[0-9]{1,3})?\Z"))
def test_every_path_has_one_spelling(path):
    try:
        tile = tiles.parse_path(path)
    except TileMalformed:
        return
    make = tiles.entries_path if tile.level is None else lambda n, width: tiles.tile_path(tile.level, n, width)
    assert make(tile.n, tile.width) == path


@pytest.mark.parametrize(
    ("level", "n", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)]
)
def test_a_place_out_of_bounds_has_no_path(level, n, width):
    with pytest.raises(TileMalformed):
        tiles.tile_path(level, n, width)


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=20))
def test_entries_are_the_references_and_read_back(items):
    data = tiles.encode_entries(items)
    assert data == reference.entries(items)
    assert tiles.parse_entries(data, len(items)) == items


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=5), st.integers(0, 7))
def test_a_bundle_holds_exactly_its_width(items, width):
    if width != len(items):
        with pytest.raises(TileMalformed):
            tiles.parse_entries(tiles.encode_entries(items), width)


@given(st.binary(max_size=40), st.integers(-1, 300))
def test_every_bundle_has_one_spelling(data, width):
    try:
        items = tiles.parse_entries(data, width)
    except CustodyError:
        return
    assert tiles.encode_entries(items) == data
    assert len(items) == width


@pytest.mark.parametrize("items", [[], [b""] * 257, [bytes(65536)]])
def test_a_bundle_out_of_bounds_is_never_made(items):
    with pytest.raises(TileMalformed):
        tiles.encode_entries(items)


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02\x01", b"\x00\x01\x01\x00", b""])
def test_a_length_past_the_end_is_malformed(data):
    with pytest.raises(TileMalformed):
        tiles.parse_entries(data, 1)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
def test_hashes_read_back(hashes):
    assert tiles.parse_hashes(tiles.encode_hashes(hashes), len(hashes)) == hashes
    with pytest.raises(TileMalformed):
        tiles.parse_hashes(tiles.encode_hashes(hashes) + b"\x00", len(hashes))


@pytest.mark.parametrize("hashes", [[], [bytes(32)] * 257, [bytes(31)]])
def test_a_tile_out_of_bounds_is_never_made(hashes):
    with pytest.raises(TileMalformed):
        tiles.encode_hashes(hashes)
