"""Packages: declared, sealed by a manifest, withdrawn; and what parties see of them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import THE_SERVICE, WORKING, Caller
from app.db import ledger
from app.db.log_models import LedgerRow
from app.db.models import (
    Grant,
    GrantKind,
    GrantRecipient,
    Item,
    ItemRole,
    Package,
    PackageState,
    Part,
    Party,
    Receipt,
    Recipient,
    StatementRow,
    Upload,
    UploadState,
)
from app.db.unit_of_work import retried
from app.errors import ManifestMismatch, StateConflict, StatementRefused
from app.services import access, headers, pages, statements, uploads
from app.services.access import InPackage
from app.services.records import Lodged, Record, await_record
from app.services.runtime import Runtime
from app.services.statements import Admitted, Lodge
from custody.entry import Entry
from custody.errors import CustodyError
from custody.text import from_time
from storage.interface import LockShortened, StoreError

FIRST_LOCK: Final = timedelta(days=1)
"""How long a body is locked before its seal is on record: longer than any commit, short if none follows."""

_PAGE: Final = 50


@dataclass(frozen=True, kw_only=True)
class Declare(Lodge):
    """A package is to come."""

    exchange: str


@dataclass(frozen=True, kw_only=True)
class On(Lodge):
    """A statement about a package that is there."""

    package: str


@dataclass(frozen=True)
class Declared:
    """A package that was declared, and its id."""

    lodged: Lodged
    package: str


@dataclass(frozen=True)
class View:
    """A package as its parties see it."""

    row: Package
    recipients: Sequence[str]
    items: Sequence[Item]
    uploads: Sequence[Upload]
    receipts: Sequence[Receipt]


@dataclass(frozen=True)
class ManifestView:
    """The manifest with its record, and every later grant as id, envelope and record, in the order of the log."""

    envelope: bytes
    record: Record
    sealed: str
    grants: Sequence[tuple[str, bytes, Record]]


@retried
def declare(command: Declare, runtime: Runtime) -> Declared:
    """Announce a package and for whom it is; its items can be uploaded from now on.

    Raises:
        StateConflict: The id is taken, or the exchange is closed.
        StatementRefused: A recipient is no party, or the statement does not hold.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.exchange(session, command.exchange, command.caller, "package.declare", lock=True)
        said = statements.admit(session, runtime, command, event="package.declared", chain=found.chain)
        entry, package_id = said.earlier, str(said.payload.get("subject", {}).get("package"))
        if entry is None:
            access.open_for(found.row, "package.declared")
            strangers = set(said.detail["recipients"]) - found.thing.parties
            if strangers:
                raise StatementRefused(f"recipients {', '.join(sorted(strangers))} are no parties of this exchange")
            if session.get(Package, package_id) is not None:
                raise StateConflict("the package id is taken", hint="ids are random and never used again")
            entry = statements.append(session, runtime, said, at=command.at, noted=command.caller.noted())
            sender = command.caller.authority
            session.add(Package(id=package_id, exchange_id=found.row.id, sender=sender, created_at=command.at))
            session.flush()
            session.add_all(Recipient(package_id=package_id, authority=name) for name in said.detail["recipients"])
            uow.commit()
    return Declared(await_record(runtime, entry, fresh=said.earlier is None), package_id)


