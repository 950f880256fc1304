"""The service's ES256 keys for access tokens: the current one, the next (published early), the previous.

Three files `current.pem`, `next.pem`, `previous.pem` of PKCS#8, mode 0600, in a directory of their own. A
rotation makes next the current one; everybody who caches the key set has seen it already. The previous
key signs nothing; it is kept so that tokens issued a moment ago still check. Do not rotate twice within
a token's lifetime (≤ 10 minutes), or tokens of the key before last stop checking early.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.auth import private_files
from custody.errors import FormatError

CURRENT, NEXT, PREVIOUS = "current.pem", "next.pem", "previous.pem"


class TokenKeyMalformed(FormatError):
    """A token key file is missing among the others, or holds no P-256 private key."""

    code = "token-key-malformed"


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """64 hex: SHA-256 of the SubjectPublicKeyInfo in DER, as for every key of ours."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_es256_key(key: object) -> bool:
    """Whether a key object can check ES256: a public key on P-256, never bytes, text or another curve."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


@dataclass(frozen=True)
class TokenKeys:
    """The keys of one moment; `rotate` and `load` return new ones.

    `repr` names key ids only.
    """

    current: ec.EllipticCurvePrivateKey
    next: ec.EllipticCurvePrivateKey
    previous: ec.EllipticCurvePrivateKey | None = None

    def __repr__(self) -> str:
        return f"TokenKeys({', '.join(self._public())})"

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the keys; make what a fresh directory or an interrupted rotation lacks.

        Raises:
            PrivateFileExposed: A key file is readable by others.
            TokenKeyMalformed: A file holds something else, or the current key alone is missing.
        """
        private_files.private_directory(directory)
        others = (directory / NEXT).exists() or (directory / PREVIOUS).exists()  # looked at first: made last
        if not (directory / CURRENT).exists():
            if others:
                raise TokenKeyMalformed(f"{directory} has no {CURRENT} beside its other keys, expected all or none")
            private_files.write_new(directory / CURRENT, _pem(generate()))
        if not (directory / NEXT).exists():
            private_files.write_new(directory / NEXT, _pem(generate()))
        previous = _read(directory / PREVIOUS) if (directory / PREVIOUS).exists() else None
        return cls(current=_read(directory / CURRENT), next=_read(directory / NEXT), previous=previous)

    def find(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """The public key object of that id, among current, next and previous."""
        return self._public().get(kid)

    def jwks(self) -> dict[str, Any]:
        """The JSON Web Key Set to publish (RFC 7517): public parts only, current first."""
        return {"keys": [_jwk(kid, key) for kid, key in self._public().items()]}

    def _public(self) -> dict[str, ec.EllipticCurvePublicKey]:
        pairs = [self.current, self.next, *([self.previous] if self.previous else [])]
        return {key_id(public): public for public in (private.public_key() for private in pairs)}


def rotate(directory: Path, *, keep_previous: bool = True) -> TokenKeys:
    """Make the next key current and a fresh one next; durable when it returns.

    A crash between the steps leaves a set that `TokenKeys.load` completes; current is never missing.

    Args:
        directory: Where `TokenKeys.load` keeps the files.
        keep_previous: False after a theft: tokens of the old key are refused from the next `load` on. Next
            lay beside it, so rotate twice.
    """
    keys = TokenKeys.load(directory)
    if keep_previous:
        private_files.write(directory / PREVIOUS, _pem(keys.current))
    else:
        (directory / PREVIOUS).unlink(missing_ok=True)
    private_files.move(directory / NEXT, directory / CURRENT)
    return TokenKeys.load(directory)


def generate() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(private_files.read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise TokenKeyMalformed(f"{path} holds no plain private key, expected PKCS#8 PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenKeyMalformed(f"{path} holds another kind of key, expected one on P-256")
    return key


def _jwk(kid: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    numbers = key.public_numbers()
    return {
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": _coordinate(numbers.x), "y": _coordinate(numbers.y),
    }  # fmt: skip


def _coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode("ascii")
