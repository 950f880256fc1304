"""Events in plain words, for lists, timelines and the custody sheet.

The words say who speaks: a party's act reads as something done, what the service alone noted reads "noted: …".
They claim nothing beyond the entry; only a verification says whether it may be believed.
"""

from collections.abc import Mapping
from typing import Any, Final

EVENTS: Final[Mapping[str, str]] = {
    "exchange.opened": "opened the exchange",
    "exchange.closed": "closed the exchange",
    "party.added": "added a party",
    "package.declared": "announced a package",
    "upload.completed": "noted: an item arrived whole",
    "upload.aborted": "noted: an upload ended unfinished",
    "package.sealed": "sealed the package with its manifest",
    "package.withdrawn": "withdrew the package",
    "grant.added": "granted access to further recipients",
    "grant.destroyed": "had headers destroyed, so that they open nothing any more",
    "key.released": "asked for the keys of the package and was given them",
    "manifest.viewed": "noted: the manifest was viewed",
    "download.opened": "opened a download",
    "download.closed": "noted: a download ended",
    "receipt.signed": "signed the receipt",
    "conditions.accepted": "accepted the conditions",
    "fixity.checked": "noted: a stored body was read and agreed with its digests",
    "fixity.failed": "noted: a stored body did NOT agree with its digests",
    "hold.placed": "placed a legal hold",
    "hold.lifted": "lifted a legal hold",
    "retention.extended": "extended the retention",
    "package.transferred": "transferred the package onwards",
    "package.restricted": "restricted the use of the package",
    "package.recalled": "recalled the package",
    "package.destroyed": "declared the package destroyed or returned",
    "approval.given": "approved an act",
    "entry.erased": "noted: an entry was erased on order",
    "log.viewed": "noted: the log was viewed",
    "log.exported": "exported the log",
    "access.denied": "noted: access was denied",
    "authority.enrolled": "enrolled with its founding keys",
    "authority.changed": "changed which keys sign for it",
    "authority.suspended": "suspended itself",
    "authority.reinstated": "reinstated itself",
    "key.added": "added a key",
    "key.rotated": "replaced a key",
    "key.revoked": "revoked a key",
    "principal.enrolled": "enrolled a client or officer",
    "principal.suspended": "suspended a client or officer",
    "principal.reinstated": "reinstated a client or officer",
    "principal.revoked": "revoked a client or officer",
    "role.granted": "granted a role",
    "role.ended": "ended a role",
    "log.started": "noted: the log began",
    "log.succeeded": "noted: the log ended and another goes on",
    "witness.added": "noted: a co-signing authority was added",
    "witness.removed": "noted: a co-signing authority was removed",
    "policy.changed": "noted: a policy was changed",
    "law.activated": "noted: a rule pack was activated",
    "incident.noted": "noted: an incident",
}


def in_words(event: str) -> str:
    """What an event says; its own name where this version has no words for it."""
    return EVENTS.get(event, event)


def addition(event: str, payload: Mapping[str, Any], noted: Mapping[str, Any]) -> str:
    """The few facts of an entry that belong beside its words; empty where there are none."""
    detail = payload.get("detail", {})
    match event:
        case "exchange.opened":
            return "between " + ", ".join(detail.get("parties", []))
        case "package.declared":
            return "for " + ", ".join(detail.get("recipients", []))
        case "package.sealed" | "grant.added":
            names = ", ".join(row["authority"] for row in payload.get("recipients", []))
            items = len(payload.get("items", ()))
            return f"{items} item{'' if items == 1 else 's'}, for {names}"
        case "receipt.signed":
            reason = f", reason {payload['reason']}" if "reason" in payload else ""
            return f"{payload.get('outcome', '')}{reason}"
        case "upload.completed":
            return f"{noted.get('size')} bytes"
        case "download.closed":
            return f"{noted.get('bytes')} bytes went out"
        case "log.exported":
            return str(detail.get("form", ""))
        case "role.granted" | "role.ended":
            return str(detail.get("role", ""))
        case "access.denied":
            return str(noted.get("action", ""))
    return str(payload.get("reason") or detail.get("reason") or payload.get("purpose") or "")
