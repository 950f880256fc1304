"""Time stamps of RFC 3161: asked for, read, and judged under the roots of a trust file.

The one user of rfc3161-client, which checks the signature; what it leaves open is decided here: which root a stamp
leads to, under which policy, whether its certificate was named in it, was revoked, and until when it lasts. Real
authorities send sets in any order; what no signature covers is put in order before it is read.
Specification: docs/spec/timestamps.md.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import rfc3161_client
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client.errors import VerificationError as Refused

from custody import der
from custody.der import DerMalformed, Element
from custody.errors import FormatError, VerificationError

if TYPE_CHECKING:
    from custody.trust import TimestampAuthority

MAX_REPLY: Final = 64 * 1024
MAX_VALIDATION: Final = 4 * 1024 * 1024
_SHA512: Final = "2.16.840.1.101.3.4.2.3"
_GRANTED: Final = (0, 1)
_CERTIFICATES, _CRLS, _SIGNED_ATTRIBUTES = 0xA0, 0xA1, 0xA0
_NAMES_SIGNER: Final = {
    bytes.fromhex("2a864886f70d010910020c"): 1,  # signing-certificate: SHA-1
    bytes.fromhex("2a864886f70d010910022f"): 2,  # signing-certificate-v2: SHA-256 unless it says another
}
_HASHES: Final = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_LONGEST_PATH: Final = 8
_UNREADABLE: Final = (DerMalformed, ValueError, TypeError, KeyError, OverflowError, x509.InvalidVersion)
"""What the libraries raise on bytes that are no certificate, list or stamp."""
_HARMLESS: Final = frozenset(
    {x509.ReasonFlags.affiliation_changed, x509.ReasonFlags.superseded, x509.ReasonFlags.cessation_of_operation}
)


class TimestampMalformed(FormatError):
    """A reply that is no granted time stamp of the profile."""

    code = "timestamp-malformed"


class TimestampInvalid(VerificationError):
    """A stamp of other bytes, under another policy, by a revoked or unfit certificate, or with a wrong signature."""

    code = "timestamp-invalid"


class TimestampStranger(VerificationError):
    """A stamp that leads to none of the roots given; nothing can be said about it."""

    code = "timestamp-stranger"


@dataclass(frozen=True)
class Stamp:
    """A stamp that counts: what it was made of existed not after `latest`.

    Attributes:
        authority: Name of the authority, as the trust file has it.
        at: The time in it.
        latest: That time and its accuracy.
        ends: When the first certificate of its path ends; until then it speaks for itself.
    """

    authority: str
    at: datetime
    latest: datetime
    ends: datetime


def query(data: bytes) -> tuple[bytes, int]:
    """A request for a stamp over `data`, DER, and the nonce that the reply must bear."""
    builder = rfc3161_client.TimestampRequestBuilder(data, rfc3161_client.HashAlgorithm.SHA512)
    made = builder.cert_request(cert_request=True).build()
    assert made.nonce is not None
    return made.as_bytes(), made.nonce


def certificate(data: bytes) -> bytes:
    """A certificate in DER, from PEM or DER, as a trust file holds roots.

    Raises:
        TimestampMalformed: It is none.
    """
    read = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
    try:
        return read(data).public_bytes(Encoding.DER)
    except _UNREADABLE as error:
        raise TimestampMalformed("no certificate in PEM or DER") from error


class Reply:
    """A reply, read and not yet believed."""

    def __init__(self, data: bytes) -> None:
        """Read a `TimeStampResp`.

        Raises:
            TimestampMalformed: It is none, too large, not granted, or not signed by exactly one.
        """
        if len(data) > MAX_REPLY:
            raise TimestampMalformed(f"reply of {len(data)} bytes, expected at most {MAX_REPLY}")
        try:
            self._signed = _signed_data(data)
            self._read = rfc3161_client.decode_timestamp_response(_in_order(data, self._signed))
            info = self._read.tst_info
            self.at: datetime = info.gen_time.astimezone(UTC)
            self.nonce: int | None = info.nonce
            self.policy: str = info.policy.dotted_string
            self._imprint = info.message_imprint.hash_algorithm.dotted_string, info.message_imprint.message
            accuracy = info.accuracy
            self._accuracy = _span(accuracy) if accuracy is not None else timedelta(0)
            self._signer = self._the_signer()
        except _UNREADABLE as error:
            raise TimestampMalformed(f"no time stamp: {error}") from error

    def of(self, data: bytes) -> None:
        """Return only if the stamp is of these bytes.

        Raises:
            TimestampInvalid: It is of others, or has an imprint that is not SHA-512.
        """
        algorithm, imprint = self._imprint
        if algorithm != _SHA512:
            raise TimestampInvalid(f"imprint by {algorithm}, expected SHA-512 ({_SHA512})")
        if imprint != hashlib.sha512(data).digest():
            raise TimestampInvalid("the stamp is of other bytes")

    def judge(self, data: bytes, authorities: "Sequence[TimestampAuthority]", validation: "Validation") -> Stamp:
        """Judge the stamp of these bytes; returns only if it counts.

        Args:
            data: What it must be of.
            authorities: Whom to believe.
            validation: Certificates and revocation lists that came along; none of them is believed by itself.

        Raises:
            TimestampMalformed: The part that a signature covers is no stamp's.
            TimestampInvalid: It is wrong.
            TimestampStranger: It leads to no root of theirs.
        """
        self.of(data)
        try:
            return self._judge(authorities, validation)
        except _UNREADABLE as error:
            raise TimestampMalformed(f"no time stamp: {error}") from error

    def _judge(self, authorities: "Sequence[TimestampAuthority]", validation: "Validation") -> Stamp:
        pool = [*self.certificates, *validation.certificates]
        signer = next((each for each in pool if (each.issuer, each.serial_number) == self._signer), None)
        if signer is None:
            raise TimestampStranger("the stamp does not bring its signer's certificate")
        other = ""
        for authority in authorities:
            for root in authority.parsed_roots:
                path = _path(signer, root, pool, self.at)
                if path is not None and self.policy not in authority.policies:
                    other = f"policy {self.policy}, expected {' or '.join(authority.policies)}"
                elif path is not None:
                    self._check(path, validation)
                    ends = min(each.not_valid_after_utc for each in path)
                    return Stamp(authority.name, self.at, self.at + self._accuracy, ends)
        if other:
            raise TimestampInvalid(other)
        raise TimestampStranger(f"no root at hand for {signer.subject.rfc4514_string()}")

    def _check(self, path: Sequence[x509.Certificate], validation: "Validation") -> None:
        _check_purpose(path[0])
        if not any(named == digest for digest, named in self._named(path[0])):
            raise TimestampInvalid("the stamp names another certificate than its signer's")
        _check_revocation(path, validation, self.at)
        *middle, root = path[1:] or path
        builder = rfc3161_client.VerifierBuilder(tsa_certificate=path[0], intermediates=list(middle), roots=[root])
        try:
            builder.build().verify(self._read, self._imprint[1])
        except (Refused, ValueError) as error:
            raise TimestampInvalid(f"the stamp's signature does not hold: {error}") from error

    @cached_property
    def certificates(self) -> list[x509.Certificate]:
        """Those that came along, none of them believed."""
        found = []
        for data in sorted(self._read.signed_data.certificates):
            try:
                found.append(x509.load_der_x509_certificate(data))
            except _UNREADABLE:
                continue
        return found

    @cached_property
    def lists(self) -> list[bytes]:
        """The revocation lists that came along, DER, unread: only in `validation/` do they count."""
        held = [part for part in der.children(self._signed) if part.tag == _CRLS]
        return [each.data for part in held for each in der.children(part)]

    def _the_signer(self) -> tuple[x509.Name, int]:
        signers = list(self._read.signed_data.signer_infos)
        if len(signers) != 1:
            raise TimestampMalformed(f"{len(signers)} signers, expected one")
        return signers[0].issuer, signers[0].serial_number

    def _named(self, signer: x509.Certificate) -> Iterator[tuple[bytes, bytes]]:
        """(digest of the signer's certificate, digest named) for each signed attribute that names a certificate."""
        [info] = der.children(der.children(self._signed)[-1])
        for attribute in _attributes(info):
            version = _NAMES_SIGNER.get(der.within(attribute, 0, der.OBJECT_ID).content)
            if version is None:
                continue
            value = der.within(der.within(attribute, 1, der.SET), 0, der.SEQUENCE)
            first = der.children(der.within(der.within(value, 0, der.SEQUENCE), 0, der.SEQUENCE))
            name = "sha1" if version == 1 else "sha256"
            if first[0].tag == der.SEQUENCE:
                name = _HASHES.get(der.within(first[0], 0, der.OBJECT_ID).content, "")
                first = first[1:]
            if name and first and first[0].tag == der.OCTETS:
                data = signer.public_bytes(Encoding.DER)
                yield hashlib.new(name, data, usedforsecurity=False).digest(), first[0].content


@dataclass(frozen=True)
class Validation:
    """Certificates and revocation lists that came along with stamps."""

    certificates: Sequence[x509.Certificate] = ()
    lists: Sequence[x509.CertificateRevocationList] = ()

    @classmethod
    def parse(cls, files: Sequence[bytes]) -> "Validation":
        """Read the files of `validation/`.

        Raises:
            TimestampMalformed: One is neither a certificate nor a revocation list.
        """
        certificates: list[x509.Certificate] = []
        lists: list[x509.CertificateRevocationList] = []
        for data in files:
            try:
                if not _is_numbered(data):
                    raise ValueError("no certificate with a positive number")
                certificates.append(x509.load_der_x509_certificate(data))
            except _UNREADABLE:
                try:
                    lists.append(x509.load_der_x509_crl(data))
                except _UNREADABLE as error:
                    raise TimestampMalformed("neither a certificate nor a revocation list") from error
        return cls(certificates, lists)


def _signed_data(reply: bytes) -> Element:
    """The `SignedData` of the reply's token."""
    whole = der.read(reply, der.SEQUENCE)
    status = der.within(der.within(whole, 0, der.SEQUENCE), 0, der.INTEGER)
    if int.from_bytes(status.content, "big") not in _GRANTED:
        raise TimestampMalformed(f"the authority refused: status {int.from_bytes(status.content, 'big')}")
    return der.within(der.within(der.within(whole, 1, der.SEQUENCE), 1, 0xA0), 0, der.SEQUENCE)


def _in_order(reply: bytes, signed: Element) -> bytes:
    """The reply with its certificates in DER's order, without lists, and with a status that says granted.

    No signature covers any of these. A certificate whose number is not positive could sign nothing here.
    """
    token = der.within(der.read(reply, der.SEQUENCE), 1, der.SEQUENCE)
    parts = []
    for part in der.children(signed):
        if part.tag == _CERTIFICATES:
            held = [each.data for each in der.children(part) if _is_numbered(each.data)]
            parts.append(der.build(part.tag, sorted(held)))
        elif part.tag != _CRLS:
            parts.append(part.data)
    content = der.build(0xA0, [der.build(der.SEQUENCE, parts)])
    again = der.build(der.SEQUENCE, [der.within(token, 0, der.OBJECT_ID).data, content])
    granted = der.build(der.SEQUENCE, [der.build(der.INTEGER, [b"\0"])])
    return der.build(der.SEQUENCE, [granted, again])


def _is_numbered(certificate: bytes) -> bool:
    """Whether a certificate has a positive serial number; without one it is none of RFC 5280's."""
    try:
        body = der.children(der.within(der.read(certificate, der.SEQUENCE), 0, der.SEQUENCE))
        [number, *_] = [part.content for part in body if part.tag == der.INTEGER]
    except (DerMalformed, ValueError):
        return False
    return int.from_bytes(number, "big", signed=True) > 0


def _attributes(info: Element) -> list[Element]:
    for part in der.children(info):
        if part.tag == _SIGNED_ATTRIBUTES:
            return der.children(part)
    return []


def _span(accuracy: Any) -> timedelta:
    return timedelta(
        seconds=accuracy.seconds or 0, milliseconds=accuracy.millis or 0, microseconds=accuracy.micros or 0
    )


def _path(
    start: x509.Certificate, root: x509.Certificate, pool: Sequence[x509.Certificate], at: datetime
) -> list[x509.Certificate] | None:
    """Certificates from one to the root, each signed by the next, all valid at that time; None where there are none."""
    paths = [[start]]
    while paths:
        path = paths.pop()
        last = path[-1]
        if not last.not_valid_before_utc <= at <= last.not_valid_after_utc:
            continue
        if last == root:
            return path
        if len(path) < _LONGEST_PATH:
            issuers = [each for each in (*pool, root) if each not in path and _issued(last, each)]
            paths.extend([*path, each] for each in dict.fromkeys(issuers))
    return None


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return constraints.ca


def _check_purpose(signer: x509.Certificate) -> None:
    try:
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise TimestampInvalid("the signer's certificate is not for time stamping") from error
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise TimestampInvalid("the signer's certificate is not for time stamping alone")


def _check_revocation(path: Sequence[x509.Certificate], validation: Validation, at: datetime) -> None:
    for certificate, issuer in pairwise(path):
        for listed in validation.lists:
            if listed.issuer != issuer.subject or not _signed_list(listed, issuer):
                continue
            found = listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if found is not None and not (_is_harmless(found) and at < found.revocation_date_utc):
                name = certificate.subject.rfc4514_string()
                raise TimestampInvalid(f"{name} was revoked on {found.revocation_date_utc:%Y-%m-%d}")


def _signed_list(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # another type is no signer
    except (TypeError, UnsupportedAlgorithm):
        return False


def _is_harmless(revoked: x509.RevokedCertificate) -> bool:
    try:
        return revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason in _HARMLESS
    except (x509.ExtensionNotFound, ValueError):
        return False
