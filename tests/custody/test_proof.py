import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import leaf, merkle
from custody.checkpoint import Checkpoint, NotSigned, OriginMismatch, sign_checkpoint
from custody.errors import CustodyError, FormatError
from custody.note import SignerKey
from custody.proof import LabelMismatch, TlogProof, TlogProofMalformed
from tests import reference

ORIGIN = "evidence.example.org/log"
LOG = SignerKey.generate(ORIGIN, 0x01)
KEYS = [LOG.verifier]
HASHES = [reference.h(bytes([i])) for i in range(5)]
SALTS = [bytes([i]) * 32 for i in range(5)]
LABELS = [reference.first_label(ORIGIN, bytes(32)), *map(reference.next_label, SALTS[:-1], HASHES[:-1])]
LEAVES = [
    *(reference.entry_leaf(x, reference.commitment(s, y)) for x, s, y in zip(LABELS, SALTS, HASHES, strict=True)),
    reference.tail_leaf(reference.tail_root(LABELS)),
]
NOTE = sign_checkpoint(Checkpoint(ORIGIN, len(LEAVES), reference.mth(LEAVES)), [LOG], 1)


def proof(index, extra=None):
    given_extra = LABELS[index] + SALTS[index] if extra is None else extra
    return TlogProof(extra=given_extra, index=index, path=tuple(reference.path(index, LEAVES)), note=NOTE)


@pytest.mark.parametrize("index", range(5))
def test_an_entry_is_proven_by_its_hash_and_the_proof(index):
    made = proof(index)
    assert made.leaf_data(HASHES[index]) == LEAVES[index]
    found = made.verify(leaf_data=made.leaf_data(HASHES[index]), origin=ORIGIN, log=KEYS)
    assert found == Checkpoint(ORIGIN, len(LEAVES), reference.mth(LEAVES))


def test_a_tail_leaf_can_be_proven_too():
    proof(5, extra=bytes(64)).verify(leaf_data=LEAVES[5], origin=ORIGIN, log=KEYS)


@pytest.mark.parametrize("index", range(5))
def test_the_file_is_the_references_and_reads_back(index):
    made = proof(index)
    expected = reference.tlog_proof(LABELS[index], SALTS[index], index, made.path, NOTE.decode())
    assert made.encode() == expected.encode()
    assert TlogProof.parse(made.encode()) == made


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_is_noticed(draws):
    encoded = bytearray(proof(2).encode())
    encoded[draws.draw(st.integers(0, len(encoded) - 1))] ^= 1 << draws.draw(st.integers(0, 7))
    with pytest.raises(CustodyError):
        _verify(bytes(encoded))


def _verify(encoded):
    read = TlogProof.parse(encoded)
    read.verify(leaf_data=read.leaf_data(HASHES[2]), origin=ORIGIN, log=KEYS)


def test_another_entry_is_not_proven():
    made = proof(2)
    with pytest.raises(merkle.RootMismatch):
        made.verify(leaf_data=made.leaf_data(HASHES[3]), origin=ORIGIN, log=KEYS)


def test_the_leaf_of_another_label_is_refused():
    with pytest.raises(LabelMismatch):
        proof(2, extra=LABELS[3] + SALTS[2]).verify(leaf_data=LEAVES[2], origin=ORIGIN, log=KEYS)


def test_data_that_are_no_leaf_are_refused():
    with pytest.raises(leaf.LeafMalformed):
        proof(2).verify(leaf_data=b"anything", origin=ORIGIN, log=KEYS)


def test_the_note_must_be_the_logs():
    with pytest.raises(NotSigned):
        proof(2).verify(leaf_data=LEAVES[2], origin=ORIGIN, log=[SignerKey.generate(ORIGIN, 0x01).verifier])
    with pytest.raises(OriginMismatch):
        proof(2).verify(leaf_data=LEAVES[2], origin="other", log=KEYS)


@pytest.mark.parametrize(
    "bad",
    [
        {"extra": bytes(63)},
        {"index": -1},
        {"index": 2**63},
        {"path": (bytes(31),)},
        {"path": (bytes(32),) * 64},
        {"note": bytes(1024 * 1024 + 1)},
    ],
)
def test_a_proof_is_never_made_out_of_bounds(bad):
    with pytest.raises(TlogProofMalformed):
        TlogProof(**{"extra": bytes(64), "index": 0, "path": (), "note": b"", **bad})


GOOD = proof(2).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD.replace(b"@v1", b"@v2"),
        GOOD.replace(b"index 2", b"index 02"),
        GOOD.replace(b"index 2", b"index  2"),
        GOOD.replace(b"index 2\n", b""),
        GOOD.replace(b"extra", b"Extra"),
        GOOD.replace(b"\n\n", b"\n", 1),
        GOOD.replace(b"\nindex", b"\n\nindex"),
        GOOD.replace(b"\nindex", b"\r\nindex"),
        GOOD.replace(b"=\n\n", b"\n\n", 1),
        b"c2sp.org/tlog-proof@v1\n" + b"x" * 10000 + b"\n\n",
        b"\xc3\xa4\n\n",
    ],
)
def test_what_is_no_proof_is_malformed(data):
    with pytest.raises(FormatError):
        TlogProof.parse(data)


@given(st.one_of(st.binary(), st.builds(lambda x: GOOD[:23] + x, st.binary()), st.text().map(str.encode)))
def test_every_proof_has_one_spelling(data):
    try:
        read = TlogProof.parse(data)
    except CustodyError:
        return
    assert read.encode() == data
