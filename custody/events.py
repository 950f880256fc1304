"""The closed vocabulary of events: for each its chain, its statement, its signer, its subject, its words.

One table answers four questions that a verifier asks of an entry: may this event stand in this kind of chain;
which kind of statement must it carry; who may have signed that; what may stand in `detail` (the party's word)
and in `noted` (the service's word). Events grow by change of the specification only: docs/spec/events.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from custody.errors import UnsupportedError
from custody.kinds import PART_SIZE, ROLES, SIGN_WITH, SIGNER
from custody.schema import (
    AUTHORITY_ID,
    CODE,
    HASH,
    ID,
    ORIGIN,
    TIME,
    ListOf,
    OneOf,
    Record,
    Schema,
    SchemaMismatch,
    Text,
    Whole,
)

AUTHORITY_KEY: Final = "authority"
"""Stands in `roles` for the authority's own key, or its recovery key."""

_ADDRESS = Text(r"[0-9a-f.:\[\]]{2,64}", longest=64, spelled=r"[0-9a-f.:\[\]]{2,64}")
_BYTES = Whole()
_PARTIES = ListOf(AUTHORITY_ID, least=1, most=64, ordered=True)
_WHO: dict[str, Schema] = {"by": SIGNER}
_FROM: dict[str, Schema] = {"address": _ADDRESS}


@dataclass(frozen=True)
class Event:
    """What an entry with this event must look like.

    Attributes:
        chain: `exchange`, `registry`, `service`, or `any`.
        kind: Kind of the statement it carries; None where the service speaks alone.
        roles: Roles of the principals that may sign; AUTHORITY_KEY for the authority's own key.
        subject: Members its subject must have, exactly, besides those in `may_name`.
        detail: Schema of an act's `detail`; None where it must be absent.
        noted: Schema of `noted`.
        after_close: Whether it may follow `exchange.closed`.
    """

    chain: str
    kind: str | None = None
    roles: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    may_name: frozenset[str] = frozenset()
    detail: Record | None = None
    detail_optional: bool = False
    noted: Record = field(default_factory=lambda: Record({}))
    noted_required: bool = False
    after_close: bool = False
    where: Mapping[str, Any] = field(default_factory=dict)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _act(roles: str, subject: str = "", detail: Record | None = None, **more: Any) -> Event:
    return _party("act", roles, subject, detail=detail, **more)


def _party(kind: str, roles: str, subject: str = "package", **more: Any) -> Event:
    noted: Mapping[str, Schema] = more.pop("noted", {})
    return Event(
        chain=more.pop("chain", "exchange"),
        kind=kind,
        roles=_names(roles),
        subject=_names(subject),
        may_name=_names(more.pop("may_name", "")),
        noted=Record({}, {**_FROM, **noted}),
        **more,
    )


def _service(
    subject: str, needed: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: Any
) -> Event:
    return Event(
        chain=more.pop("chain", "exchange"),
        subject=_names(subject),
        may_name=_names(more.pop("may_name", "")),
        noted=Record(needed, optional),
        noted_required=bool(needed),
        **more,
    )


def _registry(kind: str, subject: str, **more: Any) -> Event:
    return _party(kind, AUTHORITY_KEY, subject, chain="registry", **more)


_ROLE = Record({"role": OneOf(*ROLES)})
_WHY = Record({"reason": CODE})
_DIGESTS: dict[str, Schema] = {"blake3": HASH, "sha256": HASH, "size": _BYTES}
_CONTINUES = {"continues": Record({"hash": HASH, "origin": ORIGIN, "seq": Whole()})}
_EXCHANGE_OPENED = Record({"parties": ListOf(AUTHORITY_ID, least=2, most=64, ordered=True)}, {"auditors": _PARTIES})
_CHECKED = ListOf(OneOf("parts", "sha256", "size"), least=1, most=3, ordered=True)
_ANYONE = "approver auditor receiver requester sender validator"

