from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import merkle
from custody.errors import CustodyError
from tests import reference

SIZES = st.integers(1, 40)
HASHES = st.binary(min_size=32, max_size=32)


def data(size):
    return [bytes([i, i >> 3]) for i in range(size)]


def hashes(size):
    return [merkle.leaf_hash(x) for x in data(size)]


def node_over(size):
    leaves = data(size)
    return lambda level, index: reference.mth(leaves[index << level : (index + 1) << level])


def flipped(value, bit):
    changed = bytearray(value)
    changed[bit // 8 % len(value)] ^= 1 << bit % 8
    return bytes(changed)


def place(draw):
    size = draw(SIZES)
    return draw(st.integers(0, size - 1)), size


def inclusion_case(draw):
    index, size = place(draw)
    leaves = data(size)
    return {
        "index": index,
        "size": size,
        "leaf": merkle.leaf_hash(leaves[index]),
        "path": reference.path(index, leaves),
        "root": reference.mth(leaves),
    }


def consistency_case(draw):
    size1, size2 = sorted((draw(SIZES), draw(SIZES)))
    leaves = data(size2)
    return {
        "size1": size1,
        "size2": size2,
        "root1": reference.mth(leaves[:size1]),
        "root2": reference.mth(leaves),
        "path": reference.proof(size1, leaves),
    }


def test_the_empty_root_is_the_hash_of_nothing():
    assert sha256(b"").digest() == merkle.EMPTY_ROOT == merkle.root([])


@given(SIZES)
def test_the_root_agrees_with_the_reference(size):
    assert merkle.root(iter(hashes(size))) == reference.mth(data(size))


@given(st.data())
def test_inclusion_paths_are_the_references_and_verify(draws):
    case = inclusion_case(draws.draw)
    path = merkle.inclusion_path(index=case["index"], size=case["size"], node=node_over(case["size"]))
    assert path == case["path"]
    merkle.verify_inclusion(**case)


@given(st.data())
def test_consistency_paths_are_the_references_and_verify(draws):
    case = consistency_case(draws.draw)
    path = merkle.consistency_path(size1=case["size1"], size2=case["size2"], node=node_over(case["size2"]))
    assert path == case["path"]
    merkle.verify_consistency(**case)


@given(st.data(), st.integers(0, 255))
def test_any_flipped_bit_of_an_inclusion_proof_is_noticed(draws, bit):
    case = inclusion_case(draws.draw)
    where = draws.draw(st.sampled_from(["leaf", "root", *range(len(case["path"]))]))
    if isinstance(where, int):
        case["path"][where] = flipped(case["path"][where], bit)
    else:
        case[where] = flipped(case[where], bit)
    with pytest.raises(merkle.RootMismatch):
        merkle.verify_inclusion(**case)


@given(st.data(), st.integers(0, 255))
def test_any_flipped_bit_of_a_consistency_proof_is_noticed(draws, bit):
    case = consistency_case(draws.draw)
    where = draws.draw(st.sampled_from(["root1", "root2", *range(len(case["path"]))]))
    if isinstance(where, int):
        case["path"][where] = flipped(case["path"][where], bit)
    else:
        case[where] = flipped(case[where], bit)
    with pytest.raises(merkle.RootMismatch):
        merkle.verify_consistency(**case)


@given(st.data())
def test_a_leaf_proves_no_other_place(draws):
    case = inclusion_case(draws.draw)
    other = draws.draw(st.integers(0, case["size"] - 1).filter(lambda i: i != case["index"] or case["size"] == 1))
    if other != case["index"]:
        with pytest.raises((merkle.ProofMalformed, merkle.RootMismatch)):
            merkle.verify_inclusion(**{**case, "index": other})


@given(st.data())
def test_a_path_too_long_or_too_short_is_malformed(draws):
    case = inclusion_case(draws.draw)
    with pytest.raises(merkle.ProofMalformed):
        merkle.verify_inclusion(**{**case, "path": [*case["path"], bytes(32)]})
    if case["path"]:
        with pytest.raises(merkle.ProofMalformed):
            merkle.verify_inclusion(**{**case, "path": case["path"][:-1]})


@given(st.data())
def test_a_consistency_path_too_long_or_too_short_is_malformed(draws):
    case = consistency_case(draws.draw)
    with pytest.raises(merkle.ProofMalformed):
        merkle.verify_consistency(**{**case, "path": [*case["path"], bytes(32)]})
    if case["path"]:
        with pytest.raises(merkle.ProofMalformed):
            merkle.verify_consistency(**{**case, "path": case["path"][:-1]})


def test_equal_sizes_need_equal_roots():
    merkle.verify_consistency(size1=3, size2=3, root1=bytes(32), root2=bytes(32), path=[])
    with pytest.raises(merkle.RootMismatch):
        merkle.verify_consistency(size1=3, size2=3, root1=bytes(32), root2=bytes([1] * 32), path=[])


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 1), (2, 1), (-1, 1), (1, 2**63)])
def test_sizes_out_of_order_are_refused(size1, size2):
    with pytest.raises(merkle.ProofMalformed):
        merkle.verify_consistency(size1=size1, size2=size2, root1=bytes(32), root2=bytes(32), path=[])
    with pytest.raises(merkle.ProofMalformed):
        merkle.consistency_path(size1=size1, size2=size2, node=node_over(4))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (0, 2**63)])
