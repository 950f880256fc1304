import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import keys
from storage.interface import GridViolation, KeyMalformed
from storage.parts import MAX_PART, MAX_PARTS, MIN_PART, grid, part_sizes

LARGEST = MAX_PARTS * MAX_PART
HEX = "0123456789abcdef" * 2


@given(st.integers(0, LARGEST))
def test_the_grid_is_the_smallest_power_of_two_that_fits(size):
    part_size = grid(size)
    assert MIN_PART <= part_size <= MAX_PART
    assert part_size & (part_size - 1) == 0
    assert size <= part_size * MAX_PARTS
    assert part_size == MIN_PART or size > part_size // 2 * MAX_PARTS


@pytest.mark.parametrize("size", [-1, LARGEST + 1])
def test_a_size_that_no_grid_holds_is_refused(size):
    with pytest.raises(GridViolation):
        grid(size)


def test_tests_may_use_smaller_parts():
    assert grid(0, minimum=8) == 8
    assert grid(80_000, minimum=8) == 8
    assert grid(80_001, minimum=8) == 16


@given(st.integers(0, 100_000), st.sampled_from([16, 32, 1024]))
def test_part_sizes_add_up_and_only_the_last_is_short(size, part_size):
    sizes = part_sizes(size, part_size)
    assert sum(sizes) == size
    assert all(each == part_size for each in sizes[:-1])
    assert all(0 < each <= part_size for each in sizes[-1:])


@pytest.mark.parametrize("size", [-1, MAX_PARTS * 16 + 1])
def test_a_body_beyond_ten_thousand_parts_is_refused(size):
    with pytest.raises(GridViolation):
        part_sizes(size, 16)


def test_names_are_safe_keys_of_hex_only():
    assert keys.check_key(keys.body(HEX, HEX)) == f"bodies/{HEX}/{HEX}"
    assert keys.check_key(keys.parts(HEX, HEX)) == f"parts/{HEX}/{HEX}"
    assert keys.check_key(keys.header(bytes(32))) == "headers/" + "00" * 32


@pytest.mark.parametrize("wrong", ["", "..", HEX.upper(), HEX + "0", HEX[:-1], "../" + HEX[:-3], HEX + "\n"])
def test_names_of_anything_but_ids_are_refused(wrong):
    for make in (keys.body, keys.parts):
        with pytest.raises(KeyMalformed):
            make(wrong, HEX)
        with pytest.raises(KeyMalformed):
            make(HEX, wrong)


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_a_header_is_named_by_a_digest_only(wrong):
    with pytest.raises(KeyMalformed):
        keys.header(wrong)


@given(st.text(alphabet="abz019._-/", max_size=12))
def test_a_key_that_passes_has_no_odd_segment_and_its_beginnings_are_prefixes(text):
    try:
        keys.check_key(text)
    except KeyMalformed:
        assert not text or any(not segment[:1].isalnum() for segment in text.split("/"))
        return
    assert all(segment[0].isalnum() for segment in text.split("/"))
    assert [keys.check_prefix(text[:end]) for end in range(len(text))] == [text[:end] for end in range(len(text))]


@pytest.mark.parametrize("wrong", ["/", "/a", "../a", "a//b", "A", "a" * 201, ".a"])
def test_a_prefix_that_begins_no_key_is_refused(wrong):
    with pytest.raises(KeyMalformed):
        keys.check_prefix(wrong)
