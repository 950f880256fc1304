"""Signed notes: a text, a blank line, and signatures by named keys.

Keys are written as `<name>+<key id>+<base64 of type and public key>` (a vkey). A reader brings the keys it
knows; signatures by others are ignored, one by a known key that fails refuses the note.
Source: C2SP signed-note. Specification: docs/spec/log.md.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from hashlib import sha256

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from custody import cosignature, ed25519
from custody.checkpoint_text import is_name
from custody.ed25519 import SignatureInvalid
from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.text import from_base64, from_hex, to_base64

MAX_NOTE_SIZE = 1024 * 1024
KEY_ID_SIZE = 4
MLDSA44_PUBLIC_SIZE = 1312
MLDSA44_SIGNATURE_SIZE = 2420
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_LINE = re.compile("— ([^ ]+) ([A-Za-z0-9+/]+={0,2})\\Z")
_VKEY_PARTS = 3
_CACHED_KEYS = 1024

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey


class NoteMalformed(FormatError):
    """Not a signed note: encoding, control characters, blank line, a signature line, or one key twice."""

    code = "note-malformed"


class VkeyMalformed(FormatError):
    """Not a key in the form `<name>+<key id>+<base64>`, or a key id that is not the key's."""

    code = "vkey-malformed"


class KeyTypeUnsupported(UnsupportedError):
    """A well-formed key of a signature type that suite 1 does not have."""

    code = "key-type-unsupported"


class NotSigned(VerificationError):
    """A key that must have signed did not, or no known key did."""

    code = "not-signed"


class KeyType(IntEnum):
    """The signature types of suite 1, by the byte that stands before the public key."""

    ED25519 = 0x01
    COSIGN_ED25519 = 0x04
    COSIGN_MLDSA44 = 0x06


@dataclass(frozen=True)
class VerifierKey:
    """A key that a reader knows: a name, a type and public key material.

    Raises:
        VkeyMalformed: The name is no name, or the public key has another size than its type's.
        PublicKeyRefused: Ed25519 material outside the prime-order group or not canonical.
    """

    name: str
    type: KeyType
    public: bytes

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise VkeyMalformed(f"key name {self.name[:80]!r}, expected 1 to 255 printable ASCII without space and +")
        if self.type == KeyType.COSIGN_MLDSA44:
            if len(self.public) != MLDSA44_PUBLIC_SIZE:
                raise VkeyMalformed(f"ML-DSA-44 key of {len(self.public)} bytes, expected {MLDSA44_PUBLIC_SIZE}")
        else:
            ed25519.check_public(self.public)

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of its only spelling; `str(result) == text`.

        Raises:
            VkeyMalformed: Not the three parts, a bad name or size, or the key id of another key.
            KeyTypeUnsupported: A type that suite 1 does not have.
            TextMalformed: Key id or key material in another spelling than the canonical one.
            PublicKeyRefused: Ed25519 material that may not be enrolled.
        """
        parts = text.split("+", _VKEY_PARTS - 1)
        if len(parts) != _VKEY_PARTS:
            raise VkeyMalformed(f"{text[:80]!r} is not <name>+<key id>+<base64>")
        key_id, material = from_hex(parts[1], KEY_ID_SIZE), from_base64(parts[2])
        if not material:
            raise VkeyMalformed("a key without type and public key")
        spelled = sha256(parts[0].encode("utf-8", "surrogatepass") + b"\n" + material).digest()[:KEY_ID_SIZE]
        if spelled != key_id:
            raise VkeyMalformed(f"key id {key_id.hex()} in the vkey, the key has {spelled.hex()}")
        if material[0] not in set(KeyType):
            raise KeyTypeUnsupported(f"signature type 0x{material[0]:02x} of key {parts[0][:80]!r}")
        return cls(name=parts[0], type=KeyType(material[0]), public=material[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.type]) + self.public)}"

    @cached_property
    def key_id(self) -> bytes:
        """The 4 bytes that name the key inside notes, together with its name; short, so no proof of anything."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:KEY_ID_SIZE]

    @cached_property
    def full_id(self) -> str:
        """64 hex that name the key everywhere else: H(type, public key)."""
        return sha256(bytes([self.type]) + self.public).hexdigest()

    def verify(self, text: str, payload: bytes) -> int | None:
        """Check what stands after the key id in a signature line; returns the signed time, if it carries one.

        Args:
            text: The note's text with its last line end.
            payload: A signature (0x01), or a time and a signature (0x04, 0x06).

        Raises:
            SignatureInvalid: It does not belong to this text and key.
            FormatError: A cosignature whose time is out of bounds, or of a text that is no checkpoint.
        """
        if self.type == KeyType.ED25519:
            ed25519.verify(self.public, payload, text.encode())
            return None
        time, signature = cosignature.parse(payload)
        if self.type == KeyType.COSIGN_ED25519:
            ed25519.verify(self.public, signature, cosignature.ed25519_message(time=time, text=text))
        else:
            message = cosignature.mldsa44_message(cosigner=self.name, time=time, text=text)
            _verify_mldsa44(self.public, signature, message)
        return time