@retried
def seal(command: On, runtime: Runtime) -> Lodged:
    """Bind the items to the sender's manifest, which is the first grant of their headers.

    The bodies are locked for a day first, then the seal becomes a fact, then they are locked until the date of the
    manifest. A crash in between leaves bodies that can be deleted after a day, or a seal whose locks the fixity
    pass lengthens.

    Raises:
        ManifestMismatch: The manifest is not what was uploaded, or names headers that were not put.
        StatementRefused: Its numbers, recipients or keys do not hold.
        StateConflict: The package is sealed or withdrawn.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, command.package, command.caller, "package.seal")
        bodies = list(session.scalars(select(Item).where(Item.package_id == found.row.id)))
        waiting = found.row.state is PackageState.DECLARED
    if waiting:
        _check_manifest(statements.read(command.envelope).payload, bodies)
        for body in bodies:
            _lock(runtime, body, command.at + FIRST_LOCK)
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, command.package, command.caller, "package.seal", lock=True)
        said = statements.admit(session, runtime, command, event="package.sealed", chain=found.chain)
        entry, ended = said.earlier, []
        if entry is None:
            access.open_for(found.exchange, "package.sealed")
            ended = _end_uploads(session, runtime, found, command)
            entry = _seal(session, runtime, found, said, command)
            uow.commit()
    uploads.drop(runtime, ended)
    for body in bodies:
        keep(runtime, body, found.row)
    return await_record(runtime, entry, fresh=said.earlier is None)


def keep(runtime: Runtime, body: Item, package: Package) -> None:
    """Lock a sealed body until the date of its manifest; a store that fails now is asked again by the fixity pass."""
    with suppress(StoreError):
        lengthen(runtime, body, package)


def lengthen(runtime: Runtime, body: Item, package: Package) -> None:
    """Lock a sealed body until the date of its manifest.

    Raises:
        StoreError: The store did not; the body may be locked for a day only.
    """
    if package.retain_until is not None:
        _lock(runtime, body, package.retain_until)


@retried
def withdraw(command: On, runtime: Runtime) -> Lodged:
    """Take back a sealed package: no header of it leaves from now on.

    Raises:
        StatementRefused: The statement names another manifest.
        StateConflict: The package is not sealed.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, command.package, command.caller, "package.withdraw", lock=True)
        said = statements.admit(session, runtime, command, event="package.withdrawn", chain=found.chain)
        entry = said.earlier
        if entry is None:
            access.open_for(found.exchange, "package.withdrawn")
            sealed(found.row, said.payload["manifest"])
            entry = append(session, runtime, said, command)
            found.row.state = PackageState.WITHDRAWN
            uow.commit()
    return await_record(runtime, entry, fresh=said.earlier is None)


def append(session: Session, runtime: Runtime, said: Admitted, command: On) -> Entry:
    """The entry of a statement about a package, with where it came from."""
    subject = {"package": command.package}
    return statements.append(session, runtime, said, at=command.at, subject=subject, noted=command.caller.noted())


def sealed(row: Package, manifest_id: str) -> None:
    """Check that a package is sealed by this very manifest and nothing has been done to it since.

    Raises:
        StateConflict: It is in another state.
        StatementRefused: Its manifest is another.
    """
    if row.state is not PackageState.SEALED:
        raise StateConflict(f"the package is {row.state}, expected it sealed")
    if row.manifest_id != manifest_id:
        raise StatementRefused(f"the statement names manifest {manifest_id}, the package has {row.manifest_id}")


def see(package: str, caller: Caller, runtime: Runtime) -> View:
    """One package."""
    with runtime.reading() as session:
        found = access.package(session, package, caller, "package.see")
        return _view(session, found.row)


def list_packages(
    caller: Caller, state: str | None, cursor: str | None, runtime: Runtime
) -> tuple[list[View], str | None]:
    """Packages the caller's authority sent, or that were sent to it; newest first."""
    access.service(caller, "package.list", THE_SERVICE)
    if not caller.roles & WORKING:
        return [], None
    with runtime.reading() as session:
        named = select(Recipient.package_id).where(Recipient.authority == caller.authority)
        granted = (
            select(Grant.package_id)
            .join(GrantRecipient, GrantRecipient.grant_id == Grant.statement_id)
            .where(GrantRecipient.authority == caller.authority)
        )
        mine = (Package.sender == caller.authority) | Package.id.in_(named) | Package.id.in_(granted)
        party = select(Party.exchange_id).where(Party.authority == caller.authority, Party.part == Part.PARTY)
        query = select(Package).where(mine, Package.exchange_id.in_(party))
        if state is not None:
            query = query.where(Package.state == PackageState(state))
        rows = list(session.scalars(pages.after(query, Package.created_at, Package.id, cursor).limit(_PAGE + 1)))
        last = rows[_PAGE - 1] if len(rows) > _PAGE else None
        return [_view(session, row) for row in rows[:_PAGE]], pages.cursor(last.created_at, last.id) if last else None


