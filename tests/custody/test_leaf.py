import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import leaf, merkle
from tests import reference

BYTES32 = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(BYTES32, BYTES32, NAMES, NAMES)
def test_every_formula_agrees_with_the_reference(one, two, origin, authority):
    assert leaf.commitment(one, two) == reference.commitment(one, two)
    assert leaf.next_label(one, two) == reference.next_label(one, two)
    assert leaf.first_label(origin, one) == reference.first_label(origin, one)
    assert leaf.registry_handle(origin, authority) == reference.registry_handle(origin, authority)
    assert leaf.entry_leaf(one, two) == reference.entry_leaf(one, two)
    assert leaf.tail_leaf(one) == reference.tail_leaf(one)


@given(BYTES32, BYTES32)
def test_what_is_made_is_read_back(one, two):
    assert leaf.parse(leaf.entry_leaf(one, two)) == leaf.EntryLeaf(label=one, commitment=two)
    assert leaf.parse(leaf.tail_leaf(one)) == leaf.TailLeaf(root=one)


@given(BYTES32, BYTES32)
def test_a_dummy_cannot_be_told_from_an_entry(one, two):
    assert leaf.dummy_leaf(one + two) == leaf.entry_leaf(one, two)


@given(st.one_of(st.binary(max_size=70), st.binary(min_size=64, max_size=66), st.binary(min_size=32, max_size=34)))
def test_data_is_a_leaf_of_its_first_byte_and_length_or_malformed(data):
    is_leaf = (data[:1], len(data)) in {(b"\x01", 65), (b"\x02", 33)}
    if is_leaf:
        leaf.parse(data)
    else:
        with pytest.raises(leaf.LeafMalformed):
            leaf.parse(data)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_leaves_are_made_of_32_bytes_only(length):
    short, good = bytes(length), bytes(32)
    for make in (
        lambda: leaf.commitment(short, good),
        lambda: leaf.commitment(good, short),
        lambda: leaf.next_label(short, good),
        lambda: leaf.next_label(good, short),
        lambda: leaf.first_label("o", short),
        lambda: leaf.entry_leaf(short, good),
        lambda: leaf.entry_leaf(good, short),
        lambda: leaf.entry_leaf_hash(short, good, good),
        lambda: leaf.entry_leaf_hash(good, short, good),
        lambda: leaf.entry_leaf_hash(good, good, short),
        lambda: leaf.tail_leaf(short),
    ):
        with pytest.raises(leaf.LeafMalformed):
            make()


def test_a_dummy_takes_64_bytes():
    with pytest.raises(leaf.LeafMalformed):
        leaf.dummy_leaf(bytes(63))


def test_the_hash_of_an_entrys_leaf_is_that_of_its_data():
    label, salt, entry_hash = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    data = leaf.entry_leaf(label, leaf.commitment(salt, entry_hash))
    assert leaf.entry_leaf_hash(label, salt, entry_hash) == merkle.leaf_hash(data)
