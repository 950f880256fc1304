"""The log begins, and authorities are admitted: what the operator does, in the open.

Admission is the operator's word (`policy.changed` on the service's chain), after comparing a fingerprint by another
way; what the authority is, it says itself, in its registry's first entry. Verifiers rely on neither but on their pins.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.db import ledger
from app.db.log_models import Chain, ChainKind, LedgerRow
from app.db.models import Authority
from app.db.unit_of_work import UnitOfWork, retried
from app.errors import BadInput, StateConflict, StatementRefused
from app.services import registries, statements, succession
from app.services.runtime import Runtime
from custody import entry as entries
from custody import leaf
from custody.entry import Entry
from custody.errors import CustodyError
from custody.keys import KeyRecord, fingerprint
from custody.statement import Statement
from custody.succession import Predecessor


@dataclass(frozen=True)
class Application:
    """What an enrolment file asks for. Nothing of it is verified but its shape.

    Attributes:
        statement: The first statement of the authority's registry.
        keys: Its first keys.
        fingerprint: Of its (first) authority key, 64 hex digits.
    """

    statement: Statement
    keys: tuple[KeyRecord, ...]
    fingerprint: str

    @property
    def authority(self) -> str:
        """Id that is asked for."""
        return self.statement.authority

    @property
    def name(self) -> str:
        """Name of the authority."""
        return str(self.statement.payload["name"])

    @property
    def country(self) -> str:
        """Two letters."""
        return str(self.statement.payload["country"])

    @property
    def spelt(self) -> str:
        """The fingerprint in groups of four, to read aloud."""
        return fingerprint(self.fingerprint)


def read(envelope: str, runtime: Runtime) -> Application:
    """Read an enrolment file: the exact envelope of the statement authority.enrolled.

    Raises:
        StatementRefused: Not such a statement, or made for another log.
    """
    said = statements.read(envelope)
    payload = said.payload
    if said.kind != "enrolment" or not {"name", "country", "recovery", "sign_with"} <= payload.keys():
        raise StatementRefused("the file is no authority's first enrolment")
    handle = leaf.registry_handle(runtime.origin, said.authority).hex()
    if payload["log"] != runtime.origin or payload["chain"] != handle:
        raise StatementRefused(
            f"the enrolment is made for log {payload['log']}, this one is {runtime.origin}",
            hint="the authority makes it anew with this service's origin",
        )
    try:
        keys = tuple(KeyRecord.parse(fields) for fields in payload["keys"])
    except CustodyError as error:
        raise StatementRefused(f"a key of the enrolment: {error}") from error
    return Application(said, keys, _first_key(said))


def start_log(
    uow: UnitOfWork, *, keys: list[str], origin: str, at: datetime, predecessor: Predecessor | None = None
) -> Entry:
    """The first entry of the service's chain, with the log's public keys; the caller commits.

    Args:
        uow: Open.
        keys: The log's vkeys.
        origin: The log's name.
        at: When.
        predecessor: The log that this one succeeds.

    Raises:
        StateConflict: The log has been started before.
    """
    noted: dict[str, Any] = {"keys": keys} | ({"predecessor": predecessor.fields()} if predecessor else {})
    chain = leaf.registry_handle(origin, leaf.SERVICE).hex()
    ledger.open_chain(uow.session, chain, ChainKind.SERVICE, leaf.SERVICE)
    return ledger.append(uow.session, chain=chain, event="log.started", at=at, origin=origin, noted=noted)


@retried
def begin(runtime: Runtime, at: datetime) -> None:
    """Start the log, unless it has been; of processes that begin together one does."""
    if is_begun(runtime):
        return
    with suppress(StateConflict), runtime.unit_of_work() as uow:
        keys, before = [str(key) for key in runtime.log_keys], succession.predecessor(runtime.settings)
        start_log(uow, keys=keys, origin=runtime.origin, at=at, predecessor=before)
        uow.commit()


def admit(
    uow: UnitOfWork, statement: Statement, *, origin: str, at: datetime, noted: Mapping[str, Any] | None = None
) -> Entry:
    """Begin the registry of an authority with its own enrolment, and say so on the service's chain, in one commit.

    Args:
        uow: Not open yet; committed here.
        statement: The authority's first enrolment, whose fingerprint the operator has compared.
        origin: The log's name.
        at: When.
        noted: What the service notes of its past in the log before (`continuing.of_registry`).

    Returns:
        The entry authority.enrolled.

    Raises:
        BadInput: No first enrolment of an authority.
        StateConflict: The authority is here already, or one of its keys stands in another registry.
        StatementRefused: Not signed by every key it names, or of another log or chain.
    """
    payload, authority = statement.payload, statement.authority
    if statement.kind != "enrolment" or not {"name", "country", "recovery", "sign_with"} <= payload.keys():
        raise BadInput(f"a statement of kind {statement.kind}, expected the first enrolment of an authority")
    chain = leaf.registry_handle(origin, authority).hex()
    with uow:
        session = uow.session
        if session.get(Authority, authority) is not None:
            raise StateConflict(f"authority {authority} is admitted already, and ids are never used again")
        ledger.open_chain(session, chain, ChainKind.REGISTRY, authority)
        entry = ledger.append(
            session, chain=chain, event="authority.enrolled", at=at, origin=origin, statement=statement, noted=noted
        )
        session.add(
            Authority(id=authority, name=payload["name"], country=payload["country"], handle=chain, admitted_at=at)
        )
        session.flush()
        registries.register_keys(session, statement)
        ledger.append(
            session,
            chain=leaf.registry_handle(origin, leaf.SERVICE).hex(),
            event="policy.changed",
            at=at,
            origin=origin,
            subject={"authority": authority},
            noted={"what": "authority.admitted", "fingerprint": _first_key(statement)},
        )
        uow.commit()
    return entry


def admitted(statement: Statement, runtime: Runtime) -> Entry | None:
    """The entry of an enrolment that was admitted before."""
    with runtime.reading() as session:
        body = session.scalar(select(LedgerRow.body).where(LedgerRow.statement_id == statement.id))
    return entries.parse(body) if body is not None else None


def is_begun(runtime: Runtime) -> bool:
    """Whether the log has its first entry."""
    with runtime.reading() as session:
        return session.get(Chain, leaf.registry_handle(runtime.origin, leaf.SERVICE).hex()) is not None


def _first_key(statement: Statement) -> str:
    """Id of the first authority key, which is what fingerprints are compared of."""
    keys: list[dict[str, str]] = statement.payload["keys"]
    found = next((key["id"] for key in keys if key["use"] == "authority"), None)
    if found is None:
        raise StatementRefused("the enrolment names no authority key")
    return found
