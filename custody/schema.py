"""Closed schemas for canonical objects: what is not named is refused.

A schema is a value with `check(value)`; it raises `SchemaMismatch` naming the member, or returns nothing.
`json_schema()` gives the same rules as JSON Schema (draft 2020-12) for docs/spec/schemas; the rules here
are the norm.

`spelling` is a regular expression over canonical bytes, for the hot path: what it matches in full is the canonical
spelling of a value that `check` accepts. It need not match everything that is accepted; where it does not, or is None,
parse and check.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol

import orjson

from custody.errors import FormatError

_FIFTEEN_DIGITS = 10**15 - 1


class SchemaMismatch(FormatError):
    """An object of a known kind has a member too many, too few, or of another shape."""

    code = "schema"


class Schema(Protocol):
    """Anything that can check a value and say its rules."""

    @property
    def spelling(self) -> str | None:
        """Pattern that only canonical spellings of accepted values match; None if there is none."""

    def check(self, value: Any) -> None:
        """Raise SchemaMismatch unless the value is of the shape."""

    def json_schema(self) -> dict[str, Any]:
        """The rules as JSON Schema."""


class Text:
    """A string; whole match of `pattern` where one is given; at most `longest` code points.

    `spelled` is a pattern of values that stand in canonical JSON as they are: it bounds their length, and matches
    neither a quote nor a backslash.
    """

    def __init__(self, pattern: str | None = None, *, longest: int = 4096, spelled: str | None = None) -> None:
        self.pattern = pattern
        self.longest = longest
        self.spelling = f'"(?:{spelled})"' if spelled else None
        self._match = re.compile(f"(?:{pattern})\\Z", re.ASCII).match if pattern else None

    def check(self, value: Any) -> None:
        if type(value) is not str or len(value) > self.longest or not value:
            raise SchemaMismatch(f"found {_brief(value)}, expected a string of 1 to {self.longest} characters")
        if self._match is not None and not self._match(value):
            raise SchemaMismatch(f"found {_brief(value)}, expected a match of {self.pattern}")

    def json_schema(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        return rules | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


class Time(Text):
    """A UTC time to the microsecond in its only spelling, of a day that the calendar has."""

    def __init__(self) -> None:
        super().__init__(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", longest=27)
        days = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
        self.spelling = rf'"(?!0000)\d{{4}}-(?:{days})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{{6}}Z"'
        self._clock = re.compile(r".{11}(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d").match

    def check(self, value: Any) -> None:
        super().check(value)
        try:
            datetime.fromisoformat(value[:10])
        except ValueError:
            raise SchemaMismatch(f"found {_brief(value)}, expected a day of the calendar") from None
        if not self._clock(value):
            raise SchemaMismatch(f"found {_brief(value)}, expected 00:00:00 to 23:59:59")


class Hex:
    """Lower-case hex of exactly `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.spelling = f'"[0-9a-f]{{{2 * size}}}"'
        self._match = re.compile(f"[0-9a-f]{{{2 * size}}}\\Z").match

    def check(self, value: Any) -> None:
        if type(value) is not str or not self._match(value):
            raise SchemaMismatch(f"found {_brief(value)}, expected {2 * self.size} lower-case hex digits")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^[0-9a-f]{{{2 * self.size}}}$"}


class Whole:
    """An integer, never a boolean or a fraction, within bounds."""

    def __init__(self, least: int = 0, most: int = 2**53 - 1) -> None:
        self.least, self.most = least, most
        wide = least in (0, 1) and most >= _FIFTEEN_DIGITS
        self.spelling = (r"(?:0|[1-9][0-9]{0,14})" if least == 0 else r"[1-9][0-9]{0,14}") if wide else None

    def check(self, value: Any) -> None:
        if type(value) is not int or not self.least <= value <= self.most:
            raise SchemaMismatch(f"found {_brief(value)}, expected an integer from {self.least} to {self.most}")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class OneOf:
    """One of a few strings, integers or booleans."""

    def __init__(self, *values: str | int) -> None:
        self.values = values
        self.spelling = f"(?:{'|'.join(re.escape(_spell(value)) for value in values)})"
        self._allowed = frozenset((type(value), value) for value in values)

    def check(self, value: Any) -> None:
        if type(value) in (dict, list) or (type(value), value) not in self._allowed:
            raise SchemaMismatch(f"found {_brief(value)}, expected one of {', '.join(map(str, self.values))}")

    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


class ListOf:
    """An array of one shape; `ordered` names how its members must ascend, none twice.

    `ordered` is True for plain values, or a tuple of member names for objects.
    """

    def __init__(self, item: Schema, *, least: int = 0, most: int, ordered: bool | tuple[str, ...] = False) -> None:
        self.item, self.least, self.most, self.ordered = item, least, most, ordered
        self.spelling = None

    def check(self, value: Any) -> None:
        if type(value) is not list or not self.least <= len(value) <= self.most:
            raise SchemaMismatch(f"found {_brief(value)}, expected an array of {self.least} to {self.most} members")
        check = self.item.check
        for place, member in enumerate(value):
            try:
                check(member)
            except SchemaMismatch as error:
                raise SchemaMismatch(f"[{place}]: {error}") from None
        if self.ordered:
            self._check_order(value)

    def _check_order(self, value: list[Any]) -> None:
        names = self.ordered
        keys = value if names is True else [tuple(member[name] for name in names) for member in value]  # type: ignore[union-attr]
        for before, after in pairwise(keys):
            if not before < after:
                raise SchemaMismatch(
                    f"{_brief(after)} stands after {_brief(before)}, expected ascending order and none twice"
                )

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": self.item.json_schema(),
            "minItems": self.least,
            "maxItems": self.most,
        } | ({"uniqueItems": True} if self.ordered else {})


class Record:
    """A closed object: every required member, any optional one, nothing else."""

    def __init__(self, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> None:
        self.required = dict(required)
        self.optional = dict(optional or {})
        self._checks = {name: schema.check for name, schema in {**self.required, **self.optional}.items()}
        self._needed = frozenset(self.required)

    @property
    def spelling(self) -> str | None:
        """Members in order, optional ones left out where a schema of theirs has no spelling."""
        members = sorted({**self.required, **self.optional}.items())
        last = members[-1][0] if members and members[-1][0] in self.required else None
        written = []
        for name, schema in members:
            value = schema.spelling
            if value is None and name in self.required:
                return None
            if value is not None:
                end = "" if name == last else "," if last else r"(?:,(?!\})|(?=\}))"
                member = f'"{name}":{value}{end}'
                written.append(member if name in self.required else f"(?:{member})?")
        return rf"\{{{''.join(written)}\}}"

    def extended(self, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> "Record":
        """The same with more members."""
        return Record({**self.required, **required}, {**self.optional, **(optional or {})})

    def check(self, value: Any) -> None:
        if type(value) is not dict:
            raise SchemaMismatch(f"found {_brief(value)}, expected an object")
        checks = self._checks
        name = ""
        try:
            for name, member in value.items():
                checks[name](member)
        except KeyError:
            raise SchemaMismatch(f"member {name!r} is not of this kind") from None
        except SchemaMismatch as error:
            raise SchemaMismatch(f"{name}: {error}") from None
        if not self._needed <= value.keys():
            missing = ", ".join(sorted(self._needed - value.keys()))
            raise SchemaMismatch(f"member missing: {missing}")

    def json_schema(self) -> dict[str, Any]:
        members = {**self.required, **self.optional}
        return {
            "type": "object",
            "properties": {name: schema.json_schema() for name, schema in members.items()},
            "required": sorted(self.required),
            "additionalProperties": False,
        }


def _spell(value: str | int) -> str:
    return orjson.dumps(value).decode()


def _brief(value: Any) -> str:
    if type(value) in (dict, list):
        return f"{'an object' if type(value) is dict else 'an array'} of {len(value)} members"
    text = repr(value[:80] if type(value) is str else value)
    return text if len(text) <= 80 else f"{text[:77]}…"


# The shapes every format here shares.
HASH = Hex(32)
ID = Hex(16)
NONCE = Hex(16)
TIME = Time()
ORIGIN = Text(r"[!-*,-~]{1,255}", longest=255, spelled=r"[!#-*,-\[\]-~]{1,255}")
_ID = r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?"
AUTHORITY_ID = Text(_ID, longest=64, spelled=_ID)
CODE = Text(r"[a-z][a-z0-9_.-]{0,63}", longest=64, spelled=r"[a-z][a-z0-9_.-]{0,63}")
BASE64 = Text(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", longest=20 * 1024 * 1024)
