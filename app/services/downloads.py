"""Downloads: opened by a signed act, read by a handle, closed with a count of the bytes that went out.

That a download was opened is on record, and provable, before the first byte leaves. It does not say that the
receiver has the item: only its receipt does.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.auth.policy import Caller, Kind, Thing
from app.db import ledger
from app.db.log_models import LedgerRow
from app.db.models import (
    Download,
    Exchange,
    Grant,
    GrantHeader,
    Item,
    Package,
    PackageState,
    PutHeader,
    Release,
)
from app.db.unit_of_work import retried
from app.errors import Gone, StateConflict, StatementRefused
from app.services import access, headers, statements
from app.services.packages import On
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime
from custody import entry as entries
from custody.entry import Entry

LIFE: Final = timedelta(hours=1)
_READABLE: Final = frozenset({PackageState.SEALED, PackageState.RESTRICTED})


@dataclass(frozen=True)
class Opened:
    """A handle for reading bodies."""

    lodged: Lodged
    download: str
    expires: datetime


@dataclass(frozen=True)
class Content:
    """What a handle gives for an item.

    Attributes:
        header: Bytes that stand before the body; empty where the body alone was asked for.
        size: Header and body together.
        sha256: Claimed for the body by the sender, hex.
        header_sha256: Of the header, hex; empty without one.
    """

    download: str
    key: str
    version: str
    header: bytes
    size: int
    sha256: str
    header_sha256: str


@retried
def open_download(command: On, runtime: Runtime) -> Opened:
    """Open a handle for the bodies of a package, or for one of them.

    Raises:
        StatementRefused: The act is about another package, or an item that is not in it.
        StateConflict: The package is not sealed, or is withdrawn, recalled or destroyed.
    """
    with runtime.acting() as uow:
        session, caller = uow.session, command.caller
        found = access.package(session, command.package, caller, "download.open", lock=True)
        said = statements.admit(session, runtime, command, event="download.opened", chain=found.chain)
        entry, subject = said.earlier, said.payload.get("subject", {})
        if entry is None:
            item = subject.get("item")
            if subject.get("package") != found.row.id:
                raise StatementRefused(f"the act is about package {subject.get('package')}, not about {found.row.id}")
            if found.row.state not in _READABLE:
                raise StateConflict(f"the package is {found.row.state}, its bodies cannot be read")
            if item is not None and session.get(Item, (found.row.id, item)) is None:
                raise StatementRefused(f"item {item} is not in the package")
            noted = {"via": "service", **caller.noted()}
            entry = statements.append(session, runtime, said, at=command.at, noted=noted)
            row = Download(
                id=secrets.token_hex(16),
                package_id=found.row.id,
                item_id=item,
                principal=caller.principal,
                authority=caller.authority,
                opened_hash=entry.hash.hex(),
                expires_at=command.at + LIFE,
            )
            session.add(row)
            uow.commit()
        else:
            row = session.scalars(select(Download).where(Download.opened_hash == entry.hash.hex())).one()
    return Opened(await_record(runtime, entry, fresh=said.earlier is None), row.id, row.expires_at)


@dataclass(frozen=True, kw_only=True)
class Read:
    """A wish to read a body by a handle, under a header or without one."""

    download: str
    item: str
    header: str | None
    caller: Caller
    at: datetime


def content(command: Read, runtime: Runtime) -> Content:
    """What the handle gives for an item, and under which header.

    Raises:
        NotFound: No such handle of the caller's authority, item of its package, or header released to it.
        Gone: The handle was closed or has expired.
        StateConflict: The package was withdrawn or recalled meanwhile.
    """
    with runtime.reading() as session:
        row = _mine(session, command.download, command.caller, "download.read")
        _check_alive(row, command.at)
        item, header = command.item, command.header
        package = session.get_one(Package, row.package_id)
        body = session.get(Item, (row.package_id, item))
        if body is None or body.role is None or row.item_id not in (None, item):
            raise access.absent()
        if package.state not in _READABLE:
            raise StateConflict(f"the package is {package.state}, its bodies cannot be read")
        if header is not None:
            _check_released(session, package, item, header, command.caller.authority)
        sha256 = body.sha256 or ""
    before = headers.read(runtime, header) if header else b""
    return Content(row.id, body.key, body.version, before, body.size + len(before), sha256, header or "")


def chunks(found: Content, start: int, length: int, runtime: Runtime) -> Iterator[bytes]:
    """The bytes of a range of header and body, in pieces of at most 1 MiB.

    Raises:
        StoreError: The store does not begin to give them; said here, before any byte.
    """
    ahead = found.header[start : start + length]
    begin, left = max(0, start - len(found.header)), length - len(ahead)
    body: Iterator[bytes] = iter(())
    if left:
        body = runtime.store.read(found.key, version=found.version, start=begin, length=left)
    return chain([ahead], body) if ahead else body


@retried
def count(download: str, sent: int, runtime: Runtime) -> bool:
    """Add to what went out through a handle, also after it was closed; whether more may go out.

    The entry download.closed says what was counted by then: at most what went out, less only by what was between two
    counts.
    """
    with runtime.unit_of_work() as uow:
        change = update(Download).where(Download.id == download).values(bytes_out=Download.bytes_out + sent)
        closed = uow.session.scalar(change.returning(Download.closed))
        uow.commit()
    return closed is False


@retried
def close(download: str, caller: Caller, at: datetime, runtime: Runtime) -> Lodged:
    """Be done with a handle; how many bytes went out goes on record. Asked again, the same record is the answer.

    Raises:
        NotFound: No such handle of the caller's authority.
        Gone: It lapsed before it was closed.
    """
    with runtime.unit_of_work() as uow:
        row = _mine(uow.session, download, caller, "download.close", lock=True)
        if row.closed_hash is not None:
            found = select(LedgerRow.body).where(LedgerRow.hash == bytes.fromhex(row.closed_hash))
            chain = _chain_of(uow.session, row)
            entry = entries.parse(uow.session.scalars(found.where(LedgerRow.chain == chain)).one())
            fresh = False
        else:
            _check_alive(row, at)
            entry, fresh = end(uow.session, runtime, row, outcome="closed", at=at), True
            row.closed_hash = entry.hash.hex()
            uow.commit()
    return await_record(runtime, entry, fresh=fresh)


def end(session: Session, runtime: Runtime, row: Download, *, outcome: str, at: datetime) -> Entry:
    """Note that a handle has ended; the caller commits."""
    row.closed = True
    subject = {"package": row.package_id} | ({"item": row.item_id} if row.item_id else {})
    return ledger.append(
        session,
        chain=_chain_of(session, row),
        event="download.closed",
        at=at,
        origin=runtime.origin,
        subject=subject,
        noted={"bytes": row.bytes_out, "opened": row.opened_hash, "outcome": outcome},
    )


def _chain_of(session: Session, row: Download) -> str:
    package = session.get_one(Package, row.package_id)
    return session.get_one(Exchange, package.exchange_id).handle


def _mine(session: Session, download: str, caller: Caller, action: str, *, lock: bool = False) -> Download:
    query = select(Download).where(Download.id == download)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise access.absent()
    access.service(caller, action, Thing(kind=Kind.HANDLE, holder=row.authority))
    return row


def _check_alive(row: Download, at: datetime) -> None:
    if row.closed or row.expires_at <= at:
        raise Gone("the download was closed or has expired", hint="open another one")


def _check_released(session: Session, package: Package, item: str, sha256: str, authority: str) -> None:
    """The authority has the header: it was released to it, or brought by it."""
    released = (
        select(GrantHeader.item_id)
        .join(Grant, Grant.statement_id == GrantHeader.grant_id)
        .join(
            Release,
            (Release.grant_id == GrantHeader.grant_id) & (Release.item_id == GrantHeader.item_id),
        )
        .where(
            Grant.package_id == package.id,
            GrantHeader.item_id == item,
            GrantHeader.sha256 == sha256,
            Release.authority == authority,
            Grant.destroyed.is_(False),
        )
    )
    brought = session.get(PutHeader, (package.id, sha256, authority))
    if brought is None and session.scalar(released.limit(1)) is None:
        raise access.absent()
