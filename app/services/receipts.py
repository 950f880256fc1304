"""Receipts: the recipient's signed verdict on a package, one ever."""

from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Outcome, Receipt, StatementRow
from app.db.unit_of_work import retried
from app.errors import AlreadyAnswered, StateConflict, StatementRefused
from app.services import access, packages, statements
from app.services.access import InPackage
from app.services.packages import On
from app.services.records import Lodged, await_record
from app.services.runtime import Runtime
from custody import statement


@retried
def sign(command: On, runtime: Runtime) -> Lodged:
    """Close a delivered package with the recipient's verdict, or change nothing.

    Raises:
        AlreadyAnswered: This authority has signed a receipt.
        StatementRefused: It names another sealing, or accepts other digests than the manifest's, or gives no reason.
        StateConflict: The package is not sealed yet.
    """
    with runtime.acting() as uow:
        session, authority = uow.session, command.caller.authority
        found = access.package(session, command.package, command.caller, "receipt.sign", lock=True)
        said = statements.admit(session, runtime, command, event="receipt.signed", chain=found.chain)
        entry = said.earlier
        if entry is None:
            access.open_for(found.exchange, "receipt.signed")
            if session.get(Receipt, (found.row.id, authority)) is not None:
                raise AlreadyAnswered(f"{authority} has answered this package before")
            _check(session, found, said.payload)
            entry = packages.append(session, runtime, said, command)
            session.add(
                Receipt(
                    package_id=found.row.id,
                    authority=authority,
                    statement_id=said.statement.id,
                    outcome=Outcome(said.payload["outcome"]),
                )
            )
            uow.commit()
    return await_record(runtime, entry, fresh=said.earlier is None)


def _check(session: Session, found: InPackage, payload: dict[str, Any]) -> None:
    row = found.row
    if row.manifest_id is None:
        raise StateConflict("the package is not sealed yet")
    if (payload["manifest"], payload["sealed"]) != (row.manifest_id, row.sealed_hash):
        raise StatementRefused("the receipt names another manifest or another sealing of this package")
    manifest = statement.parse(session.get_one(StatementRow, row.manifest_id).envelope).payload
    wanted = {item["id"]: (item["sha256"], item["blake3"]) for item in [*manifest["items"], manifest["inventory"]]}
    found_digests = {item["id"]: (item["sha256"], item["blake3"]) for item in payload["items"]}
    if payload["outcome"] == "accepted" and found_digests != wanted:
        raise StatementRefused("the receipt accepts other items or digests than the manifest's")
    if payload["outcome"] == "rejected" and "reason" not in payload:
        raise StatementRefused("the receipt rejects without a reason")
