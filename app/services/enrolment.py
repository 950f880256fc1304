"""The log begins, and authorities are admitted: what the operator does, in the open.

Admission is the operator's word (`policy.changed` on the service's chain), after comparing a fingerprint by another
way; what the authority is, it says itself, in its registry's first entry. Verifiers rely on neither but on their pins.
"""

from datetime import datetime

from app.db import ledger
from app.db.log_models import ChainKind
from app.db.models import Authority, RegisteredKey
from app.db.unit_of_work import UnitOfWork
from app.errors import BadInput, StateConflict
from custody import leaf
from custody.entry import Entry
from custody.statement import Statement


def start_log(uow: UnitOfWork, *, keys: list[str], origin: str, at: datetime) -> Entry:
    """The first entry of the service's chain, with the log's public keys; the caller commits.

    Args:
        uow: Open.
        keys: The log's vkeys.
        origin: The log's name.
        at: When.

    Raises:
        StateConflict: The log has been started before.
    """
    chain = leaf.registry_handle(origin, leaf.SERVICE).hex()
    ledger.open_chain(uow.session, chain, ChainKind.SERVICE, leaf.SERVICE)
    return ledger.append(uow.session, chain=chain, event="log.started", at=at, origin=origin, noted={"keys": keys})


def admit(uow: UnitOfWork, statement: Statement, *, origin: str, at: datetime) -> Entry:
    """Begin the registry of an authority with its own enrolment, and say so on the service's chain, in one commit.

    Args:
        uow: Not open yet; committed here.
        statement: The authority's first enrolment, whose fingerprint the operator has compared.
        origin: The log's name.
        at: When.

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
            session, chain=chain, event="authority.enrolled", at=at, origin=origin, statement=statement
        )
        session.add(
            Authority(id=authority, name=payload["name"], country=payload["country"], handle=chain, admitted_at=at)
        )
        session.flush()
        _register(uow, statement)
        ledger.append(
            session,
            chain=leaf.registry_handle(origin, leaf.SERVICE).hex(),
            event="policy.changed",
            at=at,
            origin=origin,
            subject={"authority": authority},
            noted={"what": "authority.admitted", "fingerprint": statement.id},
        )
        uow.commit()
    return entry


def _register(uow: UnitOfWork, statement: Statement) -> None:
    for fields in statement.payload["keys"]:
        if uow.session.get(RegisteredKey, fields["id"]) is not None:
            raise StateConflict(
                f"key {fields['id']} is registered already, expected one holder and one use of each key"
            )
        uow.session.add(
            RegisteredKey(id=fields["id"], authority=statement.authority, holder=fields["holder"], use=fields["use"])
        )
    uow.session.flush()
