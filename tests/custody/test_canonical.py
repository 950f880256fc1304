"""Canonical JSON: one value, one spelling, and nothing else gets in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.canonical import MAX_INTEGER, NotCanonical, decode, encode
from custody.errors import CustodyError

keys = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = text | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(keys, values, max_size=5)


def slow_encode(value):
    """RFC 8785 in this profile, spelled out by hand."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(slow_encode, value)) + "]"
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(f"{slow_encode(key)}:{slow_encode(member)}" for key, member in members) + "}"
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    return '"' + "".join(short.get(char, f"\\u{ord(char):04x}" if char < " " else char) for char in value) + '"'


@given(objects)
def test_encoding_is_rfc_8785(obj):
    assume_depth = json.dumps(obj).count("{") + json.dumps(obj).count("[") <= 8
    if assume_depth:
        assert encode(obj).decode() == slow_encode(obj)


@given(objects)
def test_what_is_encoded_is_decoded(obj):
    try:
        data = encode(obj)
    except NotCanonical:
        return  # nested too deep
    assert decode(data) == obj


@given(st.binary(max_size=60))
def test_garbage_is_refused_with_a_typed_error(data):
    try:
        obj = decode(data)
    except CustodyError:
        return
    assert encode(obj) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b'"a"',
        b'{"a":null}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":-0.0}',
        b'{"a":01}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":18446744073709551616}',
        b'{"a":NaN}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b' {"a":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u000A"}',
        b'{"__proto__":1}',
        b'{"1":1}',
        b'{"A":1}',
        b'{"":1}',
        b'{"a":1}{"a":1}',
        b"[" * 5000,
        b'{"a":' * 9 + b"1" + b"}" * 9,
        b'{"a":' * 100_000,
    ],
)
def test_every_other_spelling_is_refused(data):
    with pytest.raises(NotCanonical):
        decode(data)


def test_eight_levels_are_the_limit():
    def nested(levels):
        return {"a": nested(levels - 1)} if levels else 1

    assert decode(encode(nested(8))) == nested(8)
    with pytest.raises(NotCanonical):
        encode(nested(9))


@pytest.mark.parametrize("value", [None, 1.0, float("nan"), b"x", (1,), {1: 2}, {"A": 1}, 2**53, -(2**53), "\ud800"])
def test_what_is_outside_the_profile_is_not_encoded(value):
    with pytest.raises(NotCanonical):
        encode({"a": value})
