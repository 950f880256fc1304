"""Names of what is stored, and the one alphabet for all of them.

A key is a path of lower-case segments. It never carries a file name or anything else that a party chose:
bodies and parts lists are named by random ids, headers by their digest.
"""

import re

from storage.interface import KeyMalformed

MAX_KEY = 200
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*\Z")
_PREFIX = re.compile(r"(?:[a-z0-9][a-z0-9._-]*/)*(?:[a-z0-9][a-z0-9._-]*)?\Z")
_ID = re.compile(r"[0-9a-f]{32}\Z")
_DIGEST_SIZE = 32


def body(package: str, item: str) -> str:
    """Key of an item's body; ids are 32 lower-case hex digits."""
    return f"bodies/{_hex_id(package)}/{_hex_id(item)}"


def header(sha256: bytes) -> str:
    """Key of a header, by its raw digest: equal headers are one object."""
    if len(sha256) != _DIGEST_SIZE:
        raise KeyMalformed(f"digest of {len(sha256)} bytes, expected {_DIGEST_SIZE}")
    return f"headers/{sha256.hex()}"


def parts(package: str, item: str) -> str:
    """Key of an item's parts list: its raw part digests, one after the other."""
    return f"parts/{_hex_id(package)}/{_hex_id(item)}"


def check_key(key: str) -> str:
    """The key itself if it is safe as a path below a store's root and as an S3 key.

    Every segment begins with a letter or digit, so there is no `.`, no `..`, no empty segment and no hidden
    file. A key must not be another key's first segments: stores that are directories cannot hold both.

    Raises:
        KeyMalformed: Another alphabet, or longer than 200 characters.
    """
    if len(key) > MAX_KEY or not _KEY.match(key):
        raise KeyMalformed(f"key {key[:80]!r} is not up to {MAX_KEY} characters of a-z 0-9 . _ - in segments")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself if some key may begin with it; the empty one begins all."""
    if len(prefix) > MAX_KEY or not _PREFIX.match(prefix):
        raise KeyMalformed(f"prefix {prefix[:80]!r} begins no key")
    return prefix


def _hex_id(text: str) -> str:
    if not _ID.match(text):
        raise KeyMalformed(f"id {text[:80]!r} is not 32 lower-case hex digits")
    return text
