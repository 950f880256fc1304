"""The schema of an entry, and patterns made from it that tell an ordinary entry at one glance.

The head of an entry, all that stands before its nonce, is the same in most entries of a chain; it is looked at once.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, Protocol

from custody import events
from custody.kinds import SUBJECT
from custody.leaf import SERVICE
from custody.schema import (
    AUTHORITY_ID,
    CODE,
    HASH,
    ID,
    NONCE,
    ORIGIN,
    TIME,
    OneOf,
    Record,
    Schema,
    SchemaMismatch,
    Text,
    Whole,
)

_EVENT_MEMBER = ',"event":"'
_CAUGHT = ("noted", "prev", "seq", "statement", "subject", "time")


class _Noted:
    """`noted` is held to its event's schema after the event is known."""

    spelling = None

    def check(self, value: Any) -> None:
        if type(value) is not dict or not value:
            raise SchemaMismatch("noted is empty or no object, expected it absent or with members")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "minProperties": 1}


_SERVICE_ACTOR = Record({"authority": OneOf(SERVICE)})
_PARTY_ACTOR = Record({"authority": AUTHORITY_ID}, {"key": HASH, "principal": ID})
_ACTOR = Record({"authority": Text(rf"{SERVICE}|{AUTHORITY_ID.pattern}", longest=64)}, {"key": HASH, "principal": ID})


class _Filled(Record):
    """A closed object that is not empty."""

    def __init__(self, fields: Record) -> None:
        super().__init__(fields.required, fields.optional)

    @property
    def spelling(self) -> str | None:
        """As of the fields, with one at least."""
        spelling = super().spelling
        return None if spelling is None else rf"(?!\{{\}}){spelling}"


ENTRY: Final = Record(
    {
        "actor": _ACTOR,
        "chain": HASH,
        "event": CODE,
        "log": ORIGIN,
        "nonce": NONCE,
        "prev": HASH,
        "seq": Whole(),
        "time": TIME,
        "v": OneOf(1),
    },
    {"noted": _Noted(), "statement": Record({"envelope": HASH, "id": HASH}), "subject": SUBJECT},
)


class Head(NamedTuple):
    """What stands before the nonce, `{"actor":…,"chain":…,"event":…,"log":…`; the same in thousands of entries.

    `rest` matches what may follow it; its groups are noted, prev, seq, statement, subject and time.
    """

    rest: "Match"
    actor: str
    chain: str
    event: str
    log: str


@lru_cache(maxsize=4096)
def head(text: str) -> Head | None:
    """None if the text is not seen at one glance to be the head of an entry."""
    start = text.find(_EVENT_MEMBER) + len(_EVENT_MEMBER)
    event = text[start : text.find('"', start)]
    if event not in events.EVENTS:
        return None
    begins, goes_on = _spelling(event)
    match = begins(text)
    return Head(goes_on, match[1], match[2], event, match[3]) if match else None


class _Caught(Record):
    """A schema whose spelling is a group: what stands between the quotes where it has any; it is never None."""

    def __init__(self, schema: Schema | None) -> None:
        super().__init__({})
        self._spelled = (schema and schema.spelling) or "(?!)"

    @property
    def spelling(self) -> str:
        """A group, which never matches where there was no spelling."""
        spelled = self._spelled
        return f'"({spelled[1:-1]})"' if spelled[0] == spelled[-1] == '"' else f"({spelled})"


class Match(Protocol):
    """What matches a text from a place to its end."""

    def __call__(self, text: str, start: int = 0, /) -> re.Match[str] | None:
        """None if it does not."""


@cache
def _spelling(name: str) -> tuple[Match, Match]:
    """Match of the head and of the rest of an event's entries; made from the schemas that `parse` would ask.

    Of one event at a time: all of them take longer to compile than a small bundle to verify.
    """
    event = events.EVENTS[name]
    actor = _SERVICE_ACTOR if event.kind is None else _PARTY_ACTOR
    first: dict[str, Schema] = {
        "actor": _Caught(actor),
        "chain": _Caught(HASH),
        "event": OneOf(name),
        "log": _Caught(ORIGIN),
    }
    members: dict[str, Schema] = {member: ENTRY.required[member] for member in ENTRY.required.keys() - first.keys()}
    optional: dict[str, Schema | None] = {"noted": None, "statement": None, "subject": None}
    if event.kind is not None:
        members["statement"] = ENTRY.optional["statement"]
    if event.subject:
        subject = {member: SUBJECT.optional[member] for member in event.subject}
        members["subject"] = Record(subject, {member: SUBJECT.optional[member] for member in event.may_name})
    (members if event.noted_required else optional)["noted"] = _Filled(event.noted)
    members |= {caught: _Caught(members[caught]) for caught in _CAUGHT if caught in members}
    rest = Record(members, {caught: _Caught(optional[caught]) for caught in optional.keys() - members})
    begins, goes_on = str(Record(first).spelling).removesuffix(r"\}"), str(rest.spelling).removeprefix(r"\{")
    return re.compile(begins, re.ASCII).fullmatch, re.compile("," + goes_on, re.ASCII).fullmatch