@retried
def view_manifest(package: str, caller: Caller, runtime: Runtime) -> ManifestView:
    """The manifest and the grants; that they were looked at goes on record first.

    Raises:
        StateConflict: The package is not sealed yet.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.package(session, package, caller, "manifest.view")
        row = found.row
        if row.manifest_id is None or row.sealed_hash is None:
            raise StateConflict("the package is not sealed yet")
        noted = {"by": caller.signer(), **caller.noted()}
        ledger.append(
            session,
            chain=found.chain,
            event="manifest.viewed",
            at=runtime.now(),
            origin=runtime.origin,
            subject={"package": row.id},
            noted=noted,
        )
        envelope = session.get_one(StatementRow, row.manifest_id).envelope
        query = (
            select(LedgerRow.id, Grant.statement_id, StatementRow.envelope)
            .join(StatementRow, StatementRow.id == Grant.statement_id)
            .join(LedgerRow, LedgerRow.statement_id == Grant.statement_id)
            .where(Grant.package_id == row.id, Grant.kind == GrantKind.GRANT)
            .order_by(LedgerRow.id)
        )
        rows = list(session.execute(query))
        sealed_id = headers.ledger_id(session, row.manifest_id)
        uow.commit()
    record = ledger.wait_for_record(runtime.engine, sealed_id)
    grants = [(name, body, ledger.wait_for_record(runtime.engine, number)) for number, name, body in rows]
    return ManifestView(envelope, record, row.sealed_hash, grants)


def _seal(session: Session, runtime: Runtime, found: InPackage, said: Admitted, command: On) -> Entry:
    payload, row = said.payload, found.row
    if row.state is not PackageState.DECLARED:
        raise StateConflict(f"the package is {row.state}, it can be sealed only once")
    if payload["package"] != row.id:
        raise StatementRefused(f"the manifest is of package {payload['package']}, this one is {row.id}")
    bodies = list(session.scalars(select(Item).where(Item.package_id == row.id)))
    items = _check_manifest(payload, bodies)
    noted: dict[str, Any] = {"checked": ["parts", "size"], **command.caller.noted()}
    entry = statements.append(session, runtime, said, at=command.at, subject={"package": row.id}, noted=noted)
    headers.add_grant(session, found, said, GrantKind.MANIFEST, list(items.values()))
    for body in bodies:
        inventory = body.id == payload["inventory"]["id"]
        body.role = ItemRole.INVENTORY if inventory else ItemRole.ITEM
        body.sha256, body.blake3 = items[body.id]["sha256"], items[body.id]["blake3"]
    row.state, row.manifest_id, row.sealed_hash = PackageState.SEALED, said.statement.id, entry.hash.hex()
    row.retain_until = _retention(payload)
    return entry


def _check_manifest(payload: dict[str, Any], bodies: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """Hold a manifest to the bodies that are there; its items by id, the inventory among them."""
    if payload["kind"] != "manifest":
        raise StatementRefused(f"the statement is of kind {payload['kind']}, a package is sealed by a manifest")
    items = {item["id"]: item for item in [*payload["items"], payload["inventory"]]}
    if len(items) != len(payload["items"]) + 1:
        raise StatementRefused("the inventory bears the id of another item")
    there = {body.id: body for body in bodies}
    missing, unsaid = sorted(items.keys() - there.keys()), sorted(there.keys() - items.keys())
    if missing or unsaid:
        raise ManifestMismatch(
            f"{len(missing)} items of the manifest have no complete body (first: {missing[:1]}), "
            f"{len(unsaid)} complete bodies are not in it (first: {unsaid[:1]})"
        )
    for item_id, item in items.items():
        body = there[item_id]
        found, said = (body.size, body.part_size, body.parts), (item["size"], item["part_size"], item["parts"])
        if found != said:
            raise ManifestMismatch(
                f"item {item_id} arrived with size, grid and parts {found}, the manifest says {said}"
            )
    return items


def _retention(payload: dict[str, Any]) -> Any:
    try:
        return from_time(payload["retain_until"])
    except CustodyError as error:
        raise StatementRefused(f"retain_until: {error}") from error


def _end_uploads(session: Session, runtime: Runtime, found: InPackage, command: On) -> list[Upload]:
    """Uploads that are still open end with the seal: nothing arrives after it."""
    query = select(Upload).where(Upload.package_id == found.row.id, Upload.state == UploadState.OPEN).with_for_update()
    rows = list(session.scalars(query))
    for row in rows:
        uploads.end(session, runtime, row, chain=found.chain, reason="sealed", at=command.at)
    return rows


def _lock(runtime: Runtime, body: Item, until: Any) -> None:
    try:
        runtime.store.lock(body.key, version=body.version, until=until)
    except LockShortened:
        return  # locked for longer: more than was asked for


def _view(session: Session, row: Package) -> View:
    named = select(Recipient.authority).where(Recipient.package_id == row.id)
    if row.state is not PackageState.DECLARED:
        named = (
            select(GrantRecipient.authority)
            .join(Grant, Grant.statement_id == GrantRecipient.grant_id)
            .where(Grant.package_id == row.id)
        )
    of_package = Upload.package_id == row.id
    return View(
        row=row,
        recipients=sorted(set(session.scalars(named))),
        items=list(session.scalars(select(Item).where(Item.package_id == row.id).order_by(Item.id))),
        uploads=list(session.scalars(select(Upload).where(of_package, Upload.state == UploadState.OPEN))),
        receipts=list(session.scalars(select(Receipt).where(Receipt.package_id == row.id).order_by(Receipt.authority))),
    )
