"""Time stamps and renewals, put together byte by byte: the reference that vectors of them are made with.

DER is written out here, certificates come from `cryptography`, and every key, number and time is given, so that the
same call gives the same bytes. Nothing of `custody` is used. Sources: RFC 3161 section 2.4.2, RFC 5652 section 5,
RFC 5816 section 2.2.1, docs/spec/timestamps.md.
"""

import hashlib
import json
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY = "1.3.6.1.4.1.32473.1"
BEGINS, ENDS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
STAMPING = (ExtendedKeyUsageOID.TIME_STAMPING,)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HASH = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_NAMES_SIGNER = {1: "1.2.840.113549.1.9.16.2.12", 2: "1.2.840.113549.1.9.16.2.47"}
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"

# ---------------------------------------------------------------- DER


def element(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + content


def sequence(*parts):
    return element(0x30, *parts)


def set_of(*parts):
    return element(0x31, *sorted(parts))


def integer(value, tag=2):
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(data):
    return element(4, data)


def oid(text):
    first, second, *rest = map(int, text.split("."))
    found = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.append(128 + (arc & 127))
        found += bytes(reversed(groups))
    return element(6, found)


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


# ---------------------------------------------------------------- an authority


def key_of(name):
    """A P-256 key that follows from a name."""
    number = int.from_bytes(hashlib.sha512(name.encode()).digest(), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Tsa:
    """A time-stamping authority: a root, a certificate between, a signer."""

    def __init__(self, name, *, begins=BEGINS, ends=ENDS, usages=STAMPING, critical=True, ca=True):
        self.name, self.begins, self.ends = name, begins, ends
        self.root = self.certify("root", "root")
        self.middle = self.certify("middle", "root", ca=ca)
        self.signer = self.certify("signer", "middle", usages=usages, critical=critical, ca=False)

    def key(self, what):
        return key_of(f"{self.name} {what}")

    def certify(self, what, by, *, usages=(), critical=True, ca=True, number=None, ends=None, key=None):
        number = number or int.from_bytes(hashlib.sha256(f"{self.name} {what}".encode()).digest()[:8], "big") >> 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(f"{self.name} {what}"))
            .issuer_name(named(f"{self.name} {by}"))
            .public_key((key or self.key(what)).public_key())
            .serial_number(number)
            .not_valid_before(self.begins)
            .not_valid_after(ends or self.ends)
        )
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=critical)
        return builder.sign(self.key(by), hashes.SHA256(), ecdsa_deterministic=True)

    def revoking(self, at, reason=None, *, by="middle", signed_by=None, certificate=None):
        """A revocation list that names the signer, DER."""
        entry = x509.RevokedCertificateBuilder().serial_number((certificate or self.signer).serial_number)
        entry = entry.revocation_date(at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = x509.CertificateRevocationListBuilder().issuer_name(named(f"{self.name} {by}"))
        builder = builder.last_update(self.begins).next_update(self.ends).add_revoked_certificate(entry.build())
        made = builder.sign(signed_by or self.key(by), hashes.SHA256(), ecdsa_deterministic=True)
        return made.public_bytes(serialization.Encoding.DER)

    # ------------------------------------------------------------ what it writes

    def info(self, data, *, at=AT, imprint="sha512", called=None, policy=POLICY, accuracy=(1, 500)):
        """`TSTInfo` over these bytes."""
        parts = [
            integer(1),
            oid(policy),
            sequence(sequence(oid(_HASH[called or imprint]), element(5)), octets(hashlib.new(imprint, data).digest())),
            integer(7),
            element(0x18, at.strftime("%Y%m%d%H%M%SZ").encode()),
        ]
        return sequence(*parts, *([sequence(integer(accuracy[0]), integer(accuracy[1], 0x80))] if accuracy else []))

    def naming(self, certificate, version=2, by=None):
        """The signed attribute that names the signer's certificate."""
        digest = hashlib.new(by or ("sha1" if version == 1 else "sha256"), der_of(certificate)).digest()
        one = sequence(*([sequence(oid(_HASH[by]))] if by and version == 2 else []), octets(digest))
        return sequence(oid(_NAMES_SIGNER[version]), set_of(sequence(sequence(one))))

    def signed(self, info, *, naming=None, key=None, spoil=False):
        """`SignerInfo` over a `TSTInfo`."""
        attributes = [
            sequence(oid(_CONTENT_TYPE), set_of(oid(_TST_INFO))),
            sequence(oid(_MESSAGE_DIGEST), set_of(octets(hashlib.sha256(info).digest()))),
            *([self.naming(self.signer)] if naming is None else naming),
        ]
        message = set_of(*attributes)
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        signature = (key or self.key("signer")).sign(message + b"." * spoil, algorithm)
        issuer = sequence(self.signer.issuer.public_bytes(), integer(self.signer.serial_number))
        return sequence(
            integer(1), issuer, sequence(oid(_HASH["sha256"])), b"\xa0" + message[1:],
            sequence(oid(_ECDSA_SHA256)), octets(signature),
        )  # fmt: skip

    def stamp(self, data, *, status=0, certificates=None, lists=(), signers=1, **how):
        """A reply that grants a stamp over these bytes; how it differs from a right one is said by name."""
        signing = {name: how.pop(name) for name in ("naming", "key", "spoil") if name in how}
        info = self.info(data, **how)
        held = [self.signer, self.middle] if certificates is None else certificates
        held = [each if isinstance(each, bytes) else der_of(each) for each in held]
        parts = [
            integer(3),
            set_of(sequence(oid(_HASH["sha256"]))),
            sequence(oid(_TST_INFO), element(0xA0, octets(info))),
            element(0xA0, *held),
            *([element(0xA1, *lists)] if lists else []),
            set_of(*[self.signed(info, **signing)] * signers),
        ]
        return reply(sequence(*parts), status)

    @property
    def roots(self):
        return (der_of(self.root),)


def reply(signed_data, status=0):
    """`TimeStampResp` of a status and a `SignedData`."""
    token = sequence(oid(_SIGNED_DATA), element(0xA0, signed_data))
    return sequence(sequence(integer(status)), token)


# ---------------------------------------------------------------- renewals


def renewal(number, files, *, time="2029-06-01T00:00:00.000000Z", **changes):
    """The bytes of a renewal over files: path → bytes."""
    rows = [{"digest": hashlib.sha512(data).hexdigest(), "path": path} for path, data in sorted(files.items())]
    fields = {"files": rows, "hash": "sha512", "kind": "renewal", "n": number, "time": time, "v": 1} | changes
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
