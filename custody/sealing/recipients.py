"""Who can open: recipients (public) and identities (secret) of the two kinds that suite 1 knows.

`mlkem768x25519`, the default, is an HPKE key of ML-KEM-768 and X25519 together: it holds as long as either does,
and so also against whoever stores sealed items today to open them with a quantum computer later.
`x25519` is for tools that know no other. Passphrases, plugins and SSH keys are no recipients here.

Source: age v1 format (c2sp.org/age), RFC 9180, docs/spec/sealing.md.
"""

import hashlib
import os
import re
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custody.errors import FormatError
from custody.sealing import bech32
from custody.sealing.header import HYBRID, X25519, HeaderMalformed, Stanza, to_base64

_RECIPIENT_PREFIX: Final = {HYBRID: "age1pq", X25519: "age"}
_IDENTITY_PREFIX: Final = {HYBRID: "age-secret-key-pq-", X25519: "age-secret-key-"}
_X25519_SIZE = 32
_MLKEM_SIZE = 1184
_PUBLIC_SIZE: Final = {HYBRID: _MLKEM_SIZE + _X25519_SIZE, X25519: _X25519_SIZE}
_SEED_SIZE = 32
_MLKEM_SEED_SIZE = 64
_SHARE_SIZE = 1120
_FIELD = 2**255 - 19
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_X25519_INFO = b"age-encryption.org/v1/X25519"
_WRAP_NONCE = bytes(12)  # the wrapping key is used once
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_PROBE = X25519PrivateKey.from_private_bytes(b"\x01" * _X25519_SIZE)  # any scalar shows a low order


class RecipientMalformed(FormatError):
    """Not a recipient of a known kind in its one spelling, or a key nothing can safely be sealed to."""

    code = "recipient-malformed"


class IdentityMalformed(FormatError):
    """Not an identity of a known kind. Messages name the line, never what stands in it."""

    code = "identity-malformed"


class Recipient:
    """A public key that a file can be sealed to. Compares equal by its spelling, of which there is one."""

    __slots__ = ("_public", "_text", "kind")

    def __init__(self, kind: str, public: bytes) -> None:
        self.kind: Final = kind
        self._public = public
        self._text = bech32.encode(_RECIPIENT_PREFIX[kind], public)

    @classmethod
    def parse(cls, text: str) -> "Recipient":
        """The recipient spelled `age1pq1…` (1,959 characters) or `age1…` (62), in lower case.

        The reader may conclude that the key is usable and spelled in the only way; not whose it is.

        Raises:
            RecipientMalformed: Anything else, an X25519 point of low order or not reduced, an ML-KEM key out of range.
        """
        try:
            prefix, public = bech32.decode(text)
        except bech32.Bech32Malformed as error:
            raise RecipientMalformed(f"recipient {text[:20]!r} is not Bech32: {error}") from error
        kind = next((kind for kind, known in _RECIPIENT_PREFIX.items() if known == prefix), None)
        if kind is None or text != text.lower():
            raise RecipientMalformed(f"recipient {text[:20]!r}, expected age1pq1 or age1 and lower case")
        if len(public) != _PUBLIC_SIZE[kind]:
            raise RecipientMalformed(f"recipient {text[:20]!r} has {len(public)} bytes, expected {_PUBLIC_SIZE[kind]}")
        _check_public(kind, public)
        return cls(kind, public)

    @property
    def key_id(self) -> str:
        """SHA-256 of the spelling, 64 hex."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def wrap(self, file_key: bytes) -> Stanza:
        """A fresh stanza that gives this recipient the file key (16 bytes)."""
        return _wrap_hybrid(self._public, file_key) if self.kind == HYBRID else _wrap_x25519(self._public, file_key)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Recipient({self._text[:20]}…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipient) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Identity:
    """A secret key that opens what was sealed to its recipient. `str` spells the secret out, `repr` does not."""

    __slots__ = ("_agree", "_hybrid", "_seed", "kind", "recipient")

    def __init__(self, kind: str, seed: bytes) -> None:
        self.kind: Final = kind
        self._seed = seed
        self._hybrid: hpke.MLKEM768X25519PrivateKey | None = None
        if kind == HYBRID:
            expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_SIZE + _X25519_SIZE)
            lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE])
            self._agree = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_SIZE:])
            self._hybrid = hpke.MLKEM768X25519PrivateKey(lattice, self._agree)
            public = lattice.public_key().public_bytes_raw()
        else:
            self._agree = X25519PrivateKey.from_private_bytes(seed)
            public = b""
        self.recipient: Final = Recipient(kind, public + self._agree.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """The identity spelled `AGE-SECRET-KEY-PQ-1…` or `AGE-SECRET-KEY-1…`, in upper case.

        Raises:
            IdentityMalformed: Anything else.
        """
        try:
            prefix, seed = bech32.decode(text)
        except bech32.Bech32Malformed as error:
            raise IdentityMalformed(f"an identity that is not Bech32: {error}") from error
        kind = next((kind for kind, known in _IDENTITY_PREFIX.items() if known == prefix), None)
        if kind is None or text != text.upper():
            raise IdentityMalformed("not an identity: expected AGE-SECRET-KEY-PQ-1 or AGE-SECRET-KEY-1 and upper case")
        if len(seed) != _SEED_SIZE:
            raise IdentityMalformed(f"an identity of {len(seed)} bytes, expected {_SEED_SIZE}")
        return cls(kind, seed)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key in a stanza of this identity's kind, or None if the stanza is not for this identity.

        Raises:
            HeaderMalformed: The share's X25519 point is of low order: anyone would agree on the same secret.
        """
        return self._unwrap_hybrid(stanza) if self._hybrid else self._unwrap_x25519(stanza)

    def _unwrap_hybrid(self, stanza: Stanza) -> bytes | None:
        share = stanza.share
        try:
            _agree(_PROBE, share[-_X25519_SIZE:])
        except ValueError as error:
            _refuse_low_order(error)
        assert self._hybrid is not None
        try:
            return _SUITE.decrypt(share + stanza.body, self._hybrid, info=_HYBRID_INFO)
        except InvalidTag:
            return None

    def _unwrap_x25519(self, stanza: Stanza) -> bytes | None:
        share = stanza.share
        try:
            secret = _agree(self._agree, share)
        except ValueError as error:
            _refuse_low_order(error)
        key = _wrapping_key(secret, share, self._agree.public_key().public_bytes_raw())
        try:
            return ChaCha20Poly1305(key).decrypt(_WRAP_NONCE, stanza.body, None)
        except InvalidTag:
            return None

    def __str__(self) -> str:
        return bech32.encode(_IDENTITY_PREFIX[self.kind], self._seed).upper()

    def __repr__(self) -> str:
        return f"Identity(of {self.recipient!r})"


