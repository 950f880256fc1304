import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import batch, merkle
from custody.errors import CustodyError
from tests import reference


def data(size):
    return [bytes([i]) for i in range(size)]


def node_over(size):
    leaves = data(size)
    return lambda level, index: reference.mth(leaves[index << level : (index + 1) << level])


@st.composite
def cases(draw):
    size = draw(st.integers(1, 40))
    indices = sorted(draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=12)))
    leaves = {i: merkle.leaf_hash(bytes([i])) for i in indices}
    return {
        "leaves": leaves,
        "size": size,
        "hashes": reference.batch(indices, data(size)),
        "root": reference.mth(data(size)),
    }


def flipped(value, bit):
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(cases())
def test_proofs_are_the_references_and_verify(case):
    assert batch.batch_proof(list(case["leaves"]), case["size"], node_over(case["size"])) == case["hashes"]
    batch.verify_batch(**case)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_leaves_does_not_matter(case, random):
    shuffled = list(case["leaves"].items())
    random.shuffle(shuffled)
    batch.verify_batch(**{**case, "leaves": dict(shuffled)})


@given(cases(), st.data(), st.integers(0, 255))
def test_any_flipped_bit_is_noticed(case, draws, bit):
    where = draws.draw(st.sampled_from(["root", *case["leaves"]]))
    if where == "root":
        bad = {**case, "root": flipped(case["root"], bit)}
    else:
        bad = {**case, "leaves": {**case["leaves"], where: flipped(case["leaves"][where], bit)}}
    with pytest.raises(merkle.RootMismatch):
        batch.verify_batch(**bad)
    for place in range(len(case["hashes"])):
        hashes = [flipped(x, bit) if i == place else x for i, x in enumerate(case["hashes"])]
        with pytest.raises(merkle.RootMismatch):
            batch.verify_batch(**{**case, "hashes": hashes})


@given(cases())
def test_a_hash_missing_or_left_over_is_noticed(case):
    with pytest.raises(batch.BatchMismatch):
        batch.verify_batch(**{**case, "hashes": [*case["hashes"], bytes(32)]})
    if case["hashes"]:
        with pytest.raises(batch.BatchMismatch):
            batch.verify_batch(**{**case, "hashes": case["hashes"][:-1]})


@given(
    st.dictionaries(st.integers(-1, 40), st.just(bytes(32)), max_size=6),
    st.integers(-1, 40),
    st.lists(st.just(bytes(32)), max_size=12),
)
def test_verification_accepts_exactly_what_the_definition_accepts(leaves, size, hashes):
    outside = not leaves or not all(0 <= i < size for i in leaves)
    try:
        expected = None if outside else reference.batch_root(leaves, size, hashes)
    except ValueError:
        expected = None
    root = expected or bytes(32)
    if expected is None:
        with pytest.raises((batch.BatchMalformed, batch.BatchMismatch)):
            batch.verify_batch(leaves=leaves, size=size, hashes=hashes, root=root)
    else:
        batch.verify_batch(leaves=leaves, size=size, hashes=hashes, root=root)


@pytest.mark.parametrize("indices", [[], [1, 0], [1, 1], [-1], [4], [0, 4]])
def test_indices_not_ascending_or_outside_are_refused(indices):
    with pytest.raises(batch.BatchMalformed):
        batch.batch_proof(indices, 4, node_over(4))


@pytest.mark.parametrize(
    "bad", [{"leaves": {0: bytes(31)}}, {"hashes": [bytes(33)]}, {"root": b""}, {"size": 2**63}, {"size": 0}]
)
def test_another_shape_is_malformed(bad):
    good = {"leaves": {0: bytes(32)}, "size": 2, "hashes": [bytes(32)], "root": bytes(32)}
    with pytest.raises(batch.BatchMalformed):
        batch.verify_batch(**{**good, **bad})


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_the_file_is_the_references_and_reads_back(size, hashes):
    encoded = batch.encode(size, hashes)
    assert encoded == reference.batch_file(size, hashes)
    assert batch.parse(encoded) == (size, hashes)


GOOD = reference.batch_file(7, [bytes(32), bytes([255] * 32)])


@given(st.data())
def test_a_changed_file_is_another_value_or_refused(draws):
    changed = bytearray(GOOD)
    place = draws.draw(st.integers(0, len(GOOD) - 1))
    changed[place] = draws.draw(st.integers(0, 255))
    try:
        read = batch.parse(bytes(changed))
    except CustodyError:
        return
    assert batch.encode(*read) == bytes(changed)


@given(st.one_of(st.binary(), st.builds(lambda x: b"rogatory/batch-inclusion/v1\n" + x, st.binary())))
def test_garbage_is_refused(data):
    with pytest.raises(CustodyError):
        batch.parse(data + b"\xff")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b"\n7\n", b"\n07\n"),
        GOOD.replace(b"v1", b"v2"),
        GOOD.replace(b"A=", b"B="),
        GOOD.replace(b"\n7\n", b"\n7\n\n"),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD + b"AAAA\n",
    ],
)
def test_another_spelling_is_refused(text):
    with pytest.raises(CustodyError):
        batch.parse(text)
