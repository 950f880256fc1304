import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody import cosignature
from custody.errors import CustodyError, FormatError
from tests import reference

NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="+"), min_size=1, max_size=255)
TIMES = st.integers(1, 2**63 - 1)
SIZES = st.integers(0, 2**63 - 1)
ROOTS = st.binary(min_size=32, max_size=32)


@given(NAMES, NAMES, TIMES, SIZES, ROOTS)
def test_the_signed_bytes_are_the_references(cosigner, origin, time, size, root):
    text = reference.checkpoint(origin, size, root)
    assert cosignature.ed25519_message(time=time, text=text) == reference.ed25519_cosigned(time, text)
    made = cosignature.mldsa44_message(cosigner=cosigner, time=time, text=text)
    assert made == reference.mldsa44_cosigned(cosigner, time, origin, size, root)


@given(TIMES, st.binary(min_size=1, max_size=80))
def test_time_and_signature_read_back(time, signature):
    assert cosignature.parse(cosignature.encode(time=time, signature=signature)) == (time, signature)


@given(st.binary(max_size=80))
def test_a_payload_is_time_and_signature_or_malformed(payload):
    try:
        time, signature = cosignature.parse(payload)
    except CustodyError:
        return
    assert cosignature.encode(time=time, signature=signature) == payload


@pytest.mark.parametrize("time", [0, -1, 2**63])
def test_a_time_out_of_bounds_is_never_signed(time):
    text = reference.checkpoint("o", 1, bytes(32))
    for make in (
        lambda: cosignature.ed25519_message(time=time, text=text),
        lambda: cosignature.mldsa44_message(cosigner="c", time=time, text=text),
        lambda: cosignature.encode(time=time, signature=b"s"),
    ):
        with pytest.raises(cosignature.CosignatureMalformed):
            make()


def test_a_time_of_zero_states_nothing():
    with pytest.raises(cosignature.CosignatureMalformed):
        cosignature.parse(bytes(8) + b"signature")


@given(st.text(max_size=30))
def test_only_checkpoints_can_be_cosigned(text):
    for make in (
        lambda: cosignature.ed25519_message(time=1, text=text),
        lambda: cosignature.mldsa44_message(cosigner="c", time=1, text=text),
    ):
        with pytest.raises(FormatError):
            make()