EVENTS: Final[dict[str, Event]] = {
    # an exchange
    "exchange.opened": _act("requester sender", detail=_EXCHANGE_OPENED, noted=_CONTINUES),
    "exchange.closed": _act("approver requester sender", detail=_WHY, detail_optional=True),
    "party.added": _act("approver requester sender", "authority", Record({"as": OneOf("auditor", "party")})),
    "package.declared": _act("sender", "package", Record({"recipients": _PARTIES}, {"handling": CODE})),
    "upload.completed": _service("item package", {"part_size": PART_SIZE, "parts": HASH, "size": _BYTES}),
    "upload.aborted": _service("item package", {"reason": CODE, "received": _BYTES}),
    "package.sealed": _party("manifest", "sender", noted={"checked": _CHECKED}),
    "package.withdrawn": _party("withdrawal", "sender"),
    "grant.added": _party("grant", "approver receiver sender", after_close=True),
    "grant.destroyed": _act(
        "approver",
        "package",
        Record({"headers": ListOf(HASH, least=1, most=10_001, ordered=True), "order_sha256": HASH}),
        after_close=True,
    ),
    "key.released": _act(
        "receiver",
        "package",
        Record({"grant": HASH}, {"items": ListOf(ID, least=1, most=10_001, ordered=True)}),
        noted={"headers": Whole(1)},
        after_close=True,
    ),
    "manifest.viewed": _service("package", _WHO, _FROM, after_close=True),
    "download.opened": _act(
        "receiver sender",
        "package",
        may_name="item",
        noted={"via": OneOf("service", "store")},
        after_close=True,
    ),
    "download.closed": _service(
        "package",
        {"bytes": _BYTES, "opened": HASH, "outcome": OneOf("closed", "lapsed")},
        may_name="item",
        after_close=True,
    ),
    "receipt.signed": _party("receipt", "receiver"),
    "conditions.accepted": _party("acceptance", "approver receiver", after_close=True),
    "fixity.checked": _service("item package", _DIGESTS, after_close=True),
    "fixity.failed": _service("item package", {"reason": CODE}, {**_DIGESTS, "part": Whole(1)}, after_close=True),
    "hold.placed": _party("hold", "approver requester", where={"state": "placed"}, after_close=True),
    "hold.lifted": _party("hold", "approver requester", where={"state": "lifted"}, after_close=True),
    "retention.extended": _act("approver sender", "package", Record({"retain_until": TIME}), after_close=True),
    "package.transferred": _party("transfer", "approver receiver"),
    "package.restricted": _party("restriction", "approver sender", where={"measure": "restrict"}),
    "package.recalled": _party("restriction", "approver sender", where={"measure": "recall"}),
    "package.destroyed": _party("destruction", "approver receiver", after_close=True),
    "approval.given": _party("approval", "approver", "statement", after_close=True),
    "entry.erased": _service("", {"order_sha256": HASH, "seq": Whole()}, after_close=True),
    "log.viewed": _service("", {"entries": Whole(), **_WHO}, _FROM, after_close=True),
    "log.exported": _act(
        _ANYONE, detail=Record({"form": OneOf("bundle", "export")}, {"since": Whole()}), after_close=True
    ),
    # any chain: an attempt on an exchange stands in it, one by a stranger in the service's
    "access.denied": _service(
        "", {"action": CODE}, {**_WHO, **_FROM}, chain="any", may_name="package item", after_close=True
    ),
    # the registry of an authority
    "authority.enrolled": _registry("enrolment", "authority", noted=_CONTINUES),
    "authority.changed": _registry("act", "authority", detail=Record({"sign_with": SIGN_WITH})),
    "authority.suspended": _registry("act", "authority", detail=_WHY),
    "authority.reinstated": _registry("act", "authority", detail=_WHY),
    "key.added": _registry("key", "key", where={"action": "add"}),
    "key.rotated": _registry("key", "key", where={"action": "rotate"}),
    "key.revoked": _registry("key", "key", where={"action": "revoke"}),
    "principal.enrolled": _registry("enrolment", "principal"),
    "principal.suspended": _registry("act", "principal", detail=_WHY),
    "principal.reinstated": _registry("act", "principal", detail=_WHY),
    "principal.revoked": _registry("act", "principal", detail=_WHY),
    "role.granted": _registry("act", "principal", detail=_ROLE),
    "role.ended": _registry("act", "principal", detail=_ROLE),
    # the service
    "log.started": _service(
        "",
        {"keys": ListOf(Text(longest=4096), least=1, most=8)},
        {"predecessor": Record({"origin": ORIGIN, "root": HASH, "sha3_512": Text(r"[0-9a-f]{128}"), "size": Whole()})},
        chain="service",
    ),
    "log.succeeded": _service(
        "", {"origin": ORIGIN}, {"keys": ListOf(Text(longest=4096), least=1, most=8)}, chain="service"
    ),
    "witness.added": _service("", {"name": Text(longest=255), "vkey": Text(longest=4096)}, chain="service"),
    "witness.removed": _service("", {"name": Text(longest=255)}, chain="service"),
    "policy.changed": _service(
        "",
        {"what": CODE},
        {"fingerprint": HASH, "reason": CODE, "text_sha256": HASH},
        chain="service",
        may_name="authority principal",
    ),
    "law.activated": _service("", {"pack": CODE, "sha256": HASH, "version": CODE}, chain="service"),
    "incident.noted": _service(
        "", {"code": CODE}, {"text_sha256": HASH}, chain="service", may_name="package item authority"
    ),
}


class UnknownEvent(UnsupportedError):
    """An event outside the vocabulary of this version."""

    code = "unknown-event"


def lookup(name: str) -> Event:
    """The row of the table.

    Raises:
        UnknownEvent: No such event here; a newer version may know it.
    """
    try:
        return EVENTS[name]
    except KeyError:
        raise UnknownEvent(f"event {name[:100]!r} is unknown to this version") from None


def check_subject(name: str, event: Event, subject: Mapping[str, str]) -> None:
    """Hold a subject to its event.

    Raises:
        SchemaMismatch: A member too few or too many.
    """
    given = subject.keys()
    if not event.subject <= given or not given <= event.subject | event.may_name:
        expected = " ".join(sorted(event.subject)) or "none"
        raise SchemaMismatch(f"subject of {name} names {' '.join(sorted(given)) or 'none'}, expected {expected}")


def check_detail(name: str, event: Event, payload: Mapping[str, Any]) -> None:
    """Hold a statement's own members to the event it stands under.

    Raises:
        SchemaMismatch: An act's `detail` or a discriminating member (`action`, `state`, `measure`) does not fit.
    """
    for member, value in event.where.items():
        if payload.get(member) != value:
            raise SchemaMismatch(f"{member} is {payload.get(member)!r} under {name}, expected {value!r}")
    if event.kind != "act":
        return
    detail = payload.get("detail")
    if detail is None:
        if event.detail is not None and not event.detail_optional:
            raise SchemaMismatch(f"detail is missing, {name} needs it")
    elif event.detail is None:
        raise SchemaMismatch(f"detail is present, {name} has none")
    else:
        event.detail.check(detail)
