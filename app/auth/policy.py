"""Who may do what: one table, and one pure question asked of it.

`may` knows no database and no HTTP. A caller stands in relations to a thing (party to its exchange, sender,
recipient, …); each action names the relations and the roles that allow it. Whoever stands in no relation at all must
not learn that the thing exists: `HIDDEN`, which looks the same as absent. Whatever is not in the table is refused.
The reader may conclude only that the service lets the act be tried: what is said in it needs a signature besides,
by a key and a role that the registry knows (`custody.registry.Registry.signers`).
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

WORKING: Final = frozenset({"approver", "receiver", "requester", "sender", "validator"})
"""Roles of those who handle the matter itself; auditors see logs only."""

AUDITOR: Final = "auditor"


class Decision(Enum):
    """What becomes of an attempt."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """The caller may know of the thing, and may not do this."""
    HIDDEN = "hidden"
    """For this caller there is no such thing."""


class Kind(StrEnum):
    """What sort of thing is acted on; each has its own relations."""

    SERVICE = "service"
    EXCHANGE = "exchange"
    PACKAGE = "package"
    HANDLE = "handle"


@dataclass(frozen=True)
class Caller:
    """An authenticated principal, as its registry stands now.

    Attributes:
        authority: Its authority.
        principal: Its id.
        roles: Those it holds now, not those its token was issued with.
        address: Where the request came from, for the record; decides nothing.
    """

    authority: str
    principal: str
    roles: frozenset[str]
    address: str = ""

    def signer(self) -> dict[str, str]:
        """As entries name it."""
        return {"authority": self.authority, "principal": self.principal}

    def noted(self) -> dict[str, str]:
        """What the service notes of where a request came from."""
        return {"address": self.address} if self.address else {}


@dataclass(frozen=True)
class Thing:
    """What is acted on, as far as the decision needs it.

    Attributes:
        kind: Which relations it has.
        parties: Authorities that are parties to the exchange.
        auditors: Authorities that were granted its log.
        sender: Authority that declared the package.
        recipients: Authorities that a manifest or grant names; before the seal, those declared.
        holder: Authority that opened the handle.
    """

    kind: Kind = Kind.SERVICE
    parties: frozenset[str] = field(default=frozenset())
    auditors: frozenset[str] = field(default=frozenset())
    sender: str = ""
    recipients: frozenset[str] = field(default=frozenset())
    holder: str = ""


THE_SERVICE: Final = Thing()


@dataclass(frozen=True)
class Rule:
    """An action is allowed to callers who stand in one of the relations and hold one of the roles."""

    relations: frozenset[str]
    roles: frozenset[str]


def _rule(relations: str, roles: str = "") -> Rule:
    return Rule(frozenset(relations.split()), frozenset(roles.split()) or WORKING | {AUDITOR})


RULES: Final[dict[str, Rule]] = {
    "authority.list": _rule("anyone"),
    "registry.see": _rule("anyone"),
    "exchange.open": _rule("anyone", "requester sender"),
    "exchange.list": _rule("anyone"),
    "exchange.see": _rule("party auditor"),
    "party.add": _rule("party", "approver requester sender"),
    "exchange.close": _rule("party", "approver requester sender"),
    "log.view": _rule("party auditor"),
    "log.export": _rule("party auditor"),
    "package.declare": _rule("party", "sender"),
    "package.list": _rule("anyone"),
    "package.see": _rule("party"),
    "parts.see": _rule("party"),
    "manifest.view": _rule("party"),
    "header.put": _rule("sender recipient", "approver receiver sender"),
    "upload.create": _rule("sender", "sender"),
    "upload.see": _rule("sender", "sender"),
    "upload.send": _rule("sender", "sender"),
    "upload.terminate": _rule("sender", "sender"),
    "package.seal": _rule("sender", "sender"),
    "package.withdraw": _rule("sender", "sender"),
    "grant.add": _rule("sender recipient", "approver receiver sender"),
    "conditions.accept": _rule("recipient", "approver receiver"),
    "key.release": _rule("recipient", "receiver"),
    "download.open": _rule("sender recipient", "receiver sender"),
    "download.read": _rule("holder", "receiver sender"),
    "download.close": _rule("holder", "receiver sender"),
    "receipt.sign": _rule("recipient", "receiver"),
}


def may(caller: Caller, action: str, thing: Thing) -> Decision:
    """Decide; an action without a row, and a caller without a relation, are refused."""
    relations = relations_of(caller, thing)
    if not relations:
        return Decision.HIDDEN
    rule = RULES.get(action)
    if rule is None or not rule.relations & relations or not rule.roles & caller.roles:
        return Decision.DENIED
    return Decision.ALLOWED


def relations_of(caller: Caller, thing: Thing) -> frozenset[str]:
    """How a caller stands to a thing; none means that it must not know of it. Without a role one stands nowhere."""
    mine = caller.authority
    works, audits = bool(caller.roles & WORKING), AUDITOR in caller.roles
    found: set[str] = set()
    match thing.kind:
        case Kind.SERVICE if works or audits:
            found.add("anyone")
        case Kind.EXCHANGE:
            if works and mine in thing.parties:
                found.add("party")
            if audits and mine in thing.parties | thing.auditors:
                found.add("auditor")
        case Kind.PACKAGE if works and mine in thing.parties:
            found.add("party")
            if mine == thing.sender:
                found.add("sender")
            if mine in thing.recipients:
                found.add("recipient")
        case Kind.HANDLE if works and mine == thing.holder:
            found.add("holder")
    return frozenset(found)
