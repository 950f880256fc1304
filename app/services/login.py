"""Logging in: from a client's assertion to an access token, and from a token to a caller as its registry stands now.

A token proves who asks. What the principal may do, and whether it, its key or its authority has been ended since, is
looked up at every request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.auth.jwt_syntax import TokenRefused
from app.auth.policy import Caller
from app.auth.tokens import check_access_token, check_client_assertion, issue_access_token
from app.db import registries
from app.db.models import Authority, RegisteredKey, SpentToken
from app.errors import NotFound
from app.services.runtime import Runtime
from custody.errors import FormatError
from custody.keys import KeyRecord
from custody.registry import FOREVER, Registry
from custody.text import from_base64

_LOGIN_KEY: Final = (
    select(RegisteredKey.use, RegisteredKey.holder, RegisteredKey.authority, Authority.suspended)
    .join(Authority, Authority.id == RegisteredKey.authority)
    .where(RegisteredKey.id == bindparam("kid"))
)


class _Live(NamedTuple):
    """A login key that is live, and the registry that says so."""

    record: KeyRecord
    registry: Registry


class ScopeRefused(FormatError):
    """Roles were asked for that the client does not hold, or not in their spelling."""

    code = "invalid-scope"


@dataclass(frozen=True)
class Token:
    """An access token, its life in seconds, and the roles it was issued with."""

    value: str
    seconds: int
    scope: Sequence[str]


@dataclass(frozen=True)
class Login:
    """A caller, and the id of the login key that its token hangs on."""

    caller: Caller
    key: str


def log_in(assertion: str, *, client: str | None, scope: str | None, at: datetime, runtime: Runtime) -> Token:
    """Give an access token for a client's assertion.

    Args:
        assertion: As the client signed it.
        client: The id it names besides, which must be the assertion's.
        scope: Roles asked for, separated by one space; all it holds if None.
        at: When.
        runtime: The service.

    Raises:
        TokenRefused: Whatever is wrong with the assertion, its key or its client.
        ScopeRefused: A role the client does not hold.
    """
    settings = runtime.settings
    claims = check_client_assertion(
        assertion,
        find_key=lambda principal, kid: _login_key(runtime, principal, kid),
        audience=settings.public_url,
        now=at,
        spend=lambda jti, until: _spend(runtime, jti, until),
    )
    if client is not None and client != claims.client:
        raise TokenRefused("client-id")
    with runtime.reading() as session:
        found = _live_key(session, claims.kid, claims.client)
        if found is None:
            raise TokenRefused("key")
    authority, held = found.registry.authority, found.registry.roles(claims.client)
    asked = sorted(held) if scope is None else _asked(scope, held)
    value = issue_access_token(
        runtime.token_keys,
        issuer=settings.public_url,
        audience=settings.public_url,
        subject=claims.client,
        authority=authority,
        client_key=claims.kid,
        scope=asked,
        now=at,
        lifetime=settings.token_lifetime,
    )
    return Token(value, int(settings.token_lifetime.total_seconds()), asked)


def identify(token: str, *, address: str, at: datetime, runtime: Runtime) -> Login:
    """The principal behind an access token, with the roles it holds now that the token was issued with.

    Raises:
        TokenRefused: The token is not ours, has ended, or its key, principal or authority was ended since.
    """
    settings = runtime.settings
    claims = check_access_token(
        token, keys=runtime.token_keys, issuer=settings.public_url, audience=settings.public_url, now=at
    )
    with runtime.reading() as session:
        held = _standing(session, claims.client_key, claims.principal, claims.authority)
    caller = Caller(
        authority=claims.authority,
        principal=claims.principal,
        roles=held & frozenset(claims.scope),
        address=address,
    )
    return Login(caller, claims.client_key)


def check_standing(login: Login, runtime: Runtime) -> None:
    """See that a caller whose request is still running would be let in now; the token itself may have expired.

    Raises:
        TokenRefused: Its key, principal or authority was ended, or a role it came with.
    """
    caller = login.caller
    with runtime.reading() as session:
        held = _standing(session, login.key, caller.principal, caller.authority)
    if not caller.roles <= held:
        raise TokenRefused("ended")


def _standing(session: Session, key: str, principal: str, authority: str) -> frozenset[str]:
    """The roles that a principal holds now."""
    found = _live_key(session, key, principal)
    if found is None:
        raise TokenRefused("ended")
    if found.registry.authority != authority:
        raise TokenRefused("authority")
    return found.registry.roles(principal)


def _asked(scope: str, held: frozenset[str]) -> list[str]:
    asked = scope.split(" ")
    if len(set(asked)) != len(asked) or not set(asked) <= held:
        raise ScopeRefused("scope names a role that the client does not hold, or one twice")
    return sorted(asked)


def _login_key(runtime: Runtime, principal: str, kid: str) -> ec.EllipticCurvePublicKey | None:
    with runtime.reading() as session:
        found = _live_key(session, kid, principal)
    if found is None:
        return None
    key = load_der_public_key(from_base64(found.record.public))
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def _live_key(session: Session, kid: str, principal: str) -> _Live | None:
    """The login key of that id, if it is this principal's and it, its holder and its authority live now."""
    row = session.connection().execute(_LOGIN_KEY, {"kid": kid}).one_or_none()
    if row is None or row.use != "login" or row.holder != principal or row.suspended:
        return None
    try:
        registry = registries.registry(session, row.authority, hold=False)
    except NotFound:
        return None
    record = registry.key(kid, at=FOREVER)
    return _Live(record, registry) if record is not None else None


def _spend(runtime: Runtime, jti: str, until: datetime) -> bool:
    with runtime.unit_of_work() as uow:
        uow.session.add(SpentToken(jti=jti, expires_at=until))
        try:
            uow.commit()
        except IntegrityError:
            return False
    return True
