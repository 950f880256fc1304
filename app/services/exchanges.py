"""Exchanges: opened, joined, closed; and what their parties see of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import AUDITOR, THE_SERVICE, WORKING, Caller
from app.db import ledger
from app.db.log_models import ChainKind
from app.db.models import Authority, Exchange, Package, Part, Party, Upload, UploadState
from app.db.unit_of_work import retried
from app.errors import StateConflict, StatementRefused
from app.services import access, continuing, pages, statements, uploads
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime
from app.services.statements import Lodge

_ID_DOMAIN: Final = b"rogatory/exchange-id/v1\0"
_PAGE: Final = 50


def exchange_id(handle: str) -> str:
    """The id that stands for a handle in addresses, so that the handle itself never does."""
    return hashlib.sha256(_ID_DOMAIN + bytes.fromhex(handle)).hexdigest()[:32]


@dataclass(frozen=True)
class View:
    """An exchange as one caller sees it; auditors see no packages."""

    row: Exchange
    parties: Sequence[str]
    auditors: Sequence[str]
    packages: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class On(Lodge):
    """An act on an exchange that is there."""

    exchange: str


@dataclass(frozen=True)
class Opened:
    """An exchange that was opened, and its id."""

    lodged: Lodged
    exchange: str


@retried
def open_exchange(command: Lodge, runtime: Runtime) -> Opened:
    """Begin an exchange between the parties that the act names; its chain has the handle that the act chose.

    Raises:
        StatementRefused: The signer's authority is no party, or the statement does not hold.
        StateConflict: The handle is taken, or a named authority is not enrolled or suspended here; or the exchange goes
            on from the log before, and not as it stood there.
    """
    handle = str(statements.read(command.envelope).payload["chain"])
    with runtime.acting() as uow:
        session = uow.session
        access.service(command.caller, "exchange.open", THE_SERVICE)
        said = statements.admit(session, runtime, command, event="exchange.opened", chain=handle)
        entry = said.earlier
        if entry is None:
            parties, auditors = said.detail["parties"], said.detail.get("auditors", [])
            if command.caller.authority not in parties:
                raise StatementRefused(f"{command.caller.authority} opens an exchange it is no party of")
            _check_authorities(session, [*parties, *auditors])
            ledger.open_chain(session, handle=handle, kind=ChainKind.EXCHANGE, owner=exchange_id(handle))
            row = Exchange(id=exchange_id(handle), handle=handle, opened_at=command.at)
            session.add(row)
            session.flush()
            named = {**dict.fromkeys(auditors, Part.AUDITOR), **dict.fromkeys(parties, Part.PARTY)}
            session.add_all(Party(exchange_id=row.id, authority=name, part=part) for name, part in named.items())
            noted = command.caller.noted() | continuing.of_exchange(runtime.settings, said.statement)
            entry = statements.append(session, runtime, said, at=command.at, noted=noted)
            uow.commit()
    return Opened(await_record(runtime, entry, fresh=said.earlier is None), exchange_id(handle))


@retried
def add_party(command: On, runtime: Runtime) -> Lodged:
    """Let another authority into an exchange, as a party or as an auditor.

    Raises:
        StateConflict: The exchange is closed, or the authority stands in it so already, or is not enrolled.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.exchange(session, command.exchange, command.caller, "party.add", lock=True)
        said = statements.admit(session, runtime, command, event="party.added", chain=found.chain)
        entry = said.earlier
        if entry is None:
            access.open_for(found.row, "party.added")
            entry = statements.append(session, runtime, said, at=command.at, noted=command.caller.noted())
            _let_in(session, found.row.id, entry.subject["authority"], Part(said.detail["as"]))
            uow.commit()
    return await_record(runtime, entry, fresh=said.earlier is None)


@retried
def close(command: On, runtime: Runtime) -> Lodged:
    """Close an exchange: nothing new is said in it, what was handed over stays. Open uploads end.

    Raises:
        StateConflict: It is closed already.
    """
    with runtime.acting() as uow:
        session = uow.session
        found = access.exchange(session, command.exchange, command.caller, "exchange.close", lock=True)
        said = statements.admit(session, runtime, command, event="exchange.closed", chain=found.chain)
        entry, ended = said.earlier, []
        if entry is None:
            access.open_for(found.row, "exchange.closed")
            open_uploads = (
                select(Upload)
                .join(Package, Package.id == Upload.package_id)
                .where(Package.exchange_id == found.row.id, Upload.state == UploadState.OPEN)
            )
            ended = list(session.scalars(open_uploads.with_for_update(of=Upload)))
            for upload in ended:
                uploads.end(session, runtime, upload, chain=found.chain, reason="exchange-closed", at=command.at)
            entry = statements.append(session, runtime, said, at=command.at, noted=command.caller.noted())
            found.row.closed = True
            uow.commit()
    uploads.drop(runtime, ended)
    return await_record(runtime, entry, fresh=said.earlier is None)


def see(exchange: str, caller: Caller, runtime: Runtime) -> View:
    """One exchange."""
    with runtime.reading() as session:
        found = access.exchange(session, exchange, caller, "exchange.see")
        return _view(session, found.row, caller)


def list_exchanges(caller: Caller, cursor: str | None, runtime: Runtime) -> tuple[list[View], str | None]:
    """The exchanges the caller may see, newest first."""
    access.service(caller, "exchange.list", THE_SERVICE)
    with runtime.reading() as session:
        query = (
            select(Exchange).join(Party, Party.exchange_id == Exchange.id).where(Party.authority == caller.authority)
        )
        if AUDITOR not in caller.roles:
            query = query.where(Party.part == Part.PARTY)
        query = pages.after(query, Exchange.opened_at, Exchange.id, cursor).limit(_PAGE + 1)
        rows = list(session.scalars(query))
        views = [_view(session, row, caller) for row in rows[:_PAGE]]
        last = rows[_PAGE - 1] if len(rows) > _PAGE else None
        return views, pages.cursor(last.opened_at, last.id) if last else None


def _view(session: Session, row: Exchange, caller: Caller) -> View:
    thing = access.exchange_thing(session, row.id)
    packages: list[str] = []
    if caller.authority in thing.parties and caller.roles & WORKING:
        query = select(Package.id).where(Package.exchange_id == row.id).order_by(Package.created_at, Package.id)
        packages = list(session.scalars(query))
    return View(row, sorted(thing.parties), sorted(thing.auditors), packages)


def _let_in(session: Session, exchange: str, authority: str, part: Part) -> None:
    _check_authorities(session, [authority])
    there = session.get(Party, (exchange, authority))
    if there is None:
        session.add(Party(exchange_id=exchange, authority=authority, part=part))
    elif there.part is Part.AUDITOR and part is Part.PARTY:
        there.part = part
    else:
        raise StateConflict(f"{authority} stands in this exchange already as {there.part}")


def _check_authorities(session: Session, names: Sequence[str]) -> None:
    """Every one of them is enrolled here and suspended by nobody; their registries are held until the commit."""
    for name in sorted(set(names)):
        row = session.get(Authority, name)
        if row is None or row.suspended or not ledger.registry(session, name).active():
            raise StateConflict(f"authority {name} is not enrolled here, or is suspended")