class SignerKey:
    """A private key under a name, for one type of signature. Signing is the only thing it is used for."""

    def __init__(self, *, verifier: VerifierKey, private: PrivateKey) -> None:
        self.verifier = verifier
        self.private = private

    @classmethod
    def generate(cls, name: str, type: int) -> "SignerKey":  # noqa: A002
        """A new key from the system's randomness; `type` is one of `KeyType`."""
        mldsa = _known_type(type) == KeyType.COSIGN_MLDSA44
        return cls.from_private(name, type, MLDSA44PrivateKey.generate() if mldsa else Ed25519PrivateKey.generate())

    @classmethod
    def from_private(cls, name: str, type: int, private: PrivateKey) -> "SignerKey":  # noqa: A002
        """A key from a private key object of `cryptography`.

        Raises:
            VkeyMalformed: The key object is not of the algorithm of the type, or the name no name.
            KeyTypeUnsupported: `type` is none of `KeyType`.
        """
        known = _known_type(type)
        wanted = MLDSA44PrivateKey if known == KeyType.COSIGN_MLDSA44 else Ed25519PrivateKey
        if not isinstance(private, wanted):
            raise VkeyMalformed(f"a {private.__class__.__name__} for signatures of type 0x{known:02x}")
        public = private.public_key().public_bytes_raw()
        return cls(verifier=VerifierKey(name=name, type=known, public=public), private=private)

    @classmethod
    def from_pem(cls, name: str, type: int, data: bytes) -> "SignerKey":  # noqa: A002
        """A key from PKCS#8 PEM without a passphrase.

        Raises:
            VkeyMalformed: There is no such key in it, or one of another algorithm than the type's.
        """
        try:
            private = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
            raise VkeyMalformed(f"no private key in PEM: {error}") from error
        return cls.from_private(name, type, private)  # type: ignore[arg-type] # it checks the type

    def pem(self) -> bytes:
        """The private key as PKCS#8 PEM without a passphrase; for files that nobody else can read."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, text: str, time: int | None = None) -> str:
        """The signature line for a text, without its line end.

        Args:
            text: The note's text with its last line end; for cosignatures a checkpoint's.
            time: POSIX seconds, at least 1, for cosignatures; type 0x01 carries no time and ignores it.

        Raises:
            CosignatureMalformed: A cosignature without a time, or with one out of bounds.
            FormatError: A cosignature of a text that is no checkpoint.
        """
        key = self.verifier
        if key.type == KeyType.ED25519:
            payload = self.private.sign(text.encode())
        else:
            at = time or 0
            if key.type == KeyType.COSIGN_ED25519:
                message = cosignature.ed25519_message(time=at, text=text)
            else:
                message = cosignature.mldsa44_message(cosigner=key.name, time=at, text=text)
            payload = cosignature.encode(time=at, signature=self.private.sign(message))
        return f"— {key.name} {to_base64(key.key_id + payload)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was verified: by whom, and the POSIX second it carries, if it is a cosignature."""

    verifier: VerifierKey
    time: int | None


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, the signatures verified in it, and all its signature lines as they stand, without line ends."""

    text: str
    signatures: tuple[Signature, ...]
    lines: tuple[str, ...]

    def cosignatures(self) -> list[tuple[str, int]]:
        """(full key id, time) of each verified signature that carries a time; what `Policy` speaks of."""
        return [(item.verifier.full_id, item.time) for item in self.signatures if item.time is not None]


def parse_note(data: bytes) -> Note:
    """Take a note apart without verifying anything; `encode_note(result.text, result.lines) == data`.

    Nothing may be concluded from the text. For showing a note, or handing it on.

    Raises:
        NoteMalformed: Over 1 MiB, not UTF-8, a control character, no blank line, no signature line, one that
            is not a signature line, or two of one key.
    """
    text, lines = _split(data)
    _signatures(lines)
    return Note(text=text, signatures=(), lines=lines)


def open_note(data: bytes, verifiers: Iterable[VerifierKey]) -> Note:
    """Take a note apart and verify every signature by a known key.

    The reader may conclude that the keys in `signatures`, and no others, signed this text. Whether they are
    enough is the caller's to decide.

    Raises:
        NoteMalformed: As for `parse_note`.
        VkeyMalformed: Two different known keys share a name and a key id.
        SignatureInvalid: A signature by a known key does not hold.
        NotSigned: No known key signed.
        FormatError: A cosignature by a known key is malformed, or the text it cosigns is no checkpoint.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise VkeyMalformed(f"two keys share the name {verifier.name} and the id {verifier.key_id.hex()}")
    text, lines = _split(data)
    verified = []
    for name, key_id, payload in _signatures(lines):
        signer = known.get((name, key_id))
        if signer is not None:
            verified.append(Signature(verifier=signer, time=signer.verify(text, payload)))
    if not verified:
        raise NotSigned(f"none of {len(lines)} signatures is by one of {len(known)} known keys")
    return Note(text=text, signatures=tuple(verified), lines=lines)


