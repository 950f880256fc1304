"""Entries: the records of a chain, as exact bytes.

The bytes that are stored are the bytes that were hashed; nothing is ever rebuilt from fields. An entry says who did
what to what, by which signed statement, and what the service noted beside it. Specification: docs/spec/entries.md.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson

from custody import canonical, events
from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.kinds import SUBJECT
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
from custody.statement import Statement

MAX_ENTRY: Final = 64 * 1024
ZERO: Final = "00" * 32
SERVICE: Final = "@service"


class _Noted:
    """`noted` is held to its event's schema after the event is known."""

    spelling = None

    def check(self, value: Any) -> None:
        if type(value) is not dict or not value:
            raise SchemaMismatch("noted is empty or no object, expected it absent or with members")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "minProperties": 1}


_EVENT_MEMBER = b',"event":"'
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


class UnknownVersion(UnsupportedError):
    """An entry of another version."""

    code = "unknown-version"


class StatementMismatch(VerificationError):
    """An entry and its statement do not say the same."""

    code = "statement-mismatch"


class EntryMalformed(FormatError):
    """An entry breaks a rule of its event."""

    code = "entry-malformed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a chain.

    Attributes:
        data: The exact bytes.
        fields: What they spell, held to the schema and to the event table.
        hash: SHA-256 of `data`.
    """

    data: bytes
    fields: dict[str, Any]
    hash: bytes

    @property
    def seq(self) -> int:
        """Place in its chain, from 0."""
        seq: int = self.fields["seq"]
        return seq

    @property
    def chain(self) -> str:
        """Handle of its chain, hex."""
        chain: str = self.fields["chain"]
        return chain

    @property
    def event(self) -> str:
        """Name of the event."""
        event: str = self.fields["event"]
        return event

    @property
    def subject(self) -> dict[str, str]:
        """What it is about; empty where nothing is named."""
        subject: dict[str, str] = self.fields.get("subject", {})
        return subject

    @property
    def noted(self) -> dict[str, Any]:
        """The service's own word; empty where it adds none."""
        noted: dict[str, Any] = self.fields.get("noted", {})
        return noted

    @property
    def statement_id(self) -> str | None:
        """Id of the statement it carries."""
        statement = self.fields.get("statement")
        return statement["id"] if statement else None


def parse(data: bytes) -> Entry:
    """The entry that exact bytes spell: canonical, closed schema, rules of its event.

    Nothing is said about its place in a chain, its statement's signature or its log: see `custody.chain`,
    `check_statement` and `custody.verify`.

    Raises:
        NotCanonical, SchemaMismatch, EntryMalformed: The bytes are no entry.
        UnknownVersion, UnknownEvent: Of a version or event this code does not know.
    """
    return next(parse_lines((data,)))


