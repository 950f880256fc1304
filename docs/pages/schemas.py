"""docs/spec/schemas: the closed schemas of custody as JSON Schema, draft 2020-12.

A schema cannot say everything: order of arrays, canonical spelling, limits of bytes and what members mean to each
other stand in the pages of the specification. What it does say must be what `custody` says.
"""

import json
from typing import Any

from custody import packing, report, trust
from custody.entry_schema import ENTRY
from custody.events import EVENTS, Event
from custody.fileproof import FILE_PROOF
from custody.inventory import HEAD, LINE
from custody.kinds import KINDS, PAYLOAD_TYPE
from custody.leaf import SERVICE
from custody.renewal import RENEWAL
from custody.schema import Record

Rules = dict[str, Any]

_TEXTS = {
    "entry": "An entry. What its event demands stands under allOf; detail of acts stands in act.json.",
    "inventory-head": "Line 0 of an inventory.",
    "inventory-line": "Lines 1 to count of an inventory.",
    "bundle": "bundle.json, the packing list of a bundle.",
    "tail": "tail.json: labels and path that prove that nothing follows.",
    "leaf": "A line of leaves.jsonl.",
    "headers-line": "A line of headers.jsonl.",
    "parts-line": "A line of parts.jsonl.",
    "file-proof": "The proof of one file out of an inventory.",
    "renewal": "renewal/<n>.json: the files of a bundle, to be stamped anew.",
    "trust": "A trust file.",
    "report": "A report, the JSON twin of what a verifier prints.",
}
RECORDS: dict[str, Record] = {
    "inventory-head": HEAD,
    "inventory-line": LINE,
    "bundle": packing.PACKING,
    "tail": packing.TAIL,
    "leaf": packing.LEAF,
    "headers-line": packing.HEADER_LINE,
    "parts-line": packing.PARTS_LINE,
    "file-proof": FILE_PROOF,
    "renewal": RENEWAL,
    "trust": trust.TRUST,
    "report": report.REPORT,
}


def files() -> dict[str, str]:
    """File name → its bytes as text; one schema a file."""
    found = {"entry": _entry(), "envelope": _envelope()}
    found |= {name: record.json_schema() for name, record in RECORDS.items()}
    found |= {kind: _statement(kind, record) for kind, record in KINDS.items()}
    return {f"{name}.json": _text(name, rules) for name, rules in found.items()}


def _text(name: str, rules: Rules) -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rogatory:schema:v1:{name}",
        "title": name,
        "description": _TEXTS.get(name) or rules.pop("description", f"Payload of a statement of kind {name}."),
    }
    return json.dumps(head | rules, indent=2, ensure_ascii=False) + "\n"


def _entry() -> Rules:
    rules = ENTRY.json_schema()
    rules["allOf"] = [_when(name, _entry_rules(event)) for name, event in EVENTS.items()]
    rules["$defs"] = {f"noted.{name}": event.noted.json_schema() for name, event in EVENTS.items() if event.noted}
    return rules


def _entry_rules(event: Event) -> Rules:
    name = next(name for name, row in EVENTS.items() if row is event)
    needed = ["subject"] if event.subject else []
    members: Rules = {"subject": _subject(event)}
    if event.kind is None:
        members |= {"statement": False, "actor": {"properties": {"authority": {"const": SERVICE}}, "maxProperties": 1}}
    else:
        members["actor"] = {"properties": {"authority": {"not": {"const": SERVICE}}}}
        needed.append("statement")
    members["noted"] = {"$ref": f"#/$defs/noted.{name}"} if event.noted else False
    if event.noted_required:
        needed.append("noted")
    return {"properties": members} | ({"required": needed} if needed else {})


def _subject(event: Event) -> Rules:
    allowed = sorted(event.subject | event.may_name)
    rules: Rules = {"propertyNames": {"enum": allowed}} if allowed else {"maxProperties": 0}
    return rules | ({"required": sorted(event.subject)} if event.subject else {})


def _statement(kind: str, record: Record) -> Rules:
    rules = record.json_schema()
    rules["properties"]["kind"] = {"const": kind}
    if kind == "act":
        acts = {name: event for name, event in EVENTS.items() if event.kind == "act"}
        rules["allOf"] = [_when(name, _act_rules(name, event)) for name, event in acts.items()]
        rules["$defs"] = {f"detail.{name}": event.detail.json_schema() for name, event in acts.items() if event.detail}
        rules["description"] = "Payload of an act. What its event demands stands under allOf."
    return rules


def _act_rules(name: str, event: Event) -> Rules:
    rules: Rules = {"properties": {"subject": _subject(event), "detail": False}}
    needed = ["subject"] if event.subject else []
    if event.detail is not None:
        rules["properties"]["detail"] = {"$ref": f"#/$defs/detail.{name}"}
        needed += [] if event.detail_optional else ["detail"]
    return rules | ({"required": needed} if needed else {})


def _when(event: str, rules: Rules) -> Rules:
    return {"if": {"properties": {"event": {"const": event}}}, "then": rules}


def _envelope() -> Rules:
    base64 = {"type": "string", "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}
    signature = {
        "type": "object",
        "properties": {"keyid": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "sig": base64},
        "required": ["keyid", "sig"],
        "additionalProperties": False,
    }
    return {
        "description": "The DSSE envelope of a statement; signatures ascend by keyid.",
        "type": "object",
        "properties": {
            "payload": base64,
            "payloadType": {"enum": [PAYLOAD_TYPE.format(kind) for kind in KINDS]},
            "signatures": {"type": "array", "items": signature, "minItems": 1, "maxItems": 4},
        },
        "required": ["payload", "payloadType", "signatures"],
        "additionalProperties": False,
    }
