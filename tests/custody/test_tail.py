import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import tail
from custody.errors import CustodyError
from tests import reference

FEW_BUCKETS = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from([b"\x00\x00", b"\x00\x01", b"\x12\x34", b"\xff\xff"]),
    st.binary(min_size=30, max_size=30),
)
LABELS = st.lists(FEW_BUCKETS, max_size=8, unique=True)
ABSENT = b"\x12\x34" + bytes([9] * 30)


def proof_for(labels, label):
    bucket = reference.bucket_of(label)
    return tail.TailProof(
        root=reference.tail_root(labels),
        bucket=tuple(x for x in labels if reference.bucket_of(x) == bucket),
        path=tuple(reference.tail_path(labels, bucket)),
    )


def changed(proof, **members):
    return tail.TailProof(**{"root": proof.root, "bucket": proof.bucket, "path": proof.path, **members})


@settings(max_examples=25)
@given(LABELS, LABELS)
def test_the_tree_agrees_with_the_reference_however_it_was_built(first, second):
    tree = tail.TailTree()
    for label in first:
        tree.add(label)
    assert tree.root() == reference.tail_root(first)
    for label in second:
        tree.add(label)
    both = first + second
    assert tree.root() == reference.tail_root(both) == tail.TailTree(tree.heads()).root()
    assert tree.heads() == reference.tail_heads(both)
    assert tree.path(0x1234) == reference.tail_path(both, 0x1234)
    assert tree.head(0x1234) == reference.head([x for x in both if x[:2] == b"\x12\x34"])


def test_hashing_everything_anew_agrees_with_walking_up():
    heads = {bucket: bucket.to_bytes(32, "big") for bucket in range(1, 65536, 9)}
    at_once, in_steps = tail.TailTree(heads), tail.TailTree()
    for start in range(0, 65536, 9000):
        in_steps = tail.TailTree({**in_steps.heads(), **{b: x for b, x in heads.items() if start <= b < start + 9000}})
    label = bytes([0, 7] + [1] * 30)
    at_once.root()
    at_once.add(label)
    in_steps.add(label)
    assert at_once.root() == in_steps.root()


@settings(max_examples=25)
@given(LABELS)
def test_an_absent_label_verifies_and_a_present_one_is_named(labels):
    tail.verify_absent(proof_for([x for x in labels if x != ABSENT], ABSENT), ABSENT)
    with pytest.raises(tail.LabelPresent):
        tail.verify_absent(proof_for([*labels, ABSENT], ABSENT), ABSENT)


@settings(max_examples=25)
@given(LABELS, st.data())
def test_any_change_to_the_labels_is_noticed(labels, draws):
    mine = [b"\x12\x34" + bytes([1] * 30), b"\x12\x34" + bytes([2] * 30)]
    good = proof_for([*mine, *[x for x in labels if x != ABSENT]], ABSENT)
    place = draws.draw(st.integers(0, len(good.bucket) - 1))
    bit = draws.draw(st.integers(0, 255))
    label = bytearray(good.bucket[place])
    label[bit // 8] ^= 1 << bit % 8
    before, after = good.bucket[:place], good.bucket[place + 1 :]
    for bucket in (
        (*before, *after),
        (*before, good.bucket[place], good.bucket[place], *after),
        (*before, bytes(label), *after),
        tuple(reversed(good.bucket)),
    ):
        with pytest.raises(tail.TailMismatch):
            tail.verify_absent(changed(good, bucket=bucket), ABSENT)


@settings(max_examples=25)
@given(st.integers(0, 16), st.integers(0, 255))
def test_any_flipped_bit_of_path_or_root_is_noticed(place, bit):
    good = proof_for([b"\x12\x34" + bytes(30)], ABSENT)
    values = [*good.path, good.root]
    value = bytearray(values[place])
    value[bit // 8] ^= 1 << bit % 8
    values[place] = bytes(value)
    with pytest.raises(tail.TailMismatch):
        tail.verify_absent(changed(good, path=tuple(values[:16]), root=values[16]), ABSENT)


def test_a_label_that_the_log_chained_into_another_bucket_is_named():
    stray = b"\x12\x35" + bytes(30)
    head = reference.head([stray])
    tree = tail.TailTree({0x1234: head})
    with pytest.raises(tail.LabelMisplaced):
        tail.verify_absent(tail.TailProof(tree.root(), (stray,), tuple(tree.path(0x1234))), ABSENT)


def test_a_label_that_the_log_holds_twice_is_named():
    label = b"\x12\x34" + bytes(30)
    with pytest.raises(tail.LabelTwice):
        tail.verify_absent(proof_for([label, label], ABSENT), ABSENT)


def test_the_proof_of_another_bucket_proves_nothing():
    labels = [b"\x12\x34" + bytes(30)]
    with pytest.raises(tail.TailMismatch):
        tail.verify_absent(proof_for(labels, b"\x12\x35" + bytes(30)), ABSENT)


@pytest.mark.parametrize(
    "members",
    [
        {"root": bytes(31)},
        {"bucket": (bytes(33),)},
        {"path": (bytes(32),) * 15},
        {"path": (bytes(32),) * 17},
        {"path": (bytes(32),) * 15 + (b"",)},
    ],
)
def test_another_shape_is_malformed(members):
    with pytest.raises(tail.TailMalformed):
        tail.verify_absent(changed(proof_for([], ABSENT), **members), ABSENT)


@pytest.mark.parametrize("heads", [{-1: bytes(32)}, {65536: bytes(32)}, {0: bytes(31)}])
def test_a_tree_is_made_of_heads_of_its_buckets(heads):
    with pytest.raises(tail.TailMalformed):
        tail.TailTree(heads)


@given(st.binary(max_size=33), st.lists(st.binary(max_size=33), max_size=3), st.binary(max_size=33))
def test_garbage_raises_only_custody_errors(root, bucket, label):
    with pytest.raises(CustodyError):
        tail.verify_absent(tail.TailProof(root, tuple(bucket), (bytes(32),) * 16), label)