def encode_note(text: str, lines: Sequence[str]) -> bytes:
    """The bytes of a note of a text and signature lines (without line ends).

    Raises:
        NoteMalformed: The result would not be a note with this text and these lines.
    """
    data = "".join((text, "\n", *(f"{line}\n" for line in lines))).encode("utf-8", "surrogatepass")
    note = parse_note(data)
    if note.text != text or note.lines != tuple(lines):
        raise NoteMalformed("text and signature lines would be read back otherwise")
    return data


def add_signatures(note: bytes, lines: Sequence[str]) -> bytes:
    """The note with more signature lines after those it has, which stay as they are.

    Raises:
        NoteMalformed: Not a note, or one of the keys has signed it before.
    """
    old = parse_note(note)
    return encode_note(old.text, (*old.lines, *lines))


def _split(data: bytes) -> tuple[str, tuple[str, ...]]:
    if len(data) > MAX_NOTE_SIZE:
        raise NoteMalformed(f"a note of {len(data)} bytes, expected at most {MAX_NOTE_SIZE}")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise NoteMalformed(f"a note that is not UTF-8: {error}") from error
    control = _CONTROL.search(whole)
    if control:
        raise NoteMalformed(f"control character U+{ord(control.group()):04X} in a note")
    before, blank, after = whole.rpartition("\n\n")
    if not blank or not after.endswith("\n"):
        raise NoteMalformed("a note without a blank line and signature lines after it")
    return before + "\n", tuple(after[:-1].split("\n"))


def _signatures(lines: Sequence[str]) -> list[tuple[str, bytes, bytes]]:
    """(name, key id, what stands after it) of each line."""
    found = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or not is_name(match[1]):
            raise NoteMalformed(f"{line[:80]!r} is not a signature line")
        signature = from_base64(match[2])
        if len(signature) <= KEY_ID_SIZE:
            raise NoteMalformed(f"a signature of {len(signature)} bytes by {match[1]}")
        found.append((match[1], signature[:KEY_ID_SIZE], signature[KEY_ID_SIZE:]))
    if len({(name, key_id) for name, key_id, _ in found}) != len(found):
        raise NoteMalformed("two signature lines of one key")
    return found


def _known_type(number: int) -> KeyType:
    if number not in set(KeyType):
        raise KeyTypeUnsupported(f"signature type 0x{number:02x}")
    return KeyType(number)


@lru_cache(maxsize=_CACHED_KEYS)
def _mldsa44(public: bytes) -> MLDSA44PublicKey:
    return MLDSA44PublicKey.from_public_bytes(public)


def _verify_mldsa44(public: bytes, signature: bytes, message: bytes) -> None:
    if len(signature) != MLDSA44_SIGNATURE_SIZE:
        raise SignatureInvalid(f"ML-DSA-44 signature of {len(signature)} bytes, expected {MLDSA44_SIGNATURE_SIZE}")
    try:
        _mldsa44(public).verify(signature, message)
    except InvalidSignature as error:
        raise SignatureInvalid("ML-DSA-44 signature does not belong to the checkpoint and key") from error
