import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from custody import note
from custody.checkpoint_text import CheckpointMalformed
from custody.cosignature import CosignatureMalformed
from custody.ed25519 import PublicKeyRefused, SignatureInvalid
from custody.errors import CustodyError, FormatError, UnsupportedError
from custody.note import SignerKey, VerifierKey
from tests import reference

TYPES = [0x01, 0x04, 0x06]
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="+"), min_size=1, max_size=255)
TEXT = reference.checkpoint("evidence.example.org/log", 5, bytes(range(32)))
NOW = 1_700_000_000


def signer(kind, seed=0, name="evidence.example.org/log"):
    material = bytes([seed, kind]) * 16
    make = MLDSA44PrivateKey.from_seed_bytes if kind == 0x06 else Ed25519PrivateKey.from_private_bytes
    return SignerKey.from_private(name, kind, make(material))


SIGNERS = [signer(kind) for kind in TYPES]
KEYS = [key.verifier for key in SIGNERS]
SIGNED = note.encode_note(TEXT, [key.sign(TEXT, NOW) for key in SIGNERS])


@pytest.mark.parametrize("kind", TYPES)
def test_what_a_key_signs_it_verifies(kind):
    key = SignerKey.generate("w.example/1", kind)
    opened = note.open_note(note.encode_note(TEXT, [key.sign(TEXT, NOW)]), [key.verifier])
    assert opened.signatures == (note.Signature(key.verifier, None if kind == 0x01 else NOW),)
    assert opened.text == TEXT


def test_a_note_tells_its_cosignatures_by_full_id():
    opened = note.open_note(SIGNED, KEYS)
    assert opened.cosignatures() == [(reference.full_id(key.type, key.public), NOW) for key in KEYS[1:]]


@given(NAMES, st.sampled_from(TYPES))
def test_keys_are_spelled_as_the_reference_spells_them_and_read_back(name, kind):
    key = signer(kind, name=name).verifier
    assert str(key) == reference.vkey(name, kind, key.public)
    assert VerifierKey.parse(str(key)) == key
    assert key.key_id == reference.key_id(name, kind, key.public)
    assert key.full_id == reference.full_id(kind, key.public)


@pytest.mark.parametrize("kind", TYPES)
def test_any_flipped_bit_of_a_vkey_makes_another_key_or_none(kind):
    text = str(KEYS[TYPES.index(kind)])
    for place in [*range(len(text[:80])), len(text) - 1]:
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        with pytest.raises(FormatError):
            VerifierKey.parse(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        "name+ABCDEF01+AQ==",
        "na me+00000000+AQ==",
        "+00000000+AQ==",
        "n\u00e4me+00000000+AQ==",
        f"{'n' * 256}+00000000+AQ==",
    ],
)
def test_what_is_no_vkey_is_malformed(text):
    with pytest.raises(FormatError):
        VerifierKey.parse(text)


def test_a_type_outside_the_suite_is_unsupported():
    with pytest.raises(UnsupportedError):
        VerifierKey.parse(reference.vkey("name", 0x02, bytes(32)))
    with pytest.raises(UnsupportedError):
        SignerKey.generate("name", 0x05)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("length", [0, 31, 33, 1311, 1313])
def test_key_material_of_another_size_is_refused(kind, length):
    with pytest.raises((note.VkeyMalformed, PublicKeyRefused)):
        VerifierKey.parse(reference.vkey("name", kind, bytes(length)))


def test_a_small_order_key_is_no_verifier():
    with pytest.raises(PublicKeyRefused):
        VerifierKey.parse(reference.vkey("name", 0x01, bytes([1]) + bytes(31)))


@pytest.mark.parametrize("kind", TYPES)
def test_a_private_key_of_another_algorithm_is_refused(kind):
    with pytest.raises(note.VkeyMalformed):
        SignerKey.from_private("name", kind, MLDSA65PrivateKey.generate())