def test_an_index_outside_the_tree_is_refused(index, size):
    with pytest.raises(merkle.ProofMalformed):
        merkle.verify_inclusion(index=index, size=size, leaf=bytes(32), root=bytes(32), path=[])
    with pytest.raises(merkle.ProofMalformed):
        merkle.inclusion_path(index=index, size=size, node=node_over(4))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_hash_of_another_length_is_malformed(length):
    good = {"index": 0, "size": 2, "leaf": bytes(32), "path": [bytes(32)], "root": bytes(32)}
    for change in ({"leaf": bytes(length)}, {"path": [bytes(length)]}, {"root": bytes(length)}):
        with pytest.raises(merkle.ProofMalformed):
            merkle.verify_inclusion(**{**good, **change})
    with pytest.raises(merkle.ProofMalformed):
        merkle.CompactRange(1, [bytes(length)])


@given(
    st.integers(-(2**70), 2**70),
    st.integers(-(2**70), 2**70),
    HASHES,
    HASHES,
    st.lists(st.binary(min_size=30, max_size=33), max_size=70),
)
def test_garbage_raises_only_custody_errors(a, b, one, two, path):
    for check in (
        lambda: merkle.verify_inclusion(index=a, size=b, leaf=one, root=two, path=path),
        lambda: merkle.verify_consistency(size1=a, size2=b, root1=one, root2=two, path=path),
        lambda: merkle.CompactRange(a, path),
    ):
        try:
            check()
        except CustodyError:
            continue


@given(SIZES, st.integers(0, 40))
def test_a_compact_range_grows_to_the_same_root_wherever_it_is_resumed(size, pause):
    grown = merkle.CompactRange()
    for count, value in enumerate(hashes(size)):
        if count == pause:
            grown = merkle.CompactRange(grown.size, grown.hashes)
        assert grown.root() == reference.mth(data(count))
        grown.append(value)
    assert (grown.size, grown.root()) == (size, reference.mth(data(size)))


@given(SIZES)
def test_appending_tells_every_perfect_subtree_once(size):
    grown, found = merkle.CompactRange(), {}
    for value in hashes(size):
        for level, index, subtree in grown.append(value):
            assert (level, index) not in found
            found[level, index] = subtree
    node = node_over(size)
    assert found == {(level, index): node(level, index) for level in range(6) for index in range(size >> level)}


@given(st.data())
def test_a_subtree_root_is_the_references(draws):
    size = draws.draw(SIZES)
    level = draws.draw(st.integers(0, 5))
    low = draws.draw(st.integers(0, size >> level)) << level
    high = min(low + (1 << level), size)
    found = merkle.subtree_root(low, high, node_over(size))
    assert found == reference.mth(data(size)[low:high])


def test_a_compact_range_needs_one_hash_for_each_binary_one():
    with pytest.raises(merkle.ProofMalformed):
        merkle.CompactRange(3, [bytes(32)])
