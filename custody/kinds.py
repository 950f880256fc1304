"""The kinds of statement and the closed schema of each payload.

A kind that asks and a kind that answers are never the same, so no statement can stand in another's place.
Specification: docs/spec/statements.md.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from custody.errors import UnsupportedError
from custody.schema import (
    AUTHORITY_ID,
    CODE,
    HASH,
    ID,
    NONCE,
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

MAX_ITEMS: Final = 10_000
MAX_KEYS: Final = 256
ROLES: Final = ("approver", "auditor", "receiver", "requester", "sender", "validator")

SIGNER = Record({"authority": AUTHORITY_ID}, {"principal": ID})
SEEN = Record({"root": HASH, "size": Whole(1)})
SUBJECT = Record(
    {},
    {
        "authority": AUTHORITY_ID,
        "item": ID,
        "key": HASH,
        "package": ID,
        "principal": ID,
        "request": ID,
        "statement": HASH,
    },
)
LEGAL = Record(
    {"instrument": CODE}, {"article": Text(r"[A-Za-z0-9()., /-]{1,64}", longest=64), "reference_sha256": HASH}
)
CONDITION = Record({"code": CODE, "text_sha256": HASH})
CONDITIONS = ListOf(CONDITION, least=1, most=64, ordered=("code",))
HEADER = Record({"sha256": HASH, "size": Whole(1, 512 * 1024)})
PART_SIZE = OneOf(*(2**power for power in range(24, 33)))
SEALING = OneOf("mlkem768x25519", "x25519")
RECIPIENTS = ListOf(
    Record({"authority": AUTHORITY_ID, "keys": ListOf(HASH, least=1, most=MAX_KEYS, ordered=True)}),
    least=1,
    most=64,
    ordered=("authority",),
)
KEY = Record(
    {
        "alg": OneOf("ed25519", "es256", "ml-dsa-65", "mlkem768x25519", "x25519"),
        "holder": Text(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?", longest=64),
        "id": HASH,
        "public": Text(r"[A-Za-z0-9+/=]+", longest=4096),
        "use": OneOf("authority", "encryption", "login", "recovery", "statement"),
    }
)
SIGN_WITH = ListOf(OneOf("ed25519", "ml-dsa-65"), least=1, most=2, ordered=True)
SEALED_ITEM = Record(
    {
        "blake3": HASH,
        "header": HEADER,
        "id": ID,
        "key_commitment": HASH,
        "part_size": PART_SIZE,
        "parts": HASH,
        "sha256": HASH,
        "size": Whole(32),
    },
    {"category": CODE},
)

COMMON = Record(
    {
        "chain": HASH,
        "kind": CODE,
        "log": ORIGIN,
        "nonce": NONCE,
        "signer": SIGNER,
        "time": TIME,
        "v": OneOf(1),
    },
    {"seen": SEEN},
)


class _Detail:
    """The `detail` of an act: an object whose own schema the event table gives."""

    spelling = None

    def check(self, value: Any) -> None:
        if type(value) is not dict or not value:
            raise SchemaMismatch("detail is empty or no object, expected it absent or with members")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "minProperties": 1}


_PRINCIPAL = Record(
    {
        "id": ID,
        "roles": ListOf(OneOf(*ROLES), least=1, most=len(ROLES), ordered=True),
        "type": OneOf("client", "officer"),
    }
)
_RECEIVED_ITEM = Record({"blake3": HASH, "id": ID, "plaintext": OneOf("checked", "not_checked"), "sha256": HASH})
_REQUEST_BODY: dict[str, Schema] = {"instrument": CODE, "request": ID, "type": CODE}
_REASON: dict[str, Schema] = {"reason": CODE}

KINDS: Final[dict[str, Record]] = {
    "act": COMMON.extended(
        {"event": CODE},
        {"detail": _Detail(), "legal": LEGAL, "on_behalf_of": AUTHORITY_ID, "purpose": CODE, "subject": SUBJECT},
    ),
    "manifest": COMMON.extended(
        {
            "handling": CODE,
            "inventory": SEALED_ITEM,
            "inventory_commitment": HASH,
            "items": ListOf(SEALED_ITEM, least=1, most=MAX_ITEMS, ordered=("id",)),
            "package": ID,
            "recipients": RECIPIENTS,
            "retain_until": TIME,
            "sealing": SEALING,
        },
        {"conditions": CONDITIONS, "legal": LEGAL, "request": ID},
    ),
    "withdrawal": COMMON.extended({"manifest": HASH, **_REASON}),
    "grant": COMMON.extended(
        {
            "items": ListOf(Record({"header": HEADER, "id": ID}), least=1, most=MAX_ITEMS + 1, ordered=("id",)),
            "manifest": HASH,
            "recipients": RECIPIENTS,
            "sealing": SEALING,
        },
        {"conditions": CONDITIONS, "until": TIME},
    ),
    "receipt": COMMON.extended(
        {
            "items": ListOf(_RECEIVED_ITEM, most=MAX_ITEMS + 1, ordered=("id",)),
            "manifest": HASH,
            "outcome": OneOf("accepted", "rejected"),
            "sealed": HASH,
        },
        {"reason": CODE},
    ),
    "request": COMMON.extended({**_REQUEST_BODY, "content_sha256": HASH}, {"legal": LEGAL, "until": TIME}),
    "answer": COMMON.extended({"outcome": CODE, "request": ID}, {"ground": CODE, "content_sha256": HASH}),
    "acceptance": COMMON.extended({"conditions": CONDITIONS, "statement": HASH}),
    "approval": COMMON.extended({"act": HASH, "expires": TIME}),
    "hold": COMMON.extended(
        {"hold": ID, "package": ID, "state": OneOf("lifted", "placed"), **_REASON}, {"until": TIME}
    ),
    "restriction": COMMON.extended({"measure": OneOf("recall", "restrict"), "package": ID, **_REASON}),
    "destruction": COMMON.extended({"answers": HASH, "package": ID, "outcome": OneOf("destroyed", "returned")}),
    "transfer": COMMON.extended({"package": ID, "to": AUTHORITY_ID, "to_chain_sha256": HASH}, {"manifest": HASH}),
    "enrolment": COMMON.extended(
        {"keys": ListOf(KEY, least=1, most=8, ordered=("id",))},
        {
            "country": Text(r"[A-Z]{2}", longest=2),
            "name": Text(longest=200),
            "principal": _PRINCIPAL,
            "recovery": HASH,
            "sign_with": SIGN_WITH,
        },
    ),
    "key": COMMON.extended(
        {"action": OneOf("add", "revoke", "rotate")},
        {"key": KEY, "reason": CODE, "replaces": HASH, "revokes": HASH},
    ),
}

_ACT = Record({**KINDS["act"].required, "kind": OneOf("act")}, KINDS["act"].optional).spelling
assert _ACT is not None
act_spelled: Final = re.compile(_ACT.encode()).fullmatch
"""Match of canonical bytes that `check_payload` takes as an act, for the hot path; not every act matches."""

_KEY_FORMS: Final = {
    "add": frozenset({"key"}),
    "revoke": frozenset({"revokes"}),
    "rotate": frozenset({"key", "replaces"}),
}
_ENROLMENT_FORMS: Final = {
    "name": frozenset({"name", "country", "sign_with", "recovery"}),
    "principal": frozenset({"principal"}),
}

PAYLOAD_TYPE = "application/vnd.rogatory.{}.v1+json"
_TYPES = {PAYLOAD_TYPE.format(kind): kind for kind in KINDS}


class UnknownKind(UnsupportedError):
    """A payload type that this version does not know."""

    code = "unknown-kind"


class UnknownVersion(UnknownKind):
    """A payload of a known kind in a version that this code does not know."""

    code = "unknown-version"


def kind_of(payload_type: str) -> str:
    """The kind that a payload type names.

    Raises:
        UnknownKind: Any other type, of another version or another maker.
    """
    try:
        return _TYPES[payload_type]
    except KeyError:
        raise UnknownKind(f"payload type {payload_type[:100]!r} is unknown to this version") from None


def check_payload(kind: str, payload: dict[str, Any]) -> None:
    """Hold a payload to the closed schema of its kind.

    Raises:
        UnknownVersion: The payload is of another version than 1.
        SchemaMismatch: A member is missing, unknown or of another shape, `kind` differs from the type, or the
            members are not those of an enrolment's or key statement's form.
    """
    if type(payload.get("v")) is int and payload["v"] != 1:
        raise UnknownVersion(f"statement of version {payload['v']}, this verifier knows 1")
    KINDS[kind].check(payload)
    if payload["kind"] != kind:
        raise SchemaMismatch(f"kind: found {payload['kind']!r} under the payload type of {kind!r}")
    if kind == "key":
        _check_form(payload, _KEY_FORMS, frozenset({payload["action"]}))
    elif kind == "enrolment":
        _check_form(payload, _ENROLMENT_FORMS, frozenset(_ENROLMENT_FORMS.keys() & payload.keys()))


def _check_form(payload: Mapping[str, Any], forms: Mapping[str, frozenset[str]], chosen: frozenset[str]) -> None:
    """Of the members that only some form has, exactly those of the one chosen."""
    found = payload.keys() & frozenset().union(*forms.values())
    if len(chosen) != 1 or found != forms[next(iter(chosen))]:
        raise SchemaMismatch(f"members {' '.join(sorted(found)) or 'none'} do not make one form of {payload['kind']}")
