"""What an authority says in its registry: itself, its principals, their roles, its keys.

Each function makes a signed statement and sends nothing. The first enrolment goes to the operator as a file, who
compares the fingerprint and admits it; the rest is lodged by `Client.lodge_registry`. A statement must be lodged
within ten minutes of its time; a new key proves itself by signing the statement that names it.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from custody import leaf, statement
from custody.keys import KeyRecord, PublicKey, SigningKey, fingerprint
from custody.sealing import Recipient
from custody.statement import Statement
from custody.text import to_time
from rogatory.errors import UsageProblem
from rogatory.keyring import AuthorityKeys, PrincipalKeys


class RecoveryKeyMissing(UsageProblem):
    """The first enrolment names the recovery key, and it is not at hand."""

    code = "recovery-key-missing"


def enrol_authority(
    keys: AuthorityKeys, *, origin: str, authority: str, name: str, country: str, at: datetime
) -> Statement:
    """The enrolment of an authority: the file the operator is given, signed by the keys it names.

    Args:
        keys: With the recovery key.
        origin: Of the service's log.
        authority: The id the authority shall have, never to be used again.
        name: As people write it.
        country: Two capital letters, ISO 3166-1.
        at: Aware.

    Raises:
        RecoveryKeyMissing: The recovery key is not among the keys.
        SchemaMismatch: Id, name or country is not of its shape.
    """
    if keys.recovery is None:
        raise RecoveryKeyMissing("the first enrolment needs the recovery key", hint="keep it at hand until then")
    payload = _common(origin, authority, "enrolment", at) | {
        "name": name,
        "country": country,
        "keys": [record.fields() for record in keys.records(authority)],
        "sign_with": ["ed25519"],
        "recovery": keys.recovery.public.id,
    }
    return statement.sign(payload, [keys.authority, keys.recovery])


def authority_fingerprint(enrolment: Statement) -> str:
    """What both ends compare before an authority is admitted: the id of its first authority key, 64 hex.

    The same id is what others pin in their trust files.
    """
    return min(str(key["id"]) for key in enrolment.payload["keys"] if key["use"] == "authority")


def spoken_fingerprint(enrolment: Statement) -> str:
    """The same in groups of four, to read aloud."""
    return fingerprint(authority_fingerprint(enrolment))


def enrol_principal(
    authority_key: SigningKey,
    keys: PrincipalKeys,
    *,
    origin: str,
    authority: str,
    roles: Sequence[str],
    type: str = "client",  # noqa: A002 - the word of the format
    at: datetime,
    principal: str | None = None,
) -> Statement:
    """The enrolment of a client (a tool) or officer (a person), signed by the authority and by the new keys.

    The id is random and carries no personal name; it stands in `subject_id(statement)`.
    """
    asked = request_principal(
        keys, origin=origin, authority=authority, roles=roles, type=type, at=at, principal=principal
    )
    return statement.cosign(asked, [authority_key])


def request_principal(
    keys: PrincipalKeys,
    *,
    origin: str,
    authority: str,
    roles: Sequence[str],
    type: str = "client",  # noqa: A002 - the word of the format
    at: datetime,
    principal: str | None = None,
) -> Statement:
    """The same without the authority's signature, for keys that never leave their machine: see `approve`."""
    principal = principal or secrets.token_hex(16)
    payload = _common(origin, authority, "enrolment", at) | {
        "keys": [record.fields() for record in keys.records(principal)],
        "principal": {"id": principal, "roles": sorted(set(roles)), "type": type},
    }
    return statement.sign(payload, [keys.statement, keys.login])


def approve(asked: Statement, authority_key: SigningKey) -> Statement:
    """Add the authority's signature to what a principal or a new key's holder has signed."""
    return statement.cosign(asked, [authority_key])


def subject_id(enrolment: Statement) -> str:
    """Id of the principal that an enrolment names."""
    return str(enrolment.payload["principal"]["id"])


def change_role(
    authority_key: SigningKey, *, origin: str, authority: str, principal: str, role: str, granted: bool, at: datetime
) -> Statement:
    """Grant a role to a principal, or end it."""
    payload = _common(origin, authority, "act", at) | {
        "event": "role.granted" if granted else "role.ended",
        "subject": {"principal": principal},
        "detail": {"role": role},
    }
    return statement.sign(payload, [authority_key])


def change_principal(
    authority_key: SigningKey, *, origin: str, authority: str, principal: str, change: str, reason: str, at: datetime
) -> Statement:
    """Suspend, reinstate or revoke a principal; `change` is `suspended`, `reinstated` or `revoked`."""
    payload = _common(origin, authority, "act", at) | {
        "event": f"principal.{change}",
        "subject": {"principal": principal},
        "detail": {"reason": reason},
    }
    return statement.sign(payload, [authority_key])


def change_authority(
    signer: SigningKey, *, origin: str, authority: str, change: str, reason: str, at: datetime
) -> Statement:
    """Suspend the authority itself, or reinstate it; `change` is `suspended` or `reinstated`.

    While it is suspended only its recovery key speaks: that is what must sign the reinstatement.
    """
    payload = _common(origin, authority, "act", at) | {
        "event": f"authority.{change}",
        "subject": {"authority": authority},
        "detail": {"reason": reason},
    }
    return statement.sign(payload, [signer])


def add_key(
    authority_key: SigningKey,
    new: SigningKey | Recipient,
    *,
    origin: str,
    authority: str,
    use: str,
    holder: str | None = None,
    replaces: str | None = None,
    at: datetime,
) -> Statement:
    """Add a key, or rotate the one with id `replaces`; the holder is the authority unless a principal is named."""
    public: PublicKey | Recipient = new.public if isinstance(new, SigningKey) else new
    payload = _common(origin, authority, "key", at) | {
        "action": "rotate" if replaces else "add",
        "key": KeyRecord.of(public, use=use, holder=holder or authority).fields(),
    }
    if replaces:
        payload["replaces"] = replaces
    return statement.sign(payload, [authority_key, *([new] if isinstance(new, SigningKey) else [])])


def revoke_key(
    authority_key: SigningKey, *, origin: str, authority: str, key: str, reason: str, at: datetime
) -> Statement:
    """Revoke a key; from its entry on nothing it signs counts, and nobody seals to it."""
    payload = _common(origin, authority, "key", at) | {"action": "revoke", "revokes": key, "reason": reason}
    return statement.sign(payload, [authority_key])


def _common(origin: str, authority: str, kind: str, at: datetime) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": kind,
        "log": origin,
        "chain": leaf.registry_handle(origin, authority).hex(),
        "time": to_time(at),
        "signer": {"authority": authority},
        "nonce": secrets.token_hex(16),
    }
