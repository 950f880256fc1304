"""Grants after the manifest, the acceptance of their conditions, and the release of headers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.db.models import Acceptance, Grant, GrantHeader, GrantKind, GrantRecipient, Item, Release, StatementRow
from app.db.unit_of_work import retried
from app.errors import AlreadyAnswered, StateConflict, StatementRefused
from app.services import access, headers, packages, statements
from app.services.access import InPackage
from app.services.packages import On
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime
from app.services.statements import Admitted
from custody import statement

_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Released:
    """Headers that leave, each with its item, read when they are asked for; the release is on record."""

    lodged: Lodged
    headers: Iterator[tuple[str, bytes]]


@retried
def add(command: On, runtime: Runtime) -> Lodged:
    """Grant the headers of some items to more authorities, without touching the bodies.

    Raises:
        StateConflict: The package is not sealed.
        StatementRefused: The grant names another manifest, strangers, dead keys, or items that are not there.
        ManifestMismatch: It names headers that its signer did not put.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, command.package, command.caller, "grant.add", lock=True)
        said = statements.admit(session, runtime, command, event="grant.added", chain=found.chain)
        entry = said.earlier
        if entry is None:
            packages.sealed(found.row, said.payload["manifest"])
            _check_grant(session, found, said, command)
            entry = packages.append(session, runtime, said, command)
            headers.add_grant(session, found, said, GrantKind.GRANT, said.payload["items"])
            uow.commit()
    return await_record(runtime, entry, fresh=said.earlier is None)


@retried
def accept(command: On, runtime: Runtime) -> Lodged:
    """Accept the conditions of a manifest or grant, for the caller's authority.

    Raises:
        StatementRefused: Other conditions than were set, or set to others.
        AlreadyAnswered: They were accepted before.
    """
    with runtime.acting() as uow:
        session, authority = uow.session, command.caller.authority
        found = access.package(session, command.package, command.caller, "conditions.accept", lock=True)
        said = statements.admit(session, runtime, command, event="conditions.accepted", chain=found.chain)
        entry = said.earlier
        if entry is None:
            grant = _grant_for(session, found, said.payload["statement"], authority)
            if said.payload["conditions"] != _said(session, grant).get("conditions"):
                raise StatementRefused("the acceptance names other conditions than the grant sets")
            if session.get(Acceptance, (grant.statement_id, authority)) is not None:
                raise AlreadyAnswered(f"{authority} has accepted these conditions before")
            entry = packages.append(session, runtime, said, command)
            session.add(Acceptance(grant_id=grant.statement_id, authority=authority, statement_id=said.statement.id))
            uow.commit()
    return await_record(runtime, entry, fresh=said.earlier is None)


@retried
def release(command: On, runtime: Runtime) -> Released:
    """Hand out headers to a recipient; that they leave is on record, and provable, before they do.

    Raises:
        StateConflict: Conditions are not accepted, the grant has ended, or the package is not sealed any more.
        StatementRefused: The grant is not for the caller's authority, or lacks an item that is asked for.
    """
    with runtime.acting() as uow:
        session, authority = uow.session, command.caller.authority
        found = access.package(session, command.package, command.caller, "key.release", lock=True)
        said = statements.admit(session, runtime, command, event="key.released", chain=found.chain)
        entry = said.earlier
        _check_subject(said, command)
        grant = _grant_for(session, found, said.detail["grant"], authority)
        _check_releasable(session, found, grant, command)
        wanted = _wanted(session, grant, said.detail.get("items"))
        if entry is None:
            noted: dict[str, Any] = {"headers": len(wanted), **command.caller.noted()}
            entry = statements.append(session, runtime, said, at=command.at, noted=noted)
            _note_release(session, grant, authority, wanted, command.at)
            uow.commit()
    lodged = await_record(runtime, entry, fresh=said.earlier is None)
    return Released(lodged, ((item, headers.read(runtime, sha256)) for item, sha256 in wanted))


def _check_grant(session: Session, found: InPackage, said: Admitted, command: On) -> None:
    payload = said.payload
    assert found.row.manifest_id is not None
    first = _said(session, session.get_one(Grant, found.row.manifest_id))
    if payload["sealing"] != first["sealing"]:
        raise StatementRefused(f"the grant seals with {payload['sealing']}, the manifest with {first['sealing']}")
    there = set(session.scalars(select(Item.id).where(Item.package_id == command.package)))
    strange = {item["id"] for item in payload["items"]} - there
    if strange:
        raise StatementRefused(f"items {', '.join(sorted(strange)[:3])} are not in the package")


def _check_subject(said: Admitted, command: On) -> None:
    named = said.payload.get("subject", {}).get("package")
    if named != command.package:
        raise StatementRefused(f"the act is about package {named}, the request about {command.package}")


def _grant_for(session: Session, found: InPackage, statement_id: str, authority: str) -> Grant:
    grant = headers.grant_of(session, found.row.id, statement_id)
    if session.get(GrantRecipient, (grant.statement_id, authority)) is None:
        raise StatementRefused(f"{statement_id} grants nothing to {authority}")
    return grant


def _check_releasable(session: Session, found: InPackage, grant: Grant, command: On) -> None:
    packages.sealed(found.row, found.row.manifest_id or "")
    if grant.destroyed:
        raise StateConflict("the headers of this grant were destroyed by order")
    if grant.until is not None and grant.until <= command.at:
        raise StateConflict("the grant has ended")
    accepted = session.get(Acceptance, (grant.statement_id, command.caller.authority))
    if grant.conditional and accepted is None:
        raise StateConflict(
            "the grant sets conditions that were not accepted", hint="accept them by a signed statement first"
        )


def _wanted(session: Session, grant: Grant, items: list[str] | None) -> list[tuple[str, str]]:
    """Item and header of each that is asked for."""
    query = select(GrantHeader.item_id, GrantHeader.sha256).where(GrantHeader.grant_id == grant.statement_id)
    named = None if items is None else frozenset(items)
    rows = session.execute(query.order_by(GrantHeader.item_id).execution_options(yield_per=_AT_ONCE))
    found = [(item, sha256) for item, sha256 in rows if named is None or item in named]
    if items is not None and len(found) != len(items):
        raise StatementRefused(f"the grant has {len(found)} of the {len(items)} items that are asked for")
    return found


def _note_release(
    session: Session, grant: Grant, authority: str, wanted: Sequence[tuple[str, str]], at: datetime
) -> None:
    known = select(Release.item_id).where(Release.grant_id == grant.statement_id, Release.authority == authority)
    gone = set(session.scalars(known))
    fresh = (item for item, _ in wanted if item not in gone)
    while some := list(islice(fresh, _AT_ONCE)):
        common = {"grant_id": grant.statement_id, "authority": authority, "released_at": at}
        session.execute(insert(Release), [{"item_id": item, **common} for item in some])


def _said(session: Session, grant: Grant) -> dict[str, Any]:
    return statement.parse(session.get_one(StatementRow, grant.statement_id).envelope).payload
