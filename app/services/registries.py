"""Registries: what an authority says of its own keys, principals and roles; and the whole of it for whoever asks.

An authority's key has no token: a statement of its own is authenticated by its signature alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import THE_SERVICE, Caller
from app.db import registries
from app.db.log_models import LedgerRow
from app.db.models import Authority, RegisteredKey
from app.db.unit_of_work import retried
from app.errors import NotFound, StateConflict, StatementRefused
from app.services import access, bundles, statements, witnessing
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime
from custody import events
from custody.errors import CustodyError
from custody.keys import KeyRecord
from custody.statement import Statement

COSIGNED_WITHIN: Final = 3.0
"""Seconds that a registry waits for enough cosignatures of a checkpoint that covers it; then it goes without."""

_KEY_EVENTS = {"add": "key.added", "rotate": "key.rotated", "revoke": "key.revoked"}


@dataclass(frozen=True, kw_only=True)
class Lodge:
    """A statement of an authority, brought by anybody."""

    authority: str
    envelope: str
    address: str
    at: datetime


@dataclass(frozen=True)
class Member:
    """An authority as every member sees it."""

    id: str
    name: str
    country: str
    suspended: bool


@retried
def lodge(command: Lodge, runtime: Runtime) -> Lodged:
    """Put what an authority says of itself into its registry.

    Raises:
        NotFound: No such authority.
        StatementRefused: Not the authority's, not a statement of a registry, or against the registry's rules.
        StateConflict: A key in it is registered already, or the service has suspended the authority.
    """
    said = statements.read(command.envelope)
    event = event_of(said)
    with runtime.unit_of_work() as uow:
        session = uow.session
        row = session.get(Authority, command.authority)
        if row is None:
            raise access.absent()
        if said.authority != row.id or said.principal is not None:
            raise StatementRefused(f"the statement is not by {row.id} itself")
        admitted = statements.admit_authority(session, runtime, said, event=event, chain=row.handle, at=command.at)
        entry = admitted.earlier
        if entry is None:
            if row.suspended:
                raise StateConflict("the service has suspended this authority")
            noted = {"address": command.address} if command.address else None
            entry = statements.append(session, runtime, admitted, at=command.at, noted=noted)
            register_keys(session, said)
            uow.commit()
    return await_record(runtime, entry, fresh=admitted.earlier is None)


def is_news(authority: str, envelope: str, runtime: Runtime) -> bool:
    """Whether an envelope was signed by a key of that authority, live or not, and does not stand in the log yet."""
    try:
        said = statements.read(envelope)
    except StatementRefused:
        return False
    if said.authority != authority or said.principal is not None:
        return False
    with runtime.reading() as session:
        if session.scalar(select(LedgerRow.id).where(LedgerRow.statement_id == said.id)) is not None:
            return False
        try:
            registry = registries.registry(session, authority, hold=False)
        except NotFound:
            return False
    records = (registry.known_key(key_id) for key_id, _ in said.signatures)
    return any(_has_signed(record, said) for record in records if record is not None)


def _has_signed(record: KeyRecord, said: Statement) -> bool:
    try:
        said.verify(record.verifier())
    except CustodyError:
        return False
    return True


def event_of(said: Statement) -> str:
    """The event that a statement of an authority causes.

    Raises:
        StatementRefused: It is of a kind no registry has, or the first enrolment, which the operator admits.
    """
    payload = said.payload
    match said.kind:
        case "enrolment" if "principal" in payload:
            return "principal.enrolled"
        case "enrolment":
            raise StatementRefused(
                "an authority's first enrolment is not lodged here", hint="send the file to the operator"
            )
        case "key":
            return _KEY_EVENTS[payload["action"]]
        case "act" if payload["event"] in events.EVENTS and events.lookup(payload["event"]).chain == "registry":
            return str(payload["event"])
    raise StatementRefused(f"a statement of kind {said.kind} does not stand in a registry")


def register_keys(session: Session, said: Statement) -> None:
    """Remember the keys that a registry entry brings; no key is registered twice on this service.

    Raises:
        StateConflict: One of them is.
    """
    brought: list[dict[str, Any]] = list(said.payload.get("keys", ()))
    if "key" in said.payload:
        brought.append(said.payload["key"])
    for key in brought:
        if session.get(RegisteredKey, key["id"]) is not None:
            raise StateConflict(f"key {key['id']} is registered already", hint="make a new one")
        row = RegisteredKey(id=key["id"], authority=said.authority, holder=key["holder"], use=key["use"])
        session.add(row)
        session.flush()


def list_authorities(caller: Caller, runtime: Runtime) -> Sequence[Member]:
    """All authorities of this service."""
    access.service(caller, "authority.list", THE_SERVICE)
    with runtime.reading() as session:
        rows = session.scalars(select(Authority).order_by(Authority.id)).all()
        return [Member(row.id, row.name, row.country, row.suspended) for row in rows]


def bundle(authority: str, caller: Caller, runtime: Runtime) -> BinaryIO:
    """A registry, whole, with the proof that nothing follows, in the newest checkpoint that enough witnesses cosigned.

    What was published before it was asked for is in it, or readers would refuse it as stale: the witnesses are
    asked, and waited for a moment; then it is the newest checkpoint, cosigned or not.

    Raises:
        NotFound: No such authority.
    """
    access.service(caller, "registry.see", THE_SERVICE)
    size = witnessing.await_quorum(runtime, witnessing.published_size(runtime) - 1, COSIGNED_WITHIN)
    with runtime.reading() as session:
        try:
            return bundles.spooled(
                lambda target: bundles.write_registry(session, target, authority, origin=runtime.origin, size=size)
            )
        except NotFound:
            raise access.absent() from None
