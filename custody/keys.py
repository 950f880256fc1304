"""Keys of authorities and principals: their ids, their records in a registry, their files.

| use | algorithm | signs |
| --- | --- | --- |
| authority, recovery | Ed25519 (ML-DSA-65 beside it later) | the authority's registry |
| statement | Ed25519 | a principal's statements |
| login | ES256 | tokens and its own proof of possession, never a statement |
| encryption | age recipient | nothing |

A key id is the hex SHA-256 of the SubjectPublicKeyInfo, or of the age recipient string. Specification:
docs/spec/registry.md.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from custody import ed25519 as strict
from custody.ed25519 import SignatureInvalid
from custody.errors import CustodyError, FormatError
from custody.sealing import Recipient
from custody.text import from_base64, to_base64

_Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey
_Public = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | mldsa.MLDSA65PublicKey
_USES = {
    "authority": ("ed25519", "ml-dsa-65"),
    "recovery": ("ed25519",),
    "statement": ("ed25519",),
    "login": ("es256",),
    "encryption": ("mlkem768x25519", "x25519"),
}
_SCALAR = 32


class KeyMalformed(FormatError):
    """Not a key of a kind used here, or its record does not fit it."""

    code = "key-malformed"


class KeyLocked(CustodyError):
    """A private key file needs a passphrase, or another one."""

    code = "key-locked"


@dataclass(frozen=True)
class PublicKey:
    """A key that can check signatures.

    Attributes:
        alg: `ed25519`, `es256` or `ml-dsa-65`.
        spki: SubjectPublicKeyInfo, DER.
    """

    alg: str
    spki: bytes

    @cached_property
    def id(self) -> str:
        """64 hex digits: SHA-256 of the SPKI."""
        return hashlib.sha256(self.spki).hexdigest()

    @cached_property
    def _key(self) -> _Public:
        return _load_public(self.spki)

    @cached_property
    def raw(self) -> bytes:
        """The 32 raw bytes of an Ed25519 key."""
        assert isinstance(self._key, ed25519.Ed25519PublicKey)
        return self._key.public_bytes_raw()

    @classmethod
    def parse(cls, spki: bytes) -> "PublicKey":
        """The key in a DER SPKI, which must be its only encoding.

        Raises:
            KeyMalformed: Not DER, another curve or algorithm, or bytes to spare.
        """
        key = _load_public(spki)
        if key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) != spki:
            raise KeyMalformed("SubjectPublicKeyInfo is not the canonical encoding of its key")
        return cls(alg=_algorithm(key), spki=spki)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature; return only if it is right.

        Raises:
            SignatureInvalid: It is not.
        """
        key = self._key
        if isinstance(key, ed25519.Ed25519PublicKey):
            strict.verify(self.raw, signature, message)
            return
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(_to_der(signature), message, ec.ECDSA(hashes.SHA256()))
            else:
                key.verify(signature, message)
        except InvalidSignature as error:
            raise SignatureInvalid(f"{self.alg} signature by key {self.id} is wrong") from error


@dataclass(frozen=True)
class SigningKey:
    """A private key. Its `repr` shows the public id only."""

    _private: _Private
    public: PublicKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.alg}, {self.public.id})"

    @classmethod
    def generate(cls, alg: str = "ed25519") -> "SigningKey":
        """A new key of `ed25519`, `es256` or `ml-dsa-65`.

        Raises:
            KeyMalformed: Another algorithm.
        """
        match alg:
            case "ed25519":
                return cls.of(ed25519.Ed25519PrivateKey.generate())
            case "es256":
                return cls.of(ec.generate_private_key(ec.SECP256R1()))
            case "ml-dsa-65":
                return cls.of(mldsa.MLDSA65PrivateKey.generate())
        raise KeyMalformed(f"algorithm {alg!r}, expected ed25519, es256 or ml-dsa-65")

    @classmethod
    def of(cls, private: _Private) -> "SigningKey":
        """Wrap a private key object."""
        spki = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(private, PublicKey.parse(spki))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "SigningKey":
        """The key of a PKCS#8 PEM.

        Raises:
            KeyLocked: A passphrase is needed, or this is not it.
            KeyMalformed: Not PKCS#8 PEM of a known algorithm.
        """
        try:
            private = serialization.load_pem_private_key(pem, passphrase)
        except TypeError as error:
            raise KeyLocked("private key is encrypted, expected a passphrase, or none is needed") from error
        except UnsupportedAlgorithm as error:
            raise KeyMalformed(f"private key of an unknown algorithm or cipher: {error}") from error
        except ValueError as error:
            if b"ENCRYPTED" in pem:
                raise KeyLocked("passphrase does not open the private key") from error
            raise KeyMalformed(f"not a PKCS#8 PEM private key: {error}") from error
        except InternalError as error:  # what OpenSSL says of an X448 key that is too short
            raise KeyMalformed("private key whose numbers are none of its algorithm") from error
        if not isinstance(private, _Private):
            raise KeyMalformed(f"private key is {type(private).__name__}, expected Ed25519, P-256 or ML-DSA-65")
        return cls.of(private)

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS#8 PEM, encrypted if a passphrase is given. Store it with mode 0600."""
        cipher = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)

    def sign(self, message: bytes) -> bytes:
        """Sign; ES256 as 64 raw bytes r and s, as in JWS."""
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_SCALAR, "big") + s.to_bytes(_SCALAR, "big")
        return self._private.sign(message)


