"""Recipients and identities: one spelling each, the same keys as elsewhere, secrets that do not slip out."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import sealing
from custody.errors import CustodyError
from custody.sealing import bech32
from tests.custody.sealing import age_reference as age
from tests.custody.sealing import independent

KINDS = (sealing.HYBRID, sealing.X25519)
IDENTITIES = {kind: sealing.generate_identity(kind) for kind in KINDS}
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_spelling_and_parsing_are_inverse(kind):
    identity = IDENTITIES[kind]
    again = sealing.Identity.parse(str(identity))
    assert (str(again), again.kind, again.recipient) == (str(identity), kind, identity.recipient)
    assert sealing.Recipient.parse(str(identity.recipient)) == identity.recipient
    assert hash(again.recipient) == hash(identity.recipient)


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_id_is_the_digest_of_the_spelling(kind):
    recipient = IDENTITIES[kind].recipient
    assert recipient.key_id == hashlib.sha256(str(recipient).encode()).hexdigest()


def test_the_default_kind_is_hybrid():
    assert sealing.generate_identity().kind == sealing.HYBRID


def test_another_kind_is_refused():
    with pytest.raises(sealing.IdentityMalformed):
        sealing.generate_identity("rsa")


def test_public_keys_of_seeds_are_those_of_an_independent_implementation():
    identities = [sealing.generate_identity(kind) for kind in KINDS for _ in range(4)]
    theirs = independent.npm(*({"do": "recipient", "identity": str(identity)} for identity in identities))
    assert theirs == [str(identity.recipient) for identity in identities]


def test_identities_made_elsewhere_are_understood():
    made = independent.npm({"do": "generate", "kind": "x25519"}, {"do": "generate", "kind": "hybrid"})
    assert [sealing.Identity.parse(text).kind for text in made] == [sealing.X25519, sealing.HYBRID]


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_in_repr_or_in_errors(kind):
    identity = IDENTITIES[kind]
    secret = str(identity)
    assert secret[-40:] not in repr(identity)
    wrong = secret[:-1] + ("Q" if secret[-1] != "Q" else "P")
    for text in (wrong, secret.lower(), secret + "Q", "\n" + secret):
        with pytest.raises(sealing.IdentityMalformed) as caught:
            sealing.Identity.parse(text)
        assert not any(secret[at : at + 12].lower() in str(caught.value).lower() for at in range(20, len(secret) - 12))


@pytest.mark.parametrize("kind", KINDS)
def test_upper_case_recipients_are_refused(kind):
    with pytest.raises(sealing.RecipientMalformed):
        sealing.Recipient.parse(str(IDENTITIES[kind].recipient).upper())


def test_recipients_of_wrong_prefix_or_length_are_refused():
    for prefix, size in (
        ("age", 31),
        ("age", 33),
        ("age1pq", 1215),
        ("age1pq", 1217),
        ("age1tag", 33),
        ("", 32),
        ("bc", 32),
    ):
        with pytest.raises(sealing.RecipientMalformed):
            sealing.Recipient.parse(bech32.encode(prefix, bytes([9]) + bytes(size - 1)))


def test_identities_of_wrong_prefix_or_length_are_refused():
    for prefix, size in (("age-secret-key-", 31), ("age-secret-key-pq-", 33), ("age-plugin-x-", 32)):
        with pytest.raises(sealing.IdentityMalformed):
            sealing.Identity.parse(bech32.encode(prefix, bytes(size)).upper())


@pytest.mark.parametrize("point", LOW_ORDER)
def test_nothing_is_sealed_to_a_point_of_low_order(point):
    hybrid = bech32.decode(str(IDENTITIES[sealing.HYBRID].recipient))[1]
    for text in (bech32.encode("age", point), bech32.encode("age1pq", hybrid[:-32] + point)):
        with pytest.raises(sealing.RecipientMalformed):
            sealing.Recipient.parse(text)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_share_of_low_order_is_refused_on_opening(point):
    file_key = bytes(16)
    for kind, share in ((b"X25519", point), (b"mlkem768x25519", bytes(1088) + point)):
        header = age.header(file_key, age.stanza(kind + b" " + age.b64(share), bytes(32)))
        with pytest.raises(sealing.HeaderMalformed):
            sealing.unwrap(header, list(IDENTITIES.values()))


def test_a_point_has_one_spelling():
    point = int.from_bytes(bech32.decode(str(IDENTITIES[sealing.X25519].recipient))[1], "little")
    for second in (point | 1 << 255, 9 + 2**255 - 19):
        with pytest.raises(sealing.RecipientMalformed):
            sealing.Recipient.parse(bech32.encode("age", second.to_bytes(32, "little")))


def test_a_lattice_key_out_of_range_is_refused():
    with pytest.raises(sealing.RecipientMalformed):
        sealing.Recipient.parse(bech32.encode("age1pq", b"\xff" * 1184 + age.public(b"\x01" * 32)))


def test_identity_files_hold_comments_empty_lines_and_identities():
    texts = [str(identity) for identity in IDENTITIES.values()]
    found = sealing.parse_identity_file(f"# made today\n\n{texts[0]}\r\n# public key: …\n{texts[1]}\n")
    assert [str(identity) for identity in found] == texts


def test_identity_files_without_identity_or_with_something_else_are_refused():
    for text in ("", "# nothing\n", f"{IDENTITIES[sealing.X25519]}\nage1secret\n", f" {IDENTITIES[sealing.X25519]}"):
        with pytest.raises(sealing.IdentityMalformed):
            sealing.parse_identity_file(text)


def test_an_identity_file_error_names_the_line():
    with pytest.raises(sealing.IdentityMalformed, match="line 3"):
        sealing.parse_identity_file(f"#\n{IDENTITIES[sealing.X25519]}\nwrong\n")


@given(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), st.binary(max_size=100))
@settings(deadline=None)
def test_bech32_agrees_with_the_reference_and_comes_back(prefix, data):
    text = bech32.encode(prefix, data)
    assert text == age.bech32(prefix, data)
    assert bech32.decode(text) == bech32.decode(text.upper()) == (prefix, data)


@given(st.binary(min_size=1, max_size=40), st.data())
@settings(deadline=None)
def test_any_wrong_character_is_noticed(data, draw):
    text = bech32.encode("age", data)
    at = draw.draw(st.integers(4, len(text) - 1))
    other = draw.draw(st.sampled_from([c for c in age.BECH32 if c != text[at]]))
    with pytest.raises(bech32.Bech32Malformed):
        bech32.decode(text[:at] + other + text[at + 1 :])


@given(st.integers(1, 4), st.binary(min_size=1, max_size=32))
@settings(deadline=None)
def test_unused_bits_are_zero_or_the_text_is_refused(stray, data):
    text = bech32.encode("a", data)
    words = [age.BECH32.index(c) for c in text[2:-6]]
    unused = len(words) * 5 - len(data) * 8
    words[-1] |= 1 << (stray % unused) if unused else 0
    words += [] if unused else [0]
    with pytest.raises(bech32.Bech32Malformed):
        bech32.decode(_with_checksum("a", words))


def _with_checksum(prefix: str, words: list[int]) -> str:
    spread = bech32._spread(prefix)
    remainder = bech32._polymod([*spread, *words, *[0] * 6]) ^ 1
    words = words + [remainder >> 5 * (5 - at) & 31 for at in range(6)]
    return f"{prefix}1" + "".join(age.BECH32[word] for word in words)


@given(st.text(max_size=80) | st.text("AGE-SCRTKY1QPZ", max_size=60))
@settings(deadline=None)
def test_garbage_is_no_key(text):
    for parse in (sealing.Recipient.parse, sealing.Identity.parse, sealing.parse_identity_file):
        with pytest.raises(CustodyError):
            parse(text)


def test_endless_text_is_refused_at_once():
    with pytest.raises(bech32.Bech32Malformed):
        bech32.decode("age1" + "q" * 5000)
