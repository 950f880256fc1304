"""Stamps by `openssl ts`, judged: right ones count, wrong ones are named, and nothing else happens."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from custody import der
from custody.errors import CustodyError
from custody.timestamp import (
    MAX_REPLY,
    Reply,
    TimestampInvalid,
    TimestampMalformed,
    TimestampStranger,
    Validation,
    query,
)
from custody.trust import TimestampAuthority
from tests.custody.tsa import Tsa, der_of

DATA = b"a cosigned checkpoint"
NOTHING = Validation()


@pytest.fixture(scope="module")
def tsa(tmp_path_factory):
    return Tsa(tmp_path_factory.mktemp("tsa") / "one", "one")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Tsa(tmp_path_factory.mktemp("tsa") / "two", "two", kind="ec")


@pytest.fixture(scope="module")
def stamp(tsa):
    return tsa.stamp(DATA)


def judge(reply, *authorities, data=DATA, validation=NOTHING):
    return Reply(reply).judge(
        data, [each if isinstance(each, TimestampAuthority) else each.trusted for each in authorities], validation
    )


def test_a_right_stamp_counts_and_says_when_and_until_when(tsa, other, stamp):
    found = judge(stamp, other, tsa)
    assert found.authority == "one"
    assert abs(found.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert found.latest - found.at == timedelta(seconds=1.5)
    assert found.ends == tsa.signer.not_valid_after_utc
    assert judge(other.stamp(DATA), tsa, other).authority == "two"


def test_a_reply_bears_the_nonce_of_its_query(tsa):
    asked, nonce = query(DATA)
    assert Reply(tsa.answer(asked)).nonce == nonce


def test_a_stamp_of_other_bytes_or_by_another_hash_is_invalid(tsa, stamp):
    with pytest.raises(TimestampInvalid, match="other bytes"):
        judge(stamp, tsa, data=DATA + b".")
    command = ["openssl", "ts", "-query", "-sha256", "-cert", "-data", "/dev/stdin"]
    short = subprocess.run(command, input=DATA, capture_output=True, check=True).stdout
    with pytest.raises(TimestampInvalid, match="expected SHA-512"):
        judge(tsa.answer(short), tsa)


def test_a_stamp_that_leads_to_no_root_at_hand_is_a_strangers(tsa, other, stamp):
    with pytest.raises(TimestampStranger):
        judge(stamp, other)
    with pytest.raises(TimestampStranger):
        judge(stamp)


def test_what_came_along_is_no_root(tsa, other, stamp):
    along = Validation.parse([der_of(tsa.root), der_of(tsa.middle), der_of(tsa.signer)])
    with pytest.raises(TimestampStranger):
        judge(stamp, other, validation=along)


def test_certificates_that_the_reply_lacks_may_come_along(tsa):
    command = ["openssl", "ts", "-query", "-sha512", "-data", "/dev/stdin"]
    bare = tsa.answer(subprocess.run(command, input=DATA, capture_output=True, check=True).stdout)
    with pytest.raises(TimestampStranger, match="signer's certificate"):
        judge(bare, tsa)
    assert judge(bare, tsa, validation=Validation.parse([der_of(tsa.middle), der_of(tsa.signer)])).authority == "one"


def test_a_stamp_under_a_policy_that_was_not_agreed_is_invalid(tsa, stamp):
    agreed = TimestampAuthority("one", (der_of(tsa.root),), ("1.2.3.4",))
    with pytest.raises(TimestampInvalid, match=r"policy 1\.3\.6"):
        judge(stamp, agreed)


def test_of_two_authorities_under_one_root_the_one_with_the_policy_counts(tsa, stamp):
    agreed = TimestampAuthority("another office", (der_of(tsa.root),), ("1.2.3.4",))
    assert judge(stamp, agreed, tsa).authority == "one"


@pytest.mark.parametrize(
    "usages",
    [[ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING], [ExtendedKeyUsageOID.CODE_SIGNING]],
)
def test_a_certificate_for_more_than_time_stamping_is_refused(tsa, stamp, usages):
    wrong = tsa.certify("signer", tsa.key, tsa.middle, usages=usages, number=tsa.signer.serial_number)
    with pytest.raises(TimestampInvalid, match="not for time stamping alone"):
        judge(rebuilt(stamp, [der_of(wrong), der_of(tsa.middle)]), tsa)


@pytest.mark.parametrize("reason", [x509.ReasonFlags.key_compromise, x509.ReasonFlags.unspecified])
def test_a_signer_whose_key_may_be_stolen_is_believed_at_no_time(tsa, stamp, reason):
    listed = Validation.parse([tsa.revoked(reason, datetime.now(UTC) + timedelta(days=1))])
    with pytest.raises(TimestampInvalid, match="revoked"):
        judge(stamp, tsa, validation=listed)


def test_a_signer_that_ceased_is_believed_for_the_time_before(tsa, stamp):
    later = tsa.revoked(x509.ReasonFlags.cessation_of_operation, datetime.now(UTC) + timedelta(days=1))
    assert judge(stamp, tsa, validation=Validation.parse([later])).authority == "one"
    before = tsa.revoked(x509.ReasonFlags.cessation_of_operation, datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(TimestampInvalid, match="revoked"):
        judge(stamp, tsa, validation=Validation.parse([before]))


def test_a_list_that_another_signed_revokes_nobody(tmp_path, tsa, stamp):
    forger = Tsa(tmp_path / "forger", tsa.name)
    forger.signer = tsa.signer
    listed = Validation.parse([forger.revoked(x509.ReasonFlags.key_compromise)])
    assert judge(stamp, tsa, validation=listed).authority == "one"


def test_a_stamp_names_the_very_certificate_that_made_it(tsa, stamp):
    usages, number = [ExtendedKeyUsageOID.TIME_STAMPING], tsa.signer.serial_number
    again = tsa.certify("signer", tsa.key, tsa.middle, usages=usages, number=number)
    with pytest.raises(TimestampInvalid, match="names another certificate"):
        judge(rebuilt(stamp, [der_of(again), der_of(tsa.middle)]), tsa)


@pytest.mark.parametrize("turned", [False, True])
def test_certificates_in_any_order_and_a_grant_with_modifications_are_read(tsa, stamp, turned):
    held = sorted([der_of(tsa.signer), der_of(tsa.middle), der_of(tsa.root)], reverse=turned)
    assert judge(rebuilt(stamp, held, status=1), tsa).authority == "one"


def rebuilt(reply, certificates, status=0):
    """The reply with other certificates and status, which no signature covers."""
    token = der.within(der.read(reply, der.SEQUENCE), 1, der.SEQUENCE)
    signed = der.children(der.within(der.within(token, 1, 0xA0), 0, der.SEQUENCE))
    parts = [der.build(0xA0, certificates) if part.tag == 0xA0 else part.data for part in signed]
    content = der.build(0xA0, [der.build(der.SEQUENCE, parts)])
    kept = der.build(der.SEQUENCE, [der.within(token, 0, der.OBJECT_ID).data, content])
    return der.build(der.SEQUENCE, [der.build(der.SEQUENCE, [der.build(der.INTEGER, [bytes([status])])]), kept])


def test_a_refusal_is_no_stamp(tsa):
    asked = query(DATA)[0].replace(bytes.fromhex("0609608648016503040203"), bytes.fromhex("0609608648016503040202"))
    with pytest.raises(TimestampMalformed, match="refused"):
        Reply(tsa.answer(asked))


def test_a_flipped_bit_changes_nothing_that_counts_or_is_a_typed_error(tsa, stamp):
    right, found = judge(stamp, tsa), set()
    for bit in range(0, len(stamp) * 8, 11):
        flipped = bytearray(stamp)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            assert judge(bytes(flipped), tsa) == right
        except CustodyError as error:
            found.add(error.code)
    assert found == {"timestamp-malformed", "timestamp-invalid", "timestamp-stranger"}


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_what_is_cut_off_or_too_long_is_malformed(stamp, cut):
    with pytest.raises(TimestampMalformed):
        Reply(stamp[:cut])
    with pytest.raises(TimestampMalformed):
        Reply(stamp + b"\0")
    with pytest.raises(TimestampMalformed, match=str(MAX_REPLY)):
        Reply(b"\x30" * (MAX_REPLY + 1))


def test_what_is_neither_certificate_nor_list_is_malformed():
    with pytest.raises(TimestampMalformed):
        Validation.parse([b"\x30\x00"])