@dataclass(frozen=True)
class KeyRecord:
    """A key as a registry names it: `{id, alg, use, holder, public}`."""

    id: str
    alg: str
    use: str
    holder: str
    public: str

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "KeyRecord":
        """A record whose members fit each other: id and algorithm are recomputed from the public key.

        Raises:
            KeyMalformed: They do not.
        """
        record = cls(**fields)
        if record.alg not in _USES[record.use]:
            raise KeyMalformed(f"a key for {record.use} is {record.alg}, expected {' or '.join(_USES[record.use])}")
        if record.use == "encryption":
            recipient = Recipient.parse(record.public)
            found = (recipient.key_id, recipient.kind)
        else:
            key = record.verifier()
            found = (key.id, key.alg)
        if found != (record.id, record.alg):
            raise KeyMalformed(
                f"record names key {record.id} ({record.alg}), its public key is {found[0]} ({found[1]})"
            )
        return record

    @classmethod
    def of(cls, key: PublicKey | Recipient, *, use: str, holder: str) -> "KeyRecord":
        """The record of a key."""
        if isinstance(key, Recipient):
            return cls(key.key_id, key.kind, use, holder, str(key))
        return cls(key.id, key.alg, use, holder, to_base64(key.spki))

    def fields(self) -> dict[str, str]:
        """As it stands in a statement."""
        return {"id": self.id, "alg": self.alg, "use": self.use, "holder": self.holder, "public": self.public}

    def verifier(self) -> PublicKey:
        """The public key, for any use but encryption."""
        return _verifier(self.public)

    def recipient(self) -> Recipient:
        """The age recipient, for the use encryption."""
        return Recipient.parse(self.public)


@lru_cache(maxsize=1024)
def _verifier(public: str) -> PublicKey:
    """A function of its argument alone; asked for every signature of a long chain, and few keys sign them all."""
    key = PublicKey.parse(from_base64(public))
    if key.alg == "ed25519":
        strict.check_public(key.raw)
    return key


def fingerprint(key_id: str) -> str:
    """A key id in groups of four, to read aloud and compare."""
    return " ".join(key_id[start : start + 4] for start in range(0, len(key_id), 4))


def _load_public(spki: bytes) -> _Public:
    try:
        key = serialization.load_der_public_key(spki)
    except Exception as error:  # the loader raises several unrelated types on odd input
        raise KeyMalformed(f"not a SubjectPublicKeyInfo: {error}") from error
    if not isinstance(key, _Public):
        raise KeyMalformed(f"public key is {type(key).__name__}, expected Ed25519, P-256 or ML-DSA-65")
    return key


def _algorithm(key: _Public) -> str:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, mldsa.MLDSA65PublicKey):
        return "ml-dsa-65"
    if not isinstance(key.curve, ec.SECP256R1):
        raise KeyMalformed(f"elliptic curve {key.curve.name}, expected P-256")
    return "es256"


def _to_der(signature: bytes) -> bytes:
    if len(signature) != 2 * _SCALAR:
        raise SignatureInvalid(f"ES256 signature of {len(signature)} bytes, expected {2 * _SCALAR}")
    return encode_dss_signature(int.from_bytes(signature[:_SCALAR], "big"), int.from_bytes(signature[_SCALAR:], "big"))
