"""Statements: a DSSE profile over canonical payloads.

A statement is what a principal says and signs. Its id is the digest of what was signed (the PAE), never of the
envelope, whose signatures may be reordered without changing what was said. Signatures are checked over the
decoded payload bytes and those same bytes are then parsed. Specification: docs/spec/statements.md.
"""

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from custody import canonical, kinds, manifest
from custody.errors import FormatError, VerificationError
from custody.keys import PublicKey, SigningKey
from custody.text import from_base64, from_hex, to_base64

MAX_ENVELOPE = 17 * 1024 * 1024
MAX_PAYLOAD = 12 * 1024 * 1024
MAX_SIGNATURES = 4
_MEMBERS = {"payload", "payloadType", "signatures"}
_ORDINARY: Final = re.compile(
    rb'\{"payload":"([A-Za-z0-9+/]{4,8192}={0,2})","payloadType":"%b",'
    rb'"signatures":\[\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{85}[AQgw]==)"\}\]\}'
    % re.escape(kinds.PAYLOAD_TYPE.format("act")).encode()
).fullmatch
"""Envelope of an act with one signature of 64 bytes, in its only spelling but for the base64 of the payload."""


class EnvelopeMalformed(FormatError):
    """Not a DSSE envelope of the profile."""

    code = "envelope-malformed"


class SignatureMissing(VerificationError):
    """A key that must have signed did not."""

    code = "signature-missing"


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding: the bytes that are signed.

    Source: DSSE protocol, "Signature definition".
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


@dataclass(frozen=True)
class Statement:
    """A parsed envelope. Nothing is verified until `verify` has been called with a key taken from elsewhere.

    Attributes:
        kind: Kind, as the payload type names it.
        body: Exact payload bytes.
        payload: What they spell, held to the kind's schema.
        signatures: (full key id in hex, signature) sorted by key id.
        envelope: The exact envelope bytes.
    """

    kind: str
    body: bytes
    payload: dict[str, Any]
    signatures: tuple[tuple[str, bytes], ...]
    envelope: bytes

    @cached_property
    def pae(self) -> bytes:
        """The signed bytes."""
        return pae(kinds.PAYLOAD_TYPE.format(self.kind), self.body)

    @cached_property
    def id(self) -> str:
        """Id of the statement: hex SHA-256 of the signed bytes."""
        return hashlib.sha256(self.pae).hexdigest()

    @cached_property
    def envelope_hash(self) -> str:
        """Hex SHA-256 of the envelope, signatures included."""
        return hashlib.sha256(self.envelope).hexdigest()

    @property
    def authority(self) -> str:
        """The authority in whose name it was said."""
        authority: str = self.payload["signer"]["authority"]
        return authority

    @property
    def principal(self) -> str | None:
        """The principal who said it; None where the authority's own key speaks."""
        signer: dict[str, str] = self.payload["signer"]
        return signer.get("principal")

    def verify(self, key: PublicKey) -> None:
        """Check the signature of one key; return only if it is there and right.

        The reader may conclude that the holder of this key signed these bytes, not that it was entitled to.

        Raises:
            SignatureMissing: The key did not sign.
            SignatureInvalid: It is named, and the signature is wrong.
        """
        for key_id, signature in self.signatures:
            if key_id == key.id:
                key.verify(signature, self.pae)
                return
        raise SignatureMissing(f"statement {self.id} bears no signature by key {key.id}")


def parse(envelope: bytes) -> Statement:
    """The statement in an envelope, its shape and its payload's schema checked, its signatures not.

    Raises:
        EnvelopeMalformed: Members, encodings, number or order of signatures.
        UnknownKind: A payload type or version this code does not know.
        NotCanonical, SchemaMismatch: The payload.
        ManifestMalformed: A manifest with numbers that no body has.
    """
    found = _at_one_glance(envelope)
    if found is not None:
        return found
    outer = canonical.decode(envelope, max_bytes=MAX_ENVELOPE, exempt_keys=True)
    if outer.keys() != _MEMBERS:
        raise EnvelopeMalformed(f"members {sorted(outer)}, expected {sorted(_MEMBERS)}")
    payload, payload_type, listed = outer["payload"], outer["payloadType"], outer["signatures"]
    if type(payload) is not str or type(payload_type) is not str or type(listed) is not list:
        raise EnvelopeMalformed("payload and payloadType must be strings, signatures an array")
    if not 1 <= len(listed) <= MAX_SIGNATURES:
        raise EnvelopeMalformed(f"{len(listed)} signatures, expected 1 to {MAX_SIGNATURES}")
    signatures = tuple(_signature(member) for member in listed)
    ids = [key_id for key_id, _ in signatures]
    if ids != sorted(set(ids)):
        raise EnvelopeMalformed("signatures are not sorted by key id, or one key signs twice")
    kind = kinds.kind_of(payload_type)
    body = from_base64(payload)
    fields = canonical.decode(body, max_bytes=MAX_PAYLOAD)
    kinds.check_payload(kind, fields)
    if kind == "manifest":
        manifest.check(fields)
    return Statement(kind=kind, body=body, payload=fields, signatures=signatures, envelope=envelope)


def sign(payload: dict[str, Any], signers: Sequence[SigningKey]) -> Statement:
    """Say `payload` in the name of the given keys.

    Raises:
        UnknownKind, SchemaMismatch, NotCanonical: The payload is not of its kind; nothing is signed.
    """
    kind = kinds.kind_of(kinds.PAYLOAD_TYPE.format(payload.get("kind")))
    body = canonical.encode(payload)
    kinds.check_payload(kind, payload)
    payload_type = kinds.PAYLOAD_TYPE.format(kind)
    signed = pae(payload_type, body)
    return parse(_envelope(payload_type, body, [(key.public.id, key.sign(signed)) for key in signers]))


def cosign(statement: Statement, signers: Sequence[SigningKey]) -> Statement:
    """The same statement with more signatures; its id stays."""
    more = [(key.public.id, key.sign(statement.pae)) for key in signers]
    payload_type = kinds.PAYLOAD_TYPE.format(statement.kind)
    return parse(_envelope(payload_type, statement.body, [*statement.signatures, *more]))


def _at_one_glance(envelope: bytes) -> Statement | None:
    """An act by one Ed25519 key, if that is easily seen; None if it takes a closer look."""
    seen = _ORDINARY(envelope)
    if seen is None:
        return None
    payload, key_id, signature = seen.groups()
    if len(payload) % 4:
        return None
    body = a2b_base64(payload)
    if b2a_base64(body, newline=False) != payload or kinds.act_spelled(body) is None:
        return None
    signatures = ((key_id.decode(), a2b_base64(signature)),)
    return Statement(kind="act", body=body, payload=orjson.loads(body), signatures=signatures, envelope=envelope)


def _envelope(payload_type: str, body: bytes, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    return canonical.dump(
        {
            "payload": to_base64(body),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id, "sig": to_base64(sig)} for key_id, sig in sorted(signatures)],
        }
    )


def _signature(member: Any) -> tuple[str, bytes]:
    if type(member) is not dict or member.keys() != {"keyid", "sig"}:
        raise EnvelopeMalformed("a signature must have exactly the members keyid and sig")
    if type(member["keyid"]) is not str or type(member["sig"]) is not str:
        raise EnvelopeMalformed("keyid and sig must be strings")
    from_hex(member["keyid"], 32)
    return member["keyid"], from_base64(member["sig"])
