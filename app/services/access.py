"""Finding the thing a request is about, and asking the policy before anything else is looked at.

What the caller may not know of raises the same `NotFound` as what is not there.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.auth.policy import Caller, Decision, Kind, Thing, may
from app.db.models import Exchange, Grant, GrantRecipient, Package, PackageState, Part, Party, Recipient
from app.errors import NotEntitled, NotFound, StateConflict
from app.services.runtime import Denied
from custody import events


@dataclass(frozen=True)
class InExchange:
    """An exchange and who stands in it."""

    row: Exchange
    thing: Thing

    @property
    def chain(self) -> str:
        """Handle of its chain."""
        return self.row.handle


@dataclass(frozen=True)
class InPackage:
    """A package, its exchange, and who stands to it."""

    row: Package
    exchange: Exchange
    thing: Thing

    @property
    def chain(self) -> str:
        """Handle of the exchange's chain."""
        return self.exchange.handle


def absent() -> NotFound:
    """The one refusal for whatever is not there, or not for the caller."""
    return NotFound("there is no such thing, or it is not for you to see")


def exchange(session: Session, exchange_id: str, caller: Caller, action: str, *, lock: bool = False) -> InExchange:
    """An exchange on which the caller may act.

    Raises:
        NotFound: Absent, or not for the caller.
        Denied: The caller sees it, and may not do this.
    """
    query = select(Exchange).where(Exchange.id == exchange_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise absent()
    found = InExchange(row, exchange_thing(session, row.id))
    _decide(caller, action, found.thing, chain=row.handle, subject={})
    return found


def package(session: Session, package_id: str, caller: Caller, action: str, *, lock: bool = False) -> InPackage:
    """A package on which the caller may act.

    Raises:
        NotFound: Absent, or not for the caller.
        Denied: The caller sees it, and may not do this.
    """
    query = select(Package).where(Package.id == package_id)
    if lock:  # whoever holds both takes the exchange first: it must not be closed meanwhile
        exchange_of = select(Exchange).join(Package, Package.exchange_id == Exchange.id)
        session.scalar(exchange_of.where(Package.id == package_id).with_for_update(of=Exchange))
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise absent()
    found = InPackage(row, session.get_one(Exchange, row.exchange_id), package_thing(session, row))
    _decide(caller, action, found.thing, chain=found.chain, subject={"package": row.id})
    return found


def service(caller: Caller, action: str, thing: Thing) -> None:
    """Ask whether a caller may do something that concerns no exchange, or a handle of its own.

    Raises:
        NotFound: Not for the caller to know of.
        NotEntitled: It lacks the role.
    """
    decision = may(caller, action, thing)
    if decision is Decision.HIDDEN:
        raise absent()
    if decision is Decision.DENIED:
        raise NotEntitled(f"{action} needs another role than {_roles(caller)}")


def open_for(row: Exchange, event: str) -> None:
    """Check that an event may still follow in an exchange.

    Raises:
        StateConflict: The exchange is closed and the event is none that may follow.
    """
    if row.closed and not events.lookup(event).after_close:
        raise StateConflict(f"the exchange is closed, {event} cannot follow")


def exchange_thing(session: Session, exchange_id: str) -> Thing:
    """Who stands in an exchange, as the policy asks it."""
    rows = session.execute(select(Party.authority, Party.part).where(Party.exchange_id == exchange_id)).all()
    return Thing(
        kind=Kind.EXCHANGE,
        parties=frozenset(row.authority for row in rows if row.part is Part.PARTY),
        auditors=frozenset(row.authority for row in rows if row.part is Part.AUDITOR),
    )


def package_thing(session: Session, row: Package) -> Thing:
    """Who stands how to a package: recipients are those declared until the seal, then those of its grants."""
    if row.state is PackageState.DECLARED:
        named = select(Recipient.authority).where(Recipient.package_id == row.id)
    else:
        named = (
            select(GrantRecipient.authority)
            .join(Grant, Grant.statement_id == GrantRecipient.grant_id)
            .where(Grant.package_id == row.id)
        )
    return Thing(
        kind=Kind.PACKAGE,
        parties=exchange_thing(session, row.exchange_id).parties,
        sender=row.sender,
        recipients=frozenset(session.scalars(named)),
    )


def _decide(caller: Caller, action: str, thing: Thing, *, chain: str, subject: dict[str, str]) -> None:
    decision = may(caller, action, thing)
    if decision is Decision.HIDDEN:
        raise absent()
    if decision is Decision.DENIED:
        noted: dict[str, object] = {"action": action, "by": caller.signer(), **caller.noted()}
        message = f"{action} is not open to {_roles(caller)} of {caller.authority} here"
        raise Denied(message, chain=chain, subject=subject, noted=noted)


def _roles(caller: Caller) -> str:
    return ", ".join(sorted(caller.roles)) or "a principal without roles"