def generate_identity(kind: str = HYBRID) -> Identity:
    """A new identity of `mlkem768x25519` or `x25519` from the system's randomness.

    Raises:
        IdentityMalformed: Another kind.
    """
    if kind not in _IDENTITY_PREFIX:
        raise IdentityMalformed(f"kind {kind!r}, expected {HYBRID} or {X25519}")
    return Identity(kind, os.urandom(_SEED_SIZE))


def parse_identity_file(text: str) -> list[Identity]:
    """The identities of an age identity file: one a line; empty lines and lines that begin with # are skipped.

    Raises:
        IdentityMalformed: A line that is neither, named by its number; or no identity at all.
    """
    identities = []
    for number, line in enumerate(re.split(r"\r?\n", text), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            identities.append(Identity.parse(line))
        except IdentityMalformed as error:
            raise IdentityMalformed(f"line {number}: {error}") from error
    if not identities:
        raise IdentityMalformed("no identity in the file, expected at least one")
    return identities


def _check_public(kind: str, public: bytes) -> None:
    point = public[-_X25519_SIZE:]
    if int.from_bytes(point, "little") >= _FIELD:
        raise RecipientMalformed("the X25519 point is not reduced: it would be a second spelling of a key")
    try:
        _agree(_PROBE, point)
        if kind == HYBRID:
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_SIZE])
    except ValueError as error:
        raise RecipientMalformed("the key is out of range or of low order: nothing can be sealed to it") from error


def _wrap_hybrid(public: bytes, file_key: bytes) -> Stanza:
    key = hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_SIZE]),
        X25519PublicKey.from_public_bytes(public[_MLKEM_SIZE:]),
    )
    sealed = _SUITE.encrypt(file_key, key, info=_HYBRID_INFO)
    return Stanza(("mlkem768x25519", to_base64(sealed[:_SHARE_SIZE]).decode()), sealed[_SHARE_SIZE:])


def _wrap_x25519(public: bytes, file_key: bytes) -> Stanza:
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    key = _wrapping_key(_agree(ephemeral, public), share, public)
    return Stanza(("X25519", to_base64(share).decode()), ChaCha20Poly1305(key).encrypt(_WRAP_NONCE, file_key, None))


def _wrapping_key(secret: bytes, share: bytes, public: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=share + public, info=_X25519_INFO).derive(secret)


def _agree(own: X25519PrivateKey, point: bytes) -> bytes:
    """The shared secret; ValueError if it is all zero, which only points of low order bring about."""
    return own.exchange(X25519PublicKey.from_public_bytes(point))


def _refuse_low_order(error: ValueError) -> NoReturn:
    raise HeaderMalformed("the share is an X25519 point of low order") from error
