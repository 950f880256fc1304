"""Headers: brought by those who can write them, carried by grants, handed out to those a grant names.

A header is a blob named by its digest. Only an authority that has brought the bytes for a package may name them in a
grant of it; otherwise a recipient could grant itself, without conditions, a header that it knows by digest only.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import Caller
from app.db import ledger
from app.db.log_models import LedgerRow
from app.db.models import Grant, GrantHeader, GrantKind, GrantRecipient, PutHeader
from app.db.unit_of_work import retried
from app.errors import BadRequest, ManifestMismatch, NotFound, StatementRefused, TooLarge
from app.services import access
from app.services.access import InPackage
from app.services.runtime import Runtime
from app.services.statements import Admitted
from custody.errors import CustodyError
from custody.registry import FOREVER, Registry
from custody.sealing.header import check_header, read_exact_header
from custody.text import from_hex, from_time
from storage import keys
from storage.interface import NotFound as Lost

MAX_HEADER: Final = 512 * 1024
_KINDS: Final = ("mlkem768x25519", "x25519")


@dataclass(frozen=True, kw_only=True)
class PutCommand:
    """Bytes said to be a header of a package."""

    package: str
    sha256: str
    data: bytes
    caller: Caller


@retried
def put(command: PutCommand, runtime: Runtime) -> bool:
    """Keep a header for a package; whether it is new there.

    Raises:
        BadRequest: Not a header, of stanzas that are not allowed, or not the bytes of that digest.
        TooLarge: More than 512 KiB.
    """
    with runtime.acting() as uow:
        access.package(uow.session, command.package, command.caller, "header.put")
    if len(command.data) > MAX_HEADER:
        raise TooLarge(f"a header of {len(command.data)} bytes, expected at most {MAX_HEADER}")
    digest = hashlib.sha256(command.data).digest()
    if digest != from_hex(command.sha256, 32):
        raise BadRequest(f"the bytes have SHA-256 {digest.hex()}, the address says {command.sha256}")
    sealing, stanzas = shape(command.data)
    runtime.store.put(keys.header(digest), command.data, sha256=digest)
    with runtime.acting() as uow:
        session, authority = uow.session, command.caller.authority
        found = access.package(session, command.package, command.caller, "header.put", lock=True)
        if session.get(PutHeader, (found.row.id, command.sha256, authority)) is not None:
            return False
        session.add(
            PutHeader(
                package_id=found.row.id,
                sha256=command.sha256,
                authority=authority,
                size=len(command.data),
                sealing=sealing,
                stanzas=stanzas,
            )
        )
        session.flush()
        _keep(runtime, command, digest)
        uow.commit()
    return True


def _keep(runtime: Runtime, command: PutCommand, digest: bytes) -> None:
    """See, beside the row that names it, that the header is there: an old one may have been collected meanwhile."""
    try:
        runtime.store.stat(keys.header(digest))
    except Lost:
        runtime.store.put(keys.header(digest), command.data, sha256=digest)


def add_grant(
    session: Session, found: InPackage, said: Admitted, kind: GrantKind, items: Sequence[dict[str, Any]]
) -> None:
    """Remember a manifest or grant that was just appended: its headers, recipients and conditions.

    Args:
        session: Of the unit of work.
        found: The package.
        said: The statement.
        kind: Which of the two.
        items: Its items, each with `id` and `header`.

    Raises:
        StatementRefused: A recipient is no party, or a key is not a live one of the right kind.
        ManifestMismatch: A header was not put by the signer, or has another number or kind of stanzas.
    """
    payload = said.payload
    count = _check_recipients(session, found, payload)
    _check_headers(session, found, payload, items, count)
    grant = Grant(
        statement_id=said.statement.id,
        package_id=found.row.id,
        kind=kind,
        authority=said.statement.authority,
        conditional="conditions" in payload,
        until=_until(payload),
    )
    session.add(grant)
    session.flush()
    session.add_all(
        GrantHeader(
            grant_id=grant.statement_id,
            item_id=item["id"],
            sha256=item["header"]["sha256"],
            size=item["header"]["size"],
        )
        for item in items
    )
    session.add_all(
        GrantRecipient(grant_id=grant.statement_id, authority=recipient["authority"])
        for recipient in payload["recipients"]
    )
    session.flush()


def ledger_id(session: Session, statement_id: str) -> int:
    """The row of the ledger that carries a statement."""
    return session.execute(select(LedgerRow.id).where(LedgerRow.statement_id == statement_id)).scalar_one()


def read(runtime: Runtime, sha256: str) -> bytes:
    """The bytes of a header from the store, checked against their name."""
    data = b"".join(runtime.store.read(keys.header(from_hex(sha256, 32))))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ManifestMismatch(f"the store holds other bytes than header {sha256}", hint="tell the operator")
    return data


def shape(data: bytes) -> tuple[str, int]:
    """The one kind of a header's stanzas, and how many they are.

    Raises:
        BadRequest: Not a header, or of stanzas that are not allowed.
    """
    try:
        kinds = read_exact_header(data).kinds
        kind = kinds[0] if kinds[0] in _KINDS else _KINDS[0]
        check_header(data, kind=kind, count=len(kinds))
    except CustodyError as error:
        raise BadRequest(f"not a header of this service: {error}") from error
    return kind, len(kinds)


def _check_recipients(session: Session, found: InPackage, payload: dict[str, Any]) -> int:
    """How many keys the headers must be written for; each recipient's registry is held until the commit."""
    strangers = {recipient["authority"] for recipient in payload["recipients"]} - found.thing.parties
    if strangers:
        raise StatementRefused(f"recipients {', '.join(sorted(strangers))} are no parties of this exchange")
    for recipient in payload["recipients"]:
        registry = ledger.registry(session, recipient["authority"])
        for key_id in recipient["keys"]:
            _check_key(registry, key_id, payload["sealing"])
    return sum(len(recipient["keys"]) for recipient in payload["recipients"])


def _check_key(registry: Registry, key_id: str, sealing: str) -> None:
    key = registry.key(key_id, at=FOREVER)
    if key is None or key.use != "encryption" or key.alg != sealing:
        raise StatementRefused(
            f"{key_id} is no live {sealing} key of {registry.authority}", hint="fetch its registry and seal anew"
        )


def _check_headers(
    session: Session, found: InPackage, payload: dict[str, Any], items: Sequence[dict[str, Any]], count: int
) -> None:
    authority = payload["signer"]["authority"]
    query = select(PutHeader).where(PutHeader.package_id == found.row.id, PutHeader.authority == authority)
    there = {row.sha256: row for row in session.scalars(query)}
    for item in items:
        header = item["header"]
        row = there.get(header["sha256"])
        if row is None:
            raise ManifestMismatch(f"header {header['sha256']} of item {item['id']} was not put by {authority}")
        shape = (row.size, row.sealing, row.stanzas)
        said = (header["size"], payload["sealing"], count)
        if shape != said:
            raise ManifestMismatch(
                f"header of item {item['id']} has size, kind and number of stanzas {shape}, expected {said}"
            )


def _until(payload: dict[str, Any]) -> Any:
    try:
        return from_time(payload["until"]) if "until" in payload else None
    except CustodyError as error:
        raise StatementRefused(f"until: {error}") from error


def grant_of(session: Session, package: str, statement_id: str) -> Grant:
    """A grant of a package.

    Raises:
        NotFound: There is none of that id.
    """
    row = session.get(Grant, statement_id)
    if row is None or row.package_id != package:
        raise NotFound(f"no manifest or grant {statement_id} in this package")
    return row
