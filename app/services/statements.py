"""Admitting what a party signed: everything that is checked of a statement before anything changes.

`admit` runs inside the transaction that will append the entry, with the signer's registry held, so that a revocation
cannot come between the check and the fact. A statement that stands in the log already is no error: whoever lodges it
again gets the record it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import Caller
from app.db import ledger
from app.db.log_models import LedgerRow
from app.db.log_reader import root_of
from app.errors import ClockSkew, StatementRefused
from app.services.runtime import Runtime
from custody import entry as entries
from custody import events, statement
from custody.entry import Entry
from custody.errors import CustodyError
from custody.registry import FOREVER
from custody.statement import Statement
from custody.text import from_time, to_time

MAX_SKEW: Final = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Lodge:
    """The command behind every act: an envelope, who brings it, and when.

    Attributes:
        envelope: The exact envelope bytes, as text.
        caller: The authenticated principal.
        at: When the service took it.
    """

    envelope: str
    caller: Caller
    at: datetime


@dataclass(frozen=True)
class Admitted:
    """A statement that may stand in the log, or stands there already.

    Attributes:
        statement: Checked in every respect but what its event demands of the state.
        event: The event it causes.
        earlier: The entry it has, if it was lodged before.
    """

    statement: Statement
    event: str
    earlier: Entry | None

    @property
    def payload(self) -> dict[str, Any]:
        """What the party said."""
        return self.statement.payload

    @property
    def detail(self) -> dict[str, Any]:
        """The detail of an act; empty where there is none."""
        found: dict[str, Any] = self.payload.get("detail", {})
        return found


def read(envelope: str) -> Statement:
    """The statement in an envelope; nothing of it is verified.

    Raises:
        StatementRefused: It cannot be understood.
    """
    try:
        return statement.parse(envelope.encode())
    except (CustodyError, UnicodeEncodeError) as error:
        raise StatementRefused(f"the envelope cannot be read: {error}") from error


def admit(session: Session, runtime: Runtime, command: Lodge, *, event: str, chain: str) -> Admitted:
    """Check a principal's statement for one event of one chain.

    Raises:
        StatementRefused: It says another thing than the request, is not the caller's, or is not signed as it must be.
        ClockSkew: Its time is more than ten minutes off.
    """
    said = read(command.envelope)
    caller = command.caller
    signer = (said.authority, said.principal)
    if signer != (caller.authority, caller.principal):
        raise StatementRefused(f"the statement is signed by {signer[1]} of {signer[0]}, the token is another's")
    return _admit(session, runtime, said, event=event, chain=chain, at=command.at)


def admit_authority(
    session: Session, runtime: Runtime, said: Statement, *, event: str, chain: str, at: datetime
) -> Admitted:
    """Check what an authority says with its own key, of its registry; `ledger.append` verifies the signatures.

    Raises:
        StatementRefused: It says another thing than the request.
        ClockSkew: Its time is more than ten minutes off.
    """
    return _admit(session, runtime, said, event=event, chain=chain, at=at, signatures=False)


def append(
    session: Session,
    runtime: Runtime,
    said: Admitted,
    *,
    at: datetime,
    subject: Mapping[str, str] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Entry:
    """The entry of an admitted statement, in the chain that it names."""
    return ledger.append(
        session,
        chain=said.payload["chain"],
        event=said.event,
        at=at,
        origin=runtime.origin,
        statement=said.statement,
        subject=subject,
        noted=noted,
    )


def _admit(
    session: Session,
    runtime: Runtime,
    said: Statement,
    *,
    event: str,
    chain: str,
    at: datetime,
    signatures: bool = True,
) -> Admitted:
    _check_place(runtime, said, event=event, chain=chain)
    try:
        events.check_detail(event, events.lookup(event), said.payload)
    except CustodyError as error:
        raise StatementRefused(f"the statement does not fit {event}: {error}") from error
    ledger.hold(session, _concerned(said))
    earlier = _earlier(session, said, event)
    if earlier is not None:
        return Admitted(said, event, earlier)
    _check_time(said, at)
    _check_seen(session, said)
    if signatures:
        _check_signatures(session, said, event)
    return Admitted(said, event, None)


def _concerned(said: Statement) -> set[str]:
    """The authorities whose registries decide about a statement: its signer's, and those of whom it lets in."""
    payload = said.payload
    detail, recipients = payload.get("detail", {}), payload.get("recipients", ())
    named = {str(recipient["authority"]) for recipient in recipients}
    subject = payload.get("subject", {}).get("authority", said.authority)
    return {said.authority, subject, *named, *detail.get("parties", ()), *detail.get("auditors", ())}


def _earlier(session: Session, said: Statement, event: str) -> Entry | None:
    body = session.scalar(select(LedgerRow.body).where(LedgerRow.statement_id == said.id))
    if body is None:
        return None
    entry = entries.parse(body)
    if entry.event != event:
        raise StatementRefused(f"the statement stands in the log under {entry.event}, this request is {event}")
    return entry


def _check_place(runtime: Runtime, said: Statement, *, event: str, chain: str) -> None:
    payload, row = said.payload, events.lookup(event)
    if said.kind != row.kind:
        raise StatementRefused(f"the statement is of kind {said.kind}, {event} needs {row.kind}")
    if said.kind == "act" and payload["event"] != event:
        raise StatementRefused(f"the act says {payload['event']}, this request is {event}")
    if payload["log"] != runtime.origin:
        raise StatementRefused(f"the statement is made for log {payload['log']}, this one is {runtime.origin}")
    if payload["chain"] != chain:
        raise StatementRefused("the statement is made for another chain than the one it is lodged in")


def _check_time(said: Statement, at: datetime) -> None:
    try:
        made = from_time(said.payload["time"])
    except CustodyError as error:
        raise StatementRefused(f"the statement's time: {error}") from error
    if abs(made - at) > MAX_SKEW:
        raise ClockSkew(
            f"the statement says {to_time(made)}, here it is {to_time(at)}, expected at most ten minutes between them",
            hint="set the clock of the signing machine and sign anew",
        )


def _check_seen(session: Session, said: Statement) -> None:
    seen = said.payload.get("seen")
    if seen is None:
        return
    root = root_of(session, seen["size"])
    if root is None or root.hex() != seen["root"]:
        raise StatementRefused(
            f"the signer has seen a checkpoint of size {seen['size']} that this log has not signed",
            hint="keep that checkpoint: with this service's own of the same size it may prove a split view",
        )


def _check_signatures(session: Session, said: Statement, event: str) -> None:
    try:
        for key in ledger.registry(session, said.authority).signers(said, event=event, at=FOREVER):
            said.verify(key)
    except CustodyError as error:
        raise StatementRefused(f"the signature does not hold: {error}", hint=_hint(error)) from error


def _hint(error: CustodyError) -> str:
    if error.code == "signer-not-entitled":
        return "the key, its holder or the role may have been ended in the authority's registry"
    return ""