@settings(max_examples=40)
@given(st.data())
def test_any_flipped_bit_of_a_note_is_noticed(draws):
    place = draws.draw(st.integers(0, len(SIGNED) - 1))
    changed = bytearray(SIGNED)
    changed[place] ^= 1 << draws.draw(st.integers(0, 7))
    try:
        opened = note.open_note(bytes(changed), KEYS)
    except CustodyError:
        return
    assert opened.text == TEXT
    assert len(opened.signatures) < len(KEYS)


def test_signatures_of_strangers_are_ignored():
    stranger = signer(0x04, seed=1, name="stranger")
    data = note.add_signatures(SIGNED, [stranger.sign(TEXT, NOW)])
    assert [item.verifier for item in note.open_note(data, KEYS).signatures] == KEYS


def test_a_note_signed_by_strangers_only_is_not_signed():
    with pytest.raises(note.NotSigned):
        note.open_note(SIGNED, [signer(0x01, seed=1).verifier])
    with pytest.raises(note.NotSigned):
        note.open_note(SIGNED, [])


@pytest.mark.parametrize("kind", TYPES)
def test_one_known_key_that_fails_refuses_the_note(kind):
    other = TEXT.replace("\n5\n", "\n6\n")
    lines = [key.sign(other if key.verifier.type == kind else TEXT, NOW) for key in SIGNERS]
    with pytest.raises(SignatureInvalid):
        note.open_note(note.encode_note(TEXT, lines), KEYS)


@pytest.mark.parametrize("kind", [0x04, 0x06])
def test_the_time_of_a_cosignature_is_signed(kind):
    key = SIGNERS[TYPES.index(kind)]
    payload = bytearray(base64.b64decode(key.sign(TEXT, NOW).split(" ")[2]))[4:]
    payload[7] ^= 1
    line = reference.line(key.verifier.name, kind, key.verifier.public, bytes(payload))
    with pytest.raises(SignatureInvalid):
        note.open_note(note.encode_note(TEXT, [line]), KEYS)


def test_a_mldsa44_cosignature_does_not_hold_under_another_name():
    key = SIGNERS[2]
    renamed = signer(0x06, name="other")
    payload = base64.b64decode(key.sign(TEXT, NOW).split(" ")[2])[4:]
    line = reference.line("other", 0x06, key.verifier.public, payload)
    with pytest.raises(SignatureInvalid):
        note.open_note(note.encode_note(TEXT, [line]), [renamed.verifier])


@pytest.mark.parametrize("time", [None, 0, -1, 2**63])
@pytest.mark.parametrize("kind", [0x04, 0x06])
def test_a_cosignature_has_a_time(kind, time):
    with pytest.raises(CosignatureMalformed):
        SIGNERS[TYPES.index(kind)].sign(TEXT, time)


@pytest.mark.parametrize("kind", [0x04, 0x06])
@pytest.mark.parametrize("payload", [b"x", bytes(8), bytes(72), b"\xff" * 72])
def test_a_cosignature_line_without_time_and_signature_is_refused(kind, payload):
    key = KEYS[TYPES.index(kind)]
    with pytest.raises(CustodyError):
        note.open_note(note.encode_note(TEXT, [reference.line(key.name, kind, key.public, payload)]), [key])


@pytest.mark.parametrize("kind", [0x01, 0x04, 0x06])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_signature_of_another_length_is_invalid(kind, change):
    key = SIGNERS[TYPES.index(kind)]
    payload = base64.b64decode(key.sign(TEXT, NOW).split(" ")[2])[4:]
    payload = payload + b"\x00" if change > 0 else payload[:-1]
    line = reference.line(key.verifier.name, kind, key.verifier.public, payload)
    with pytest.raises(SignatureInvalid):
        note.open_note(note.encode_note(TEXT, [line]), KEYS)


@pytest.mark.parametrize("kind", [0x04, 0x06])
def test_only_checkpoints_are_cosigned(kind):
    with pytest.raises(CheckpointMalformed):
        SIGNERS[TYPES.index(kind)].sign("any text\n", NOW)


def test_the_plain_type_signs_any_text():
    text = "una furtiva lagrima\n\n\u00e8 sera\n"
    data = note.encode_note(text, [SIGNERS[0].sign(text)])
    assert note.open_note(data, KEYS).text == text


