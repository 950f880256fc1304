"""The file key: 16 random bytes that open one body; wrapped in headers, bound to its item by a commitment.

ChaCha20-Poly1305 does not commit to its key: a body can be made that opens under two keys to two texts. Within one
header the MAC prevents it. For headers written later, the item's `key_commitment`, fixed by the manifest, does:
**an item has one file key, hence one plaintext**, and a header that carries another is refused.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custody.errors import FormatError, VerificationError
from custody.sealing.header import (
    FILE_KEY_SIZE,
    MAX_STANZAS,
    Header,
    encode_header,
    encode_stanzas,
    read_exact_header,
)
from custody.sealing.recipients import Identity, Recipient

_ITEM_ID_SIZE = 16
_COMMITMENT_INFO = b"rogatory/filekey/v1\0"


class RecipientsRefused(FormatError):
    """No header can be written for these: none, too many, one twice, or of two kinds."""

    code = "recipients-refused"


class FileKeyMalformed(FormatError):
    """A file key or item id that is not 16 bytes."""

    code = "file-key-malformed"


class NoMatchingIdentity(VerificationError):
    """The header is sound, and none of the identities at hand is among its recipients."""

    code = "cannot-open"


class HeaderMacMismatch(VerificationError):
    """An identity opened its stanza, and the header is not the one its writer made: it was changed afterwards."""

    code = "header-mac"


class KeyCommitmentMismatch(VerificationError):
    """The header's file key is not the one the manifest fixed for this item: it would show another plaintext."""

    code = "key-commitment"


def new_file_key() -> bytes:
    """16 bytes from the system's randomness; for one body, never for two."""
    return os.urandom(FILE_KEY_SIZE)


def build_header(file_key: bytes, recipients: Iterable[Recipient]) -> bytes:
    """A new header that opens a body of this file key to each recipient, in the order given.

    Raises:
        RecipientsRefused: None, more than 256, the same twice, or kinds mixed (the weaker would set the strength).
        FileKeyMalformed: Not 16 bytes.
    """
    _check_size(file_key, FILE_KEY_SIZE, "a file key")
    chosen = list(recipients)
    if not 1 <= len(chosen) <= MAX_STANZAS:
        raise RecipientsRefused(f"{len(chosen)} recipients, expected 1 to {MAX_STANZAS}")
    if len(set(chosen)) != len(chosen):
        raise RecipientsRefused("a recipient stands twice in the list")
    if len({recipient.kind for recipient in chosen}) != 1:
        raise RecipientsRefused("recipients of two kinds, expected one kind for a header")
    stanzas = [recipient.wrap(file_key) for recipient in chosen]
    return encode_header(stanzas, _mac(file_key, encode_stanzas(stanzas)))


def unwrap(header: bytes, identities: Sequence[Identity]) -> bytes:
    """The file key of a header, for the first identity that opens one of its stanzas.

    The reader may conclude that the header is as its writer made it, who is not thereby known. Whether the key is
    the item's only `check_commitment` tells.

    Raises:
        HeaderMalformed, HeaderUnsupported: Not a header and nothing else, or a share of low order.
        NoMatchingIdentity: No stanza opens.
        HeaderMacMismatch: A stanza opens, and the MAC does not agree.
    """
    return open_header(read_exact_header(header), identities)


def open_header(header: Header, identities: Sequence[Identity]) -> bytes:
    """As `unwrap`, of a header that was read already."""
    file_key = _first_key(header, identities)
    if not hmac.compare_digest(_mac(file_key, header.authenticated), header.mac):
        raise HeaderMacMismatch("the header's MAC does not agree with its bytes")
    return file_key


def key_commitment(file_key: bytes, item_id: bytes) -> bytes:
    """32 bytes that bind an item (id of 16 bytes) to its file key and do not give the key away.

    HKDF-SHA256 of the file key without salt, info `rogatory/filekey/v1`, a zero byte, the item id.

    Raises:
        FileKeyMalformed: Either is not 16 bytes.
    """
    _check_size(file_key, FILE_KEY_SIZE, "a file key")
    _check_size(item_id, _ITEM_ID_SIZE, "an item id")
    return _derive(file_key, _COMMITMENT_INFO + item_id)


def check_commitment(file_key: bytes, item_id: bytes, commitment: bytes) -> None:
    """Check that a file key is the one the manifest fixed for an item; compares in constant time.

    Raises:
        KeyCommitmentMismatch: It is another.
        FileKeyMalformed: Key or id is not 16 bytes.
    """
    if not hmac.compare_digest(key_commitment(file_key, item_id), commitment):
        raise KeyCommitmentMismatch(f"the header's file key is not the one the manifest fixed for item {item_id.hex()}")


def _first_key(header: Header, identities: Sequence[Identity]) -> bytes:
    for identity in identities:
        for stanza in header.stanzas:
            file_key = identity.unwrap(stanza) if stanza.kind == identity.kind else None
            if file_key is not None:
                return file_key
    raise NoMatchingIdentity(f"none of {len(identities)} identities opens any of {len(header.stanzas)} stanzas")


def _mac(file_key: bytes, authenticated: bytes) -> bytes:
    return hmac.digest(_derive(file_key, b"header"), authenticated, hashlib.sha256)


def _derive(file_key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(file_key)


def _check_size(data: bytes, size: int, name: str) -> None:
    if len(data) != size:
        raise FileKeyMalformed(f"{name} of {len(data)} bytes, expected {size}")
