"""Canonical JSON: RFC 8785 restricted, so that one value has one spelling and every parser reads the same.

The top level is an object; keys match `[a-z][a-z0-9_]{0,63}`; values are strings, integers with
|n| <= 2^53 - 1, booleans, arrays and objects; never null, never a fraction. Strings are any Unicode
scalar values, not normalised. In this profile sorted `orjson` output is RFC 8785 (tests hold it to an
independent encoder). Specification: docs/spec/canonical-json.md.
"""

import re
from typing import Any

import orjson

from custody.errors import FormatError

MAX_DEPTH = 8
MAX_INTEGER = 2**53 - 1
MAX_MARKS = 2**19
"""Most of the bytes `[`, `{` and `,` in one input: without it 12 MiB of `[]` become a third of a GiB of memory."""
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class NotCanonical(FormatError):
    """The bytes are not the one canonical spelling of a value of the profile."""

    code = "not-canonical"


def encode(obj: dict[str, Any]) -> bytes:
    """The canonical bytes of an object.

    Raises:
        NotCanonical: The value, or something in it, is outside the profile.
    """
    _check_value(obj, 0)
    return dump(obj)


def decode(data: bytes, *, max_bytes: int = 12 * 1024 * 1024, exempt_keys: bool = False) -> dict[str, Any]:
    """The object that canonical bytes spell.

    The reader may conclude that `encode(result) == data`. Nothing is said about the object's meaning:
    check it against its closed schema next (`custody.schema`).

    Args:
        data: UTF-8 bytes, nothing before or after the object.
        max_bytes: Bound on the input, in bytes.
        exempt_keys: Let keys of any spelling pass; only for DSSE envelopes, whose members are fixed.

    Raises:
        NotCanonical: Anything the profile forbids, or a spelling other than the canonical one.
    """
    obj = load(data, max_bytes=max_bytes)
    _check_value(obj, 0, exempt_keys=exempt_keys)
    return obj


def load(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Parse and compare spelling only; the caller's closed schema must refuse every other type and key.

    Half of `decode`, for the hot path: a closed schema names each key and type, so it refuses the
    fractions, nulls, odd keys, big integers and depths that survive re-encoding.

    Raises:
        NotCanonical: Not JSON, not an object, too long, or spelled otherwise.
    """
    if len(data) > max_bytes:
        raise NotCanonical(f"{len(data)} bytes of JSON, expected at most {max_bytes}")
    if len(data) > MAX_MARKS and sum(map(data.count, (b"[", b"{", b","))) > MAX_MARKS:
        raise NotCanonical(f"more than {MAX_MARKS} of the bytes [ {{ and , in {len(data)} bytes of JSON")
    try:
        obj = orjson.loads(data)
        again = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError) as error:
        raise NotCanonical(f"not JSON of the profile: {error}") from error
    if type(obj) is not dict:
        raise NotCanonical(f"top level is {type(obj).__name__}, expected an object")
    if again != data:
        raise NotCanonical("not the canonical spelling of its value")
    return obj


def dump(obj: dict[str, Any]) -> bytes:
    """Spell an object known to be inside the profile.

    Raises:
        NotCanonical: It was not: it cannot be spelled at all. What can be is not looked into (see `encode`).
    """
    try:
        return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise NotCanonical(f"cannot be spelled: {error}") from error


def _check_value(value: Any, depth: int, *, exempt_keys: bool = False) -> None:
    kind = type(value)
    if kind is str or kind is bool:
        return
    if kind is int:
        if abs(value) > MAX_INTEGER:
            raise NotCanonical(f"integer {value} is outside ±(2^53 - 1)")
        return
    if kind is not dict and kind is not list:
        raise NotCanonical(f"{'null' if value is None else kind.__name__} is outside the profile")
    if depth >= MAX_DEPTH:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH} levels")
    if kind is list:
        for member in value:
            _check_value(member, depth + 1, exempt_keys=exempt_keys)
        return
    for key, member in value.items():
        if type(key) is not str or (not exempt_keys and not _KEY.match(key)):
            raise NotCanonical(f"key {key!r} does not match [a-z][a-z0-9_]{{0,63}}")
        _check_value(member, depth + 1, exempt_keys=exempt_keys)