LINE = SIGNERS[0].sign(TEXT)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], whitelist_characters="\n"), max_size=40)


@given(TEXTS)
@example("")
@example("\n")
@example("\n\n")
def test_a_text_survives_its_note(text):
    text += "\n"
    read = note.parse_note(note.encode_note(text, [LINE]))
    assert (read.text, read.lines, read.signatures) == (text, (LINE,), ())


@given(st.one_of(st.binary(), st.text().map(lambda x: (x + "\n\n" + LINE + "\n").encode("utf-8", "replace"))))
def test_every_note_has_one_spelling(data):
    try:
        read = note.parse_note(data)
    except CustodyError:
        return
    assert note.encode_note(read.text, read.lines) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        f"text\n{LINE}\n",
        f"text\n\n{LINE}",
        f"text\n\n{LINE}\n\n",
        f"text\n\n\n{LINE}\n{LINE}\n",
        "text\n\n\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n\u2014 name\n",
        "text\n\n\u2014  AAAAAAAA\n",
        "text\n\n\u2014 na+me AAAAAAAA\n",
        "text\n\n\u2014 n\u00e4me AAAAAAAA\n",
        "text\n\n\u2014 name AAAAAAAA \n",
        "text\n\n\u2014 name AAAAAAA\n",
        "text\n\n\u2014 name AAAAAAB=\n",
        "text\n\n\u2014 name AAAAAA==\n",
        f"text\n\n\u2014 {'n' * 256} AAAAAAAA\n",
        f"te\rxt\n\n{LINE}\n",
        f"te\txt\n\n{LINE}\n",
        f"te\x00xt\n\n{LINE}\n",
        f"te\x7fxt\n\n{LINE}\n",
        f"te\x85xt\n\n{LINE}\n",
    ],
)
def test_what_is_no_note_is_malformed(text):
    with pytest.raises(FormatError):
        note.parse_note(text.encode())


def test_a_note_over_a_mebibyte_is_malformed():
    whole = "x" * (note.MAX_NOTE_SIZE - len(f"\n\n{LINE}\n".encode())) + f"\n\n{LINE}\n"
    note.parse_note(whole.encode())
    with pytest.raises(note.NoteMalformed):
        note.parse_note(b"x" + whole.encode())


def test_a_note_that_is_not_utf8_is_malformed():
    with pytest.raises(note.NoteMalformed):
        note.parse_note(b"\xff\n\n" + LINE.encode() + b"\n")
    with pytest.raises(note.NoteMalformed):
        note.encode_note("\ud800\n", [LINE])


@pytest.mark.parametrize("text", ["no line end", "two\n\nparts"])
def test_a_text_that_would_be_read_otherwise_is_not_encoded(text):
    with pytest.raises(note.NoteMalformed):
        note.encode_note(text, [LINE, "\n" + LINE])


def test_a_key_cannot_sign_twice():
    with pytest.raises(note.NoteMalformed):
        note.add_signatures(SIGNED, [SIGNERS[1].sign(TEXT, NOW + 1)])


def test_sixteen_and_more_signatures_are_read():
    keys = [signer(0x01, seed=seed, name=f"key{seed}") for seed in range(20)]
    data = note.encode_note(TEXT, [key.sign(TEXT) for key in keys])
    assert len(note.open_note(data, [key.verifier for key in keys]).signatures) == 20


def test_two_known_keys_of_one_name_and_id_are_refused():
    class Clash(VerifierKey):
        key_id = b"same"

    one, two = (Clash(name="n", type=key.type, public=key.public) for key in KEYS[:2])
    with pytest.raises(note.VkeyMalformed):
        note.open_note(SIGNED, [one, two])


@given(st.binary(max_size=200))
def test_garbage_raises_only_custody_errors(data):
    for made in (data, TEXT.encode() + b"\n" + data, SIGNED + data[:1] if data else b""):
        with pytest.raises(CustodyError):
            note.open_note(made + b"\n", KEYS)
