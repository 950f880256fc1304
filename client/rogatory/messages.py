"""Events in plain words, for lists, timelines and the custody sheet.

The words say who speaks: a party's act reads as something done, what the service alone noted reads "noted: …".
They claim nothing beyond the entry; only a verification says whether it may be believed.
"""

from collections.abc import Mapping
from typing import Any

from custody.words import DEFAULT, catalogue, text


def in_words(event: str, language: str = DEFAULT) -> str:
    """What an event says; its own name where this version has no words for it."""
    return catalogue(language).get(f"event.{event}", event)


def addition(event: str, payload: Mapping[str, Any], noted: Mapping[str, Any], language: str = DEFAULT) -> str:
    """The few facts of an entry that belong beside its words; empty where there are none."""
    detail = payload.get("detail", {})
    match event:
        case "exchange.opened":
            return text(language, "fact.between", names=detail.get("parties", []))
        case "package.declared":
            return text(language, "fact.for", names=detail.get("recipients", []))
        case "package.sealed" | "grant.added":
            names = [row["authority"] for row in payload.get("recipients", [])]
            return text(language, "fact.items-for", count=len(payload.get("items", ())), names=names)
        case "receipt.signed":
            return outcome(payload, language)
        case "upload.completed":
            return text(language, "fact.bytes", count=noted.get("size"))
        case "download.closed":
            return text(language, "fact.bytes-out", count=noted.get("bytes"))
        case "log.exported":
            return str(detail.get("form", ""))
        case "role.granted" | "role.ended":
            return role(str(detail.get("role", "")), language)
        case "access.denied":
            return str(noted.get("action", ""))
    return str(payload.get("reason") or detail.get("reason") or payload.get("purpose") or "")


def outcome(payload: Mapping[str, Any], language: str = DEFAULT) -> str:
    """What a receipt says, with its reason where it gives one."""
    found = str(payload.get("outcome", ""))
    said = catalogue(language).get(f"outcome.{found}", found)
    return text(language, "fact.reason", outcome=said, reason=payload["reason"]) if "reason" in payload else said


def role(name: str, language: str = DEFAULT) -> str:
    """A role of a client or officer."""
    return catalogue(language).get(f"sheet.role-{name}", name)
