import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custody import checkpoint
from custody.checkpoint import Checkpoint
from custody.ed25519 import SignatureInvalid
from custody.errors import CustodyError, FormatError
from custody.note import SignerKey, add_signatures, encode_note
from tests import reference

ORIGIN = "evidence.example.org/log"
LOG = [SignerKey.generate(ORIGIN, 0x01), SignerKey.generate(ORIGIN, 0x06)]
KEYS = [signer.verifier for signer in LOG]
WITNESS = SignerKey.generate("witness.example/1", 0x04)
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
NOTE = checkpoint.sign_checkpoint(HEAD, LOG, 1_700_000_000)
ORIGINS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="+"), min_size=1)


@given(ORIGINS, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_spelled_as_the_reference_spells_it_and_reads_back(origin, size, root):
    made = Checkpoint(origin, size, root)
    assert made.text() == reference.checkpoint(origin, size, root)
    assert Checkpoint.parse(made.text()) == made


@given(st.one_of(st.text(), st.builds(lambda a, b: f"o\n{a}\n{reference.b64(b)}\n", st.text(max_size=3), st.binary())))
@example("o\n01\n" + reference.b64(bytes(32)) + "\n")
@example("o\n-1\n" + reference.b64(bytes(32)) + "\n")
@example("o\n٣\n" + reference.b64(bytes(32)) + "\n")
def test_every_checkpoint_has_one_spelling(text):
    try:
        read = Checkpoint.parse(text)
    except FormatError:
        return
    assert read.text() == text


ROOT = reference.b64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"o\n5\n{ROOT}",
        f"o\n5\n{ROOT}\nextension\n",
        f"o\n05\n{ROOT}\n",
        f"o\n+5\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"\n5\n{ROOT}\n",
        f"a b\n5\n{ROOT}\n",
        f"a+b\n5\n{ROOT}\n",
        f"{'o' * 256}\n5\n{ROOT}\n",
        f"o\n5\n{ROOT[:-1]}\n",
        "o\n5\n" + reference.b64(bytes(31)) + "\n",
        f"o\n5\n{ROOT[:-2]}B=\n",
    ],
)
def test_what_is_no_checkpoint_is_malformed(text):
    with pytest.raises(FormatError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(("origin", "size", "root"), [("a b", 1, bytes(32)), ("o", -1, bytes(32)), ("o", 1, b"")])
def test_a_checkpoint_is_never_made_out_of_bounds(origin, size, root):
    with pytest.raises(checkpoint.CheckpointMalformed):
        Checkpoint(origin, size, root)


def test_a_checkpoint_signed_by_every_key_of_the_log_opens():
    found, note = checkpoint.open_checkpoint(NOTE, origin=ORIGIN, log=KEYS)
    assert found == HEAD
    assert [item.verifier for item in note.signatures] == KEYS


@pytest.mark.parametrize("absent", [0, 1])
def test_one_key_of_the_log_is_not_enough(absent):
    data = checkpoint.sign_checkpoint(HEAD, [LOG[1 - absent]], 1)
    with pytest.raises(checkpoint.NotSigned):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=KEYS)


def test_without_a_key_nothing_is_signed():
    with pytest.raises(checkpoint.NotSigned):
        checkpoint.open_checkpoint(NOTE, origin=ORIGIN, log=[])
    with pytest.raises(checkpoint.NotSigned):
        checkpoint.open_checkpoint(NOTE, origin=ORIGIN, log=[], witnesses=KEYS)


def test_a_cosigner_is_no_log():
    data = checkpoint.sign_checkpoint(HEAD, [WITNESS], 1)
    with pytest.raises(checkpoint.NotSigned):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=KEYS, witnesses=[WITNESS.verifier])


def test_cosignatures_are_verified_where_their_keys_are_given():
    good = add_signatures(NOTE, [WITNESS.sign(HEAD.text(), 42)])
    _, note = checkpoint.open_checkpoint(good, origin=ORIGIN, log=KEYS, witnesses=[WITNESS.verifier])
    assert (WITNESS.verifier.full_id, 42) in note.cosignatures()
    other = Checkpoint(ORIGIN, 6, HEAD.root)
    bad = add_signatures(NOTE, [WITNESS.sign(other.text(), 42)])
    checkpoint.open_checkpoint(bad, origin=ORIGIN, log=KEYS)
    with pytest.raises(SignatureInvalid):
        checkpoint.open_checkpoint(bad, origin=ORIGIN, log=KEYS, witnesses=[WITNESS.verifier])


def test_the_checkpoint_of_another_log_is_refused():
    data = checkpoint.sign_checkpoint(Checkpoint("other.example/log", 5, bytes(32)), LOG, 1)
    with pytest.raises(checkpoint.OriginMismatch):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=KEYS)


def test_a_key_of_another_name_is_no_key_of_the_log():
    stranger = SignerKey.generate("other.example/log", 0x01)
    data = add_signatures(NOTE, [stranger.sign(HEAD.text())])
    with pytest.raises(checkpoint.OriginMismatch):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=[*KEYS, stranger.verifier])


def test_a_signed_text_that_is_no_checkpoint_is_malformed():
    text = "hello\n"
    data = encode_note(text, [LOG[0].sign(text)])
    with pytest.raises(checkpoint.CheckpointMalformed):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=KEYS[:1])


@given(st.binary())
def test_garbage_raises_only_custody_errors(data):
    with pytest.raises(CustodyError):
        checkpoint.open_checkpoint(data, origin=ORIGIN, log=KEYS)
