"""What the log's leaves say: salted commitments, unlinkable labels, and tails.

An outsider who reads the log sees random bytes. Who has an entry and its salt can compute the leaf, and the
label that the entry's successor must bear; nobody else can. A second successor of one entry would bear the
same label, so a fork of a chain is visible to anybody. Specification: docs/spec/log.md.
"""

from dataclasses import dataclass
from hashlib import sha256

from custody.errors import FormatError

SERVICE = "@service"
"""Stands where an authority id does, for the service's own chain and acts."""

SALT_SIZE = 32
ENTRY_LEAF_SIZE = 65
TAIL_LEAF_SIZE = 33
_HASH_SIZE = 32
_ENTRY, _TAIL = b"\x01", b"\x02"


class LeafMalformed(FormatError):
    """A leaf's data is neither an entry leaf nor a tail leaf: the log is malformed."""

    code = "leaf-malformed"


@dataclass(frozen=True, slots=True)
class EntryLeaf:
    """A leaf that stands for an entry, or for nothing (a dummy): without the entry nobody can tell."""

    label: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class TailLeaf:
    """A leaf that commits to the labels of all entry leaves before it (see `custody.tail`)."""

    root: bytes


def commitment(salt: bytes, entry_hash: bytes) -> bytes:
    """C(k): binds a leaf to an entry by its hash, and hides it behind the 32-byte salt.

    Raises:
        LeafMalformed: One of them is not 32 bytes.
    """
    return sha256(b"rogatory/leaf/v1\x00" + _sized(salt) + _sized(entry_hash)).digest()


def first_label(origin: str, handle: bytes) -> bytes:
    """Label of the entry with `seq` 0 in the chain with this 32-byte handle, in the log of this origin.

    Raises:
        LeafMalformed: The handle is not 32 bytes.
    """
    return sha256(b"rogatory/first/v1\x00" + sha256(origin.encode()).digest() + _sized(handle)).digest()


def next_label(salt: bytes, entry_hash: bytes) -> bytes:
    """Label of the successor of the entry with this salt and hash.

    Raises:
        LeafMalformed: One of them is not 32 bytes.
    """
    if not len(salt) == len(entry_hash) == _HASH_SIZE:
        raise LeafMalformed(f"{len(salt)}, {len(entry_hash)} bytes where a label is made of {_HASH_SIZE}")
    return sha256(b"rogatory/next/v1\x00" + salt + entry_hash).digest()


def registry_handle(origin: str, authority: str) -> bytes:
    """Handle of an authority's registry chain, or of the service's own for `SERVICE`; anyone can compute it."""
    return sha256(b"rogatory/registry/v1\x00" + origin.encode() + b"\n" + authority.encode()).digest()


def entry_leaf(label: bytes, commitment: bytes) -> bytes:
    """The 65 bytes of leaf data of an entry.

    Raises:
        LeafMalformed: One of them is not 32 bytes.
    """
    return _ENTRY + _sized(label) + _sized(commitment)


def entry_leaf_hash(label: bytes, salt: bytes, entry_hash: bytes) -> bytes:
    """The leaf hash of an entry's leaf: `merkle.leaf_hash(entry_leaf(label, commitment(salt, entry_hash)))`, sooner.

    Raises:
        LeafMalformed: One of them is not 32 bytes.
    """
    if not len(label) == len(salt) == len(entry_hash) == _HASH_SIZE:
        raise LeafMalformed(f"{len(label)}, {len(salt)}, {len(entry_hash)} bytes where a leaf is made of {_HASH_SIZE}")
    return sha256(b"\x00\x01" + label + sha256(b"rogatory/leaf/v1\x00" + salt + entry_hash).digest()).digest()


def tail_leaf(root: bytes) -> bytes:
    """The 33 bytes of leaf data that hold a tail root.

    Raises:
        LeafMalformed: The root is not 32 bytes.
    """
    return _TAIL + _sized(root)


def dummy_leaf(noise: bytes) -> bytes:
    """An entry leaf that stands for nothing, of 64 random bytes: a fixed cadence of leaves hides traffic.

    Raises:
        LeafMalformed: They are not 64.
    """
    if len(noise) != ENTRY_LEAF_SIZE - 1:
        raise LeafMalformed(f"{len(noise)} random bytes, expected {ENTRY_LEAF_SIZE - 1}")
    return _ENTRY + noise


def parse(data: bytes) -> EntryLeaf | TailLeaf:
    """What a leaf's data say. Says nothing about whether the label or the tail root is right.

    Raises:
        LeafMalformed: Another first byte than 1 or 2, or another length than it calls for.
    """
    kind = data[:1]
    if kind == _ENTRY and len(data) == ENTRY_LEAF_SIZE:
        return EntryLeaf(label=data[1:33], commitment=data[33:])
    if kind == _TAIL and len(data) == TAIL_LEAF_SIZE:
        return TailLeaf(root=data[1:])
    raise LeafMalformed(f"leaf data of {len(data)} bytes that begin with {kind.hex() or 'nothing'}")


def _sized(value: bytes) -> bytes:
    if len(value) != _HASH_SIZE:
        raise LeafMalformed(f"{len(value)} bytes where a leaf is made of {_HASH_SIZE}")
    return value
