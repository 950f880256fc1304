"""Entries: the records of a chain, as exact bytes.

The bytes that are stored are the bytes that were hashed; nothing is ever rebuilt from fields. An entry says who did
what to what, by which signed statement, and what the service noted beside it. Specification: docs/spec/entries.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from custody import canonical, entry_schema, events
from custody.entry_schema import ENTRY
from custody.errors import FormatError, UnsupportedError, VerificationError
from custody.statement import Statement

MAX_ENTRY: Final = 64 * 1024
ZERO: Final = "00" * 32
SERVICE: Final = "@service"

_NONCE_MEMBER = ',"nonce":"'
_LONGEST_HEAD = 1024
_new: Final = tuple.__new__
_COMPARED = ("statement id", "envelope hash", "kind", "log", "chain", "authority", "principal", "subject", "event")


class UnknownVersion(UnsupportedError):
    """An entry of another version."""

    code = "unknown-version"


class StatementMismatch(VerificationError):
    """An entry and its statement do not say the same."""

    code = "statement-mismatch"


class EntryMalformed(FormatError):
    """An entry breaks a rule of its event."""

    code = "entry-malformed"


class Entry(NamedTuple):
    """One record of a chain: its exact bytes, and what they spell, held to the schema and to the event table.

    A verifier holds hundreds of thousands at once and asks every one for its plain members, few for the others: those
    stay text, as it stands in the bytes, until they are asked for; empty where the entry has no such member.

    Attributes:
        data: The exact bytes.
        hash: SHA-256 of `data`.
        chain: Handle of its chain, hex.
        event: Name of the event.
        log: The log's origin.
        prev: Hex hash of the entry before it.
        seq: Place in its chain, from 0.
        time: When the service recorded it.
        actor_text, noted_text, statement_text, subject_text: Members that are objects.
    """

    data: bytes
    hash: bytes
    chain: str
    event: str
    log: str
    prev: str
    seq: int
    time: str
    actor_text: str
    noted_text: str
    statement_text: str
    subject_text: str

    @classmethod
    def of(cls, data: bytes, fields: Mapping[str, Any]) -> "Entry":
        """The entry of bytes that are known to spell these fields; nothing is checked."""
        chain, event, log, prev, seq, time = (fields[name] for name in ("chain", "event", "log", "prev", "seq", "time"))
        actor, noted, statement, subject = (
            canonical.dump(fields[name]).decode() if name in fields else ""
            for name in ("actor", "noted", "statement", "subject")
        )
        return cls(data, sha256(data).digest(), chain, event, log, prev, seq, time, actor, noted, statement, subject)

    @property
    def fields(self) -> dict[str, Any]:
        """All members, read from the bytes."""
        fields: dict[str, Any] = orjson.loads(self.data)
        return fields

    @property
    def actor(self) -> Mapping[str, str]:
        """Who acted: `authority`, and of parties `principal` and `key` where there is one."""
        return _members(self.actor_text)

    @property
    def subject(self) -> Mapping[str, str]:
        """What it is about; empty where nothing is named."""
        return _members(self.subject_text or "{}")

    @property
    def noted(self) -> dict[str, Any]:
        """The service's own word; empty where it adds none."""
        return orjson.loads(self.noted_text) if self.noted_text else {}

    @property
    def statement(self) -> dict[str, str] | None:
        """Id of the statement it carries, and hash of its envelope."""
        return orjson.loads(self.statement_text) if self.statement_text else None

    @property
    def statement_id(self) -> str | None:
        """Id of the statement it carries."""
        return orjson.loads(self.statement_text)["id"] if self.statement_text else None


@lru_cache(maxsize=1024)
def _members(text: str) -> Mapping[str, str]:
    """The few members of an actor or a subject, the same in thousands of entries; not to be changed."""
    return MappingProxyType(orjson.loads(text))


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
    for data in lines:
        yield _glance(data) or Entry.of(data, _parse_fields(data))


def _parse_fields(data: bytes) -> dict[str, Any]:
    fields = canonical.decode(data, max_bytes=MAX_ENTRY)
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
    payload, name = statement.payload, entry.event
    event = events.lookup(name)
    named, actor, signer = entry.statement or {}, entry.actor, payload["signer"]
    said = subject_of(statement)
    found = (
        named.get("id"),
        named.get("envelope"),
        event.kind,
        entry.log,
        entry.chain,
        actor["authority"],
        actor.get("principal"),
        entry.subject if said is not None else None,
        name,
    )
    wanted = (
        statement.id,
        statement.envelope_hash,
        statement.kind,
        payload["log"],
        payload["chain"],
        signer["authority"],
        signer.get("principal"),
        said,
        payload["event"] if statement.kind == "act" else name,
    )
    if found != wanted:
        what, own, other = next(row for row in zip(_COMPARED, found, wanted, strict=True) if row[1] != row[2])
        raise StatementMismatch(f"entry {entry.seq} and its statement differ in {what}: {own!r} and {other!r}")
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


def _glance(data: bytes) -> Entry | None:
    """The entry, if the bytes are seen at one glance to be a canonical entry of its event; if not, ask the schema."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return None
    cut = text.find(_NONCE_MEMBER)
    head = entry_schema.head(text[:cut]) if 0 < cut < _LONGEST_HEAD else None
    match = head.rest(text, cut) if head is not None and len(data) <= MAX_ENTRY else None
    if head is None or match is None:
        return None
    _, actor, chain, event, log = head
    noted, prev, seq, statement, subject, time = match.groups("")
    found = (data, sha256(data).digest(), chain, event, log, prev, int(seq), time, actor, noted, statement, subject)
    return _new(Entry, found)


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
    else:
        event.noted.check(noted)