def parse_lines(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entry of each line, as `parse` gives it; made for long chains.

    A line that is seen at one glance to be a canonical entry of its event is parsed only; any other is checked in full.

    Raises:
        FormatError: At the first line that is no entry; as `parse`.
    """
    loads, sha256 = orjson.loads, hashlib.sha256
    for data in lines:
        fields = loads(data) if _is_spelled(data) else _parse_fields(data)
        yield Entry(data, fields, sha256(data).digest())


def _parse_fields(data: bytes) -> dict[str, Any]:
    fields = canonical.load(data, max_bytes=MAX_ENTRY)
    version = fields.get("v")
    if type(version) is int and version != 1:
        raise UnknownVersion(f"entry of version {version}, this verifier knows 1")
    ENTRY.check(fields)
    name = fields["event"]
    event = events.lookup(name)
    _check_event(name, event, fields)
    return fields


def build(
    *,
    log: str,
    chain: str,
    seq: int,
    prev: str,
    time: str,
    event: str,
    nonce: str,
    actor: Mapping[str, str],
    subject: Mapping[str, str] | None = None,
    statement: Statement | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Entry:
    """Make the next entry of a chain; the caller gives place, time and nonce.

    Raises:
        FormatError: What is given breaks a rule; such an entry could not be parsed again.
    """
    fields: dict[str, Any] = {
        "v": 1,
        "log": log,
        "chain": chain,
        "seq": seq,
        "prev": prev,
        "time": time,
        "event": event,
        "actor": dict(actor),
        "nonce": nonce,
    }
    if subject:
        fields["subject"] = dict(subject)
    if statement is not None:
        fields["statement"] = {"id": statement.id, "envelope": statement.envelope_hash}
    if noted:
        fields["noted"] = dict(noted)
    return parse(canonical.encode(fields))


def check_statement(entry: Entry, statement: Statement) -> None:
    """Hold an entry to the statement it carries; signatures and roles are the registry's business.

    The reader may conclude that the entry claims nothing about the party's act beyond what the party signed.

    Raises:
        StatementMismatch: Another statement, envelope, kind, log, chain, event, subject or signer.
        SchemaMismatch: The statement's own members do not fit the event.
    """
    fields, payload = entry.fields, statement.payload
    name = entry.event
    event = events.lookup(name)
    named, actor, signer = fields["statement"], fields["actor"], payload["signer"]
    said = subject_of(statement)
    expected = (
        ("statement id", named["id"], statement.id),
        ("envelope hash", named["envelope"], statement.envelope_hash),
        ("kind", statement.kind, event.kind),
        ("log", payload["log"], fields["log"]),
        ("chain", payload["chain"], fields["chain"]),
        ("authority", actor["authority"], signer["authority"]),
        ("principal", actor.get("principal"), signer.get("principal")),
        ("subject", entry.subject if said is not None else None, said),
        ("event", payload["event"] if statement.kind == "act" else name, name),
    )
    for what, found, wanted in expected:
        if found != wanted:
            raise StatementMismatch(f"entry {entry.seq} and its statement differ in {what}: {found!r} and {wanted!r}")
    if not any(actor.get("key") == key_id for key_id, _ in statement.signatures):
        raise StatementMismatch(f"entry {entry.seq} names key {actor.get('key')}, which did not sign")
    events.check_detail(name, event, payload)


def subject_of(statement: Statement) -> dict[str, str] | None:
    """What a statement is about: an act says so; for other kinds it follows from their members.

    None for the kinds that name a manifest or another statement and so speak of its package: that takes the chain
    to tell (`custody.exchange`).
    """
    payload = statement.payload
    match statement.kind:
        case "act":
            return dict(payload.get("subject", {}))
        case "enrolment" if "principal" in payload:
            return {"principal": payload["principal"]["id"]}
        case "enrolment":
            return {"authority": payload["signer"]["authority"]}
        case "key":
            return {"key": payload["revokes"] if payload["action"] == "revoke" else payload["key"]["id"]}
        case "approval":
            return {"statement": payload["act"]}
        case "request" | "answer":
            return {"request": payload["request"]}
        case "manifest" | "hold" | "restriction" | "destruction" | "transfer":
            return {"package": payload["package"]}
    return None


def _is_spelled(data: bytes) -> bool:
    """Whether the bytes are seen at one glance to be a canonical entry of its event; if not, ask the schema."""
    start = data.find(_EVENT_MEMBER) + len(_EVENT_MEMBER)
    match = _spellings().get(data[start : data.find(b'"', start)])
    return match is not None and len(data) <= MAX_ENTRY and match(data) is not None


@cache
def _spellings() -> dict[bytes, Callable[[bytes], object]]:
    """Event → match of the whole line, made from the very schemas that `parse` would ask."""
    found: dict[bytes, Callable[[bytes], object]] = {}
    for name, event in events.EVENTS.items():
        members: dict[str, Schema] = {**ENTRY.required, "event": OneOf(name), "actor": _SERVICE_ACTOR}
        optional: dict[str, Schema] = {}
        if event.kind is not None:
            members |= {"actor": _PARTY_ACTOR, "statement": ENTRY.optional["statement"]}
        if event.subject:
            subject = {member: SUBJECT.optional[member] for member in event.subject}
            members["subject"] = Record(subject, {member: SUBJECT.optional[member] for member in event.may_name})
        if event.noted is not None:
            (members if event.noted_required else optional)["noted"] = _Filled(event.noted)
        spelling = Record(members, optional).spelling
        if spelling is not None:
            found[name.encode()] = re.compile(spelling.encode()).fullmatch
    return found


def _check_event(name: str, event: events.Event, fields: Mapping[str, Any]) -> None:
    events.check_subject(name, event, fields.get("subject", {}))
    actor = fields["actor"]
    alone = actor["authority"] == SERVICE
    if (event.kind is None) != alone or ("statement" in fields) == alone:
        word = "the service alone" if event.kind is None else f"a {event.kind} of a party"
        raise EntryMalformed(f"{name} by {actor['authority']}, expected it to be the word of {word}")
    if alone and len(actor) > 1:
        raise EntryMalformed(f"{name}: the service acts without principal and key")
    noted = fields.get("noted")
    if noted is None:
        if event.noted_required:
            raise EntryMalformed(f"{name} lacks noted")
    elif event.noted is None:
        raise EntryMalformed(f"{name} has no noted")
    else:
        event.noted.check(noted)
