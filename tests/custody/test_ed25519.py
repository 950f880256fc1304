"""Odd points and signatures, crafted with the reference's own curve arithmetic."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from custody import ed25519
from custody.errors import CustodyError
from tests.reference import BASE_POINT as BASE
from tests.reference import NEUTRAL, SMALL, L, P, challenge, encoded, plus, signed, times, with_y

MESSAGE = b"what was seized"
SECRET = 0x1234567890ABCDEF


def openssl_accepts(public, signature, message=MESSAGE):
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    return True


def test_the_arithmetic_of_this_test_makes_good_signatures():
    a, r = encoded(times(SECRET, BASE)), encoded(times(77, BASE))
    signature = signed(r, 77 + challenge(r, a, MESSAGE) * SECRET)
    ed25519.check_public(a)
    ed25519.verify(a, signature, MESSAGE)


@given(st.binary(max_size=40), st.integers(0, 511))
def test_good_signatures_hold_and_any_flipped_bit_is_noticed(message, bit):
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    ed25519.verify(public, signature, message)
    bad = bytearray(signature)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(public, bytes(bad), message)
    other = bytearray(public)
    other[bit // 16] ^= 1 << bit % 8
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(bytes(other), signature, message)
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(public, signature, message + b"\x00")


@pytest.mark.parametrize("torsion", SMALL[1:])
def test_a_mixed_order_r_is_refused_though_it_holds_with_the_cofactor(torsion):
    a, r_point = encoded(times(SECRET, BASE)), plus(times(77, BASE), torsion)
    r = encoded(r_point)
    k = challenge(r, a, MESSAGE)
    s = (77 + k * SECRET) % L
    assert times(8 * s, BASE) == plus(times(8, r_point), times(8 * k * SECRET % L, BASE))
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(a, signed(r, s), MESSAGE)


@pytest.mark.parametrize("small", SMALL)
def test_a_small_order_key_is_refused_though_its_signature_adds_up(small):
    a = encoded(small)
    r, s = next(
        (r, s)
        for s in range(1, 999)
        for r in [encoded(times(s, BASE))]
        if times(challenge(r, a, MESSAGE), small) == NEUTRAL
    )
    assert openssl_accepts(a, signed(r, s))
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(a, signed(r, s), MESSAGE)
    with pytest.raises(ed25519.PublicKeyRefused):
        ed25519.check_public(a)


def test_a_small_order_r_is_refused_though_its_signature_adds_up():
    a, r = encoded(times(SECRET, BASE)), encoded(NEUTRAL)
    signature = signed(r, challenge(r, a, MESSAGE) * SECRET)
    assert openssl_accepts(a, signature)
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(a, signature, MESSAGE)


@pytest.mark.parametrize("y", [0, 1, P - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_every_spelling_of_a_small_order_key_is_refused(y, sign):
    for value in {y, (y + P) % 2**255 if y + P < 2**255 else y}:
        public = (value | sign << 255).to_bytes(32, "little")
        with pytest.raises(ed25519.PublicKeyRefused):
            ed25519.check_public(public)
        with pytest.raises(ed25519.SignatureInvalid):
            ed25519.verify(public, signed(encoded(times(5, BASE)), 5), MESSAGE)


@pytest.mark.parametrize("y", range(19))
def test_a_key_that_is_not_canonical_is_refused(y):
    with pytest.raises(ed25519.PublicKeyRefused):
        ed25519.check_public((y + P).to_bytes(32, "little"))


@pytest.mark.parametrize("torsion", SMALL[1:])
def test_a_mixed_order_key_is_refused_at_enrolment(torsion):
    with pytest.raises(ed25519.PublicKeyRefused):
        ed25519.check_public(encoded(plus(times(SECRET, BASE), torsion)))


def test_an_s_not_below_the_group_order_is_refused():
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = private.public_key().public_bytes_raw(), private.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little") + L
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(public, signature[:32] + s.to_bytes(32, "little"), MESSAGE)


def test_bytes_that_are_no_point_are_refused():
    y = next(y for y in range(2, 99) if with_y(y) is None)
    with pytest.raises(ed25519.PublicKeyRefused):
        ed25519.check_public(y.to_bytes(32, "little"))
    with pytest.raises(ed25519.SignatureInvalid):
        ed25519.verify(y.to_bytes(32, "little"), signed(encoded(BASE), 1), MESSAGE)


@given(st.one_of(st.binary(max_size=33), st.binary(min_size=32, max_size=32)), st.binary(max_size=66))
def test_garbage_raises_only_custody_errors(public, signature):
    with pytest.raises(CustodyError):
        ed25519.verify(public, signature, MESSAGE)
    try:
        ed25519.check_public(public)
    except CustodyError:
        return


@given(st.binary(min_size=32, max_size=32))
def test_every_generated_key_may_be_enrolled(seed):
    ed25519.check_public(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())
