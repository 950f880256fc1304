"""Headers: what is built opens for its recipients and no one else; what is read has one spelling."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody import sealing
from custody.errors import CustodyError
from custody.sealing import bech32
from custody.sealing.header import encode_header
from tests.custody.sealing import age_reference as age

KINDS = (sealing.HYBRID, sealing.X25519)
IDENTITIES = {kind: [sealing.generate_identity(kind) for _ in range(3)] for kind in KINDS}
FILE_KEY = bytes(range(16))


def _header(kind: str, count: int = 2) -> bytes:
    return sealing.build_header(FILE_KEY, [identity.recipient for identity in IDENTITIES[kind][:count]])


@pytest.mark.parametrize("kind", KINDS)
def test_each_recipient_opens_and_others_do_not(kind):
    header = _header(kind)
    first, second, stranger = IDENTITIES[kind]
    assert sealing.unwrap(header, [first]) == sealing.unwrap(header, [stranger, second]) == FILE_KEY
    with pytest.raises(sealing.NoMatchingIdentity):
        sealing.unwrap(header, [stranger])
    with pytest.raises(sealing.NoMatchingIdentity):
        sealing.unwrap(header, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_built_header_passes_the_check_of_its_kind_and_number_only(kind):
    header = _header(kind)
    sealing.check_header(header, kind=kind, count=2)
    other = next(k for k in KINDS if k != kind)
    for wrong in ({"kind": kind, "count": 1}, {"kind": kind, "count": 3}, {"kind": other, "count": 2}):
        with pytest.raises(sealing.HeaderRefused):
            sealing.check_header(header, **wrong)


def test_a_hybrid_stanza_has_1557_bytes():
    assert len(_header(sealing.HYBRID, 2)) - len(_header(sealing.HYBRID, 1)) == 1557


def test_a_hybrid_stanza_is_what_the_specification_spells_out():
    [stanza] = sealing.read_header(_header(sealing.HYBRID, 1)).stanzas
    seed = bech32.decode(str(IDENTITIES[sealing.HYBRID][0]))[1]
    assert age.open_hybrid(seed, stanza.share, stanza.body) == FILE_KEY


def test_256_stanzas_fit_and_257_are_refused():
    stanza = age.x25519_stanza(FILE_KEY, age.public(b"\x01" * 32), b"\x02" * 32)
    sealing.check_header(age.header(FILE_KEY, *[stanza] * 256), kind=sealing.X25519, count=256)
    with pytest.raises(sealing.HeaderMalformed):
        sealing.read_header(age.header(FILE_KEY, *[stanza] * 257))


def test_a_header_of_512_kib_is_read_and_one_byte_more_is_not():
    room = 512 * 1024 - len(age.header(FILE_KEY, age.stanza(b"x ", b""))) + 1
    assert len(sealing.read_header(age.header(FILE_KEY, age.stanza(b"x " + b"y" * (room - 1), b""))).raw) == 512 * 1024
    with pytest.raises(sealing.HeaderMalformed):
        sealing.read_header(age.header(FILE_KEY, age.stanza(b"x " + b"y" * room, b"")))


def test_an_endless_line_is_given_up_at_the_limit():
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.taken += len(buffer)
            buffer[:] = b"a" * len(buffer)
            return len(buffer)

    source = Endless()
    with pytest.raises(sealing.HeaderMalformed):
        sealing.read_header(source)
    assert source.taken <= 512 * 1024


def test_reading_leaves_the_source_at_the_body():
    source = io.BytesIO(_header(sealing.X25519) + b"body")
    header = sealing.read_header(source)
    assert header.raw == _header_of(source)
    assert source.read() == b"body"
    assert header.kinds == (sealing.X25519,) * 2


def _header_of(source: io.BytesIO) -> bytes:
    return source.getvalue()[:-4]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_and_writing_are_inverse(kind):
    raw = _header(kind)
    header = sealing.read_header(raw)
    assert encode_header(header.stanzas, header.mac) == raw


def test_a_type_spelled_like_our_name_of_a_kind_is_not_that_kind():
    header = sealing.read_header(age.header(FILE_KEY, age.stanza(b"x25519 " + age.b64(bytes(32)), bytes(32))))
    assert header.kinds == ("other:x25519",)


def test_file_keys_and_ids_of_other_sizes_are_refused():
    recipient = IDENTITIES[sealing.X25519][0].recipient
    for action in (
        lambda: sealing.build_header(bytes(15), [recipient]),
        lambda: sealing.key_commitment(bytes(17), bytes(16)),
        lambda: sealing.key_commitment(bytes(16), bytes(15)),
    ):
        with pytest.raises(sealing.FileKeyMalformed):
            action()


def test_no_header_for_none_for_too_many_for_one_twice_or_for_two_kinds():
    x25519, hybrid = IDENTITIES[sealing.X25519][0].recipient, IDENTITIES[sealing.HYBRID][0].recipient
    for recipients in ([], [x25519, x25519], [x25519, hybrid], [x25519] * 257):
        with pytest.raises(sealing.RecipientsRefused):
            sealing.build_header(FILE_KEY, recipients)


def test_file_keys_are_sixteen_bytes_and_never_twice_the_same():
    keys = {sealing.new_file_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {16}


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_of_any_byte_of_a_header_is_noticed(kind):
    header = bytearray(_header(kind, 1))
    for at in range(len(header)):
        header[at] ^= 1 << at % 8
        with pytest.raises(CustodyError):
            sealing.unwrap(bytes(header), IDENTITIES[kind])
        header[at] ^= 1 << at % 8


_LINES = st.sampled_from(
    [
        b"age-encryption.org/v1\n",
        b"-> X25519 ",
        age.b64(bytes(32)),
        b"\n",
        b"--- ",
        b"-> a b\n",
        b"---",
        b" ",
        b"=",
        b"\r\n",
    ]
)


@given(st.lists(_LINES | st.binary(max_size=8), max_size=12).map(b"".join))
@settings(deadline=None, max_examples=300)
def test_garbage_is_refused_or_is_the_one_spelling_of_a_header(data):
    try:
        header = sealing.read_header(data)
    except CustodyError:
        return
    assert encode_header(header.stanzas, header.mac) == header.raw == data[: len(header.raw)]


_ARGUMENT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)


@given(
    st.lists(st.tuples(st.lists(_ARGUMENT, min_size=1, max_size=3), st.binary(max_size=200)), min_size=1, max_size=4),
    st.binary(min_size=32, max_size=32),
)
@settings(deadline=None, max_examples=200)
def test_any_stanzas_of_unknown_types_come_back_as_they_were(parts, mac):
    stanzas = tuple(sealing.Stanza(("z", *arguments), body) for arguments, body in parts)
    header = sealing.read_header(encode_header(stanzas, mac))
    assert (header.stanzas, header.mac) == (stanzas, mac)
