"""The gate in front of python-jose: what a token must be before a library is asked about its signature.

python-jose by itself accepts missing claims, ignores `crit`, `typ` and `kid`, takes public keys as HMAC secrets and
decodes leniently. So each token is read by `app.auth.jwt_syntax`, its header and claims are held to a closed
list, its key is chosen here as an EC key object, and only then does python-jose see it, for one question: does
this ES256 signature verify? No other file imports jose. Corpus of attacks: tests/app/auth/attacks.
Specification: docs/spec/tokens.md; decision: docs/adr/0002-strict-gate-around-jose.md.

Errors: everything odd in a token is `TokenRefused` (code `token-refused` or `token-expired`), an answer 401. What the
caller's own `find_key` and `spend` raise passes through: a database that is down is no reason to call a token bad.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from jose import jws
from jose.backends.cryptography_backend import CryptographyECKey

from app.auth.jwt_syntax import TokenExpired, TokenRefused, Unverified, parse
from app.auth.token_keys import TokenKeys, is_es256_key, key_id, rotate

__all__ = [
    "ACCESS_TOKEN_TYPE",
    "ASSERTION_TYPE",
    "JTI_KEPT",
    "MAX_ACCESS_LIFETIME",
    "MAX_ASSERTION_LIFETIME",
    "AccessClaims",
    "AssertionClaims",
    "TokenExpired",
    "TokenKeys",
    "TokenRefused",
    "check_access_token",
    "check_client_assertion",
    "issue_access_token",
    "key_id",
    "make_client_assertion",
    "rotate",
]

ALGORITHM = "ES256"
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068 section 2.1
ASSERTION_TYPE = "client-authentication+jwt"
MAX_ACCESS_LIFETIME = timedelta(minutes=10)
MAX_ASSERTION_LIFETIME = timedelta(seconds=60)
LEEWAY = timedelta(seconds=10)
# How long after `exp` a spent jti is remembered: a clock set back by three days must not revive an assertion.
JTI_KEPT = timedelta(days=4)

_LATEST = 253_402_300_799  # the last second of year 9999
_KID = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[!-~]{1,255}\Z")
_JTI = re.compile(r"[A-Za-z0-9._~-]{16,128}\Z")
_SCOPE = re.compile(r"(?:[!#-\[\]-~]+(?: [!#-\[\]-~]+)*)?\Z")  # RFC 6749 section 3.3, at most 255 characters

_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "iat", "jti"})
_ACCESS_CLAIMS = _CLAIMS | {"client_id", "authority", "scope", "cnf"}


@dataclass(frozen=True)
class AssertionClaims:
    """A client proved, once, that it holds the private key `kid`. Says nothing about its roles or standing now."""

    client: str
    kid: str
    jti: str
    issued: datetime
    expires: datetime


@dataclass(frozen=True)
class AccessClaims:
    """What this service said of the caller when it issued the token.

    Revocation and the roles of today are looked up on each request; the token proves identity only.
    """

    principal: str
    authority: str
    client_key: str
    scope: tuple[str, ...]
    jti: str
    issued: datetime
    expires: datetime


def check_access_token(token: str, *, keys: TokenKeys, issuer: str, audience: str, now: datetime) -> AccessClaims:
    """Read an access token; return only if this service issued it, for this audience, and it has not ended.

    Args:
        token: The credential after `Bearer `, nothing stripped.
        keys: The service's keys; any of current, next, previous is accepted.
        issuer: Exact `iss`.
        audience: Exact `aud`, a single string.
        now: Aware; the gate fails closed if it is not.

    Raises:
        TokenExpired: `exp` has passed; says nothing about who signed it.
        TokenRefused: Anything else.
    """
    with _refusing():
        token_parts = parse(token)
        kid = _check_header(token_parts.header, ACCESS_TOKEN_TYPE)
        claims = token_parts.claims
        _check_members(claims, required=_ACCESS_CLAIMS)
        _check_equal(claims["iss"], issuer, "iss")
        subject = _text(claims, "sub", _NAME)
        _check_equal(claims["client_id"], subject, "client-id")
        issued, expires = _check_window(claims, audience=audience, lifetime=MAX_ACCESS_LIFETIME, now=now)
        scope = _text(claims, "scope", _SCOPE)
        access = AccessClaims(
            principal=subject,
            authority=_text(claims, "authority", _NAME),
            client_key=_confirmed_key(claims["cnf"]),
            scope=tuple(scope.split()),
            jti=_text(claims, "jti", _JTI),
            issued=issued,
            expires=expires,
        )
        _check_signature(token, token_parts, keys.find(kid), kid)
    return access


def check_client_assertion(
    assertion: str,
    *,
    find_key: Callable[[str, str], ec.EllipticCurvePublicKey | None],
    audience: str,
    now: datetime,
    spend: Callable[[str, datetime], bool],
) -> AssertionClaims:
    """Authenticate a client by `private_key_jwt`; return at most once for one assertion.

    Args:
        assertion: The form field `client_assertion`.
        find_key: From (client id, kid) to that client's live login key as an object, or None. Called only
            when all but the signature holds.
        audience: Exact `aud`: the issuer identifier of this service.
        now: Aware.
        spend: From (jti key, kept until) to True if this key was never seen, by a unique insert that is
            durable when it returns. 64 hex, at least four days past `exp`. Called last: only a holder
            of the key can fill the table.

    Raises:
        TokenExpired: `exp` has passed.
        TokenRefused: Anything else, replays included.
    """
    with _refusing():
        parts = parse(assertion)
        kid = _check_header(parts.header, ASSERTION_TYPE)
        claims = parts.claims
        _check_members(claims, required=_CLAIMS, optional=frozenset({"nbf"}))
        client = _text(claims, "iss", _NAME)
        _check_equal(claims["sub"], client, "sub")
        jti = _text(claims, "jti", _JTI)
        issued, expires = _check_window(claims, audience=audience, lifetime=MAX_ASSERTION_LIFETIME, now=now)
    key = find_key(client, kid)
    with _refusing():
        _check_signature(assertion, parts, key, kid)
    if spend(_jti_key(client, jti), expires + JTI_KEPT) is not True:
        raise TokenRefused("replayed")
    return AssertionClaims(client=client, kid=kid, jti=jti, issued=issued, expires=expires)


def issue_access_token(
    keys: TokenKeys,
    *,
    issuer: str,
    audience: str,
    subject: str,
    authority: str,
    client_key: str,
    scope: Sequence[str],
    now: datetime,
    lifetime: timedelta = MAX_ACCESS_LIFETIME,
) -> str:
    """An access token for an authenticated principal, signed by the current key.

    Args:
        keys: The service's; `keys.current` signs.
        issuer: The issuer identifier, an https URL.
        audience: Where the token is good, one string.
        subject: Id of the principal; also its `client_id`.
        authority: Id of the authority the principal belongs to.
        client_key: Key id (64 hex) the principal authenticated with, so that a revocation of the key ends its tokens.
        scope: Roles, each a word without space.
        now: Aware; fractions of a second are cut.
        lifetime: Whole seconds, 1 s to 10 minutes.

    Raises:
        ValueError: A lifetime outside those bounds; a mistake of ours, never of a caller outside.
    """
    if not timedelta(seconds=1) <= lifetime <= MAX_ACCESS_LIFETIME:
        raise ValueError(f"token lifetime is {lifetime}, expected 1 s to {MAX_ACCESS_LIFETIME}")
    issued = int(now.timestamp())
    claims = {
        "iss": issuer, "sub": subject, "aud": audience, "client_id": subject, "authority": authority,
        "scope": " ".join(scope), "cnf": {"kid": client_key},
        "iat": issued, "exp": issued + int(lifetime.total_seconds()), "jti": secrets.token_urlsafe(24),
    }  # fmt: skip
    return _sign(claims, keys.current, typ=ACCESS_TOKEN_TYPE, kid=key_id(keys.current.public_key()))


def make_client_assertion(
    private_key: ec.EllipticCurvePrivateKey,
    *,
    kid: str,
    issuer: str,
    audience: str,
    now: datetime,
    jti: str,
    lifetime: timedelta = MAX_ASSERTION_LIFETIME,
) -> str:
    """What a client sends to log in. The service itself logs in nowhere: this is for tests."""
    issued = int(now.timestamp())
    claims = {
        "iss": issuer, "sub": issuer, "aud": audience, "jti": jti,
        "iat": issued, "exp": issued + int(lifetime.total_seconds()),
    }  # fmt: skip
    return _sign(claims, private_key, typ=ASSERTION_TYPE, kid=kid)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn whatever goes wrong inside into a refusal without a cause: causes carry the text they choked on."""
    try:
        yield
    except TokenRefused:
        raise
    except Exception as error:  # noqa: BLE001 - RecursionError, OverflowError …: a token that breaks us is no token
        raise TokenRefused(f"unexpected-{type(error).__name__}") from None


def _check_header(header: Mapping[str, Any], typ: str) -> str:
    """Closed header: exactly `alg`, `typ`, `kid`. So no `crit`, `jku`, `x5u`, `jwk`, `b64` … The kid is returned."""
    if header.get("alg") != ALGORITHM:
        raise TokenRefused("alg")
    if header.get("typ") != typ:
        raise TokenRefused("typ")
    if header.keys() != {"alg", "typ", "kid"}:
        raise TokenRefused("header-members")
    return _text(header, "kid", _KID)


def _check_members(
    claims: Mapping[str, Any], *, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> None:
    if not required <= claims.keys() <= required | optional:
        raise TokenRefused("claims-members")


def _check_window(
    claims: Mapping[str, Any], *, audience: str, lifetime: timedelta, now: datetime
) -> tuple[datetime, datetime]:
    """Audience, then time: iat ≤ now + 10 s, 0 < exp − iat ≤ lifetime, now < exp; both as aware times."""
    _check_equal(claims["aud"], audience, "aud")
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if issued > now + LEEWAY or ("nbf" in claims and _time(claims, "nbf") > now + LEEWAY):
        raise TokenRefused("not-yet")
    if not timedelta(0) < expires - issued <= lifetime:
        raise TokenRefused("lifetime")
    if expires <= now:
        raise TokenExpired("expired")
    return issued, expires


def _check_equal(found: Any, expected: str, name: str) -> None:
    if type(found) is not str or found != expected:
        raise TokenRefused(name)


def _text(members: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = members[name]
    if type(value) is not str or len(value) > 255 or not pattern.match(value):
        raise TokenRefused(name)
    return value


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims[name]
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise TokenRefused(name)
    return datetime.fromtimestamp(value, UTC)


def _confirmed_key(confirmation: Any) -> str:
    """The key id inside `cnf` (RFC 7800 section 3.4)."""
    if type(confirmation) is not dict or confirmation.keys() != {"kid"}:
        raise TokenRefused("cnf")
    return _text(confirmation, "kid", _KID)


def _check_signature(token: str, parts: Unverified, key: ec.EllipticCurvePublicKey | None, kid: str) -> None:
    """Ask python-jose the one question, with a key object of our choosing, and believe it only about the same bytes."""
    if key is None or not is_es256_key(key) or key_id(key) != kid:
        raise TokenRefused("key")
    try:
        payload = jws.verify(token, CryptographyECKey(key, ALGORITHM), algorithms=[ALGORITHM])
    except Exception:  # noqa: BLE001 - JOSEError and what else it raises on odd input
        raise TokenRefused("signature") from None
    if payload != parts.payload:
        raise TokenRefused("signature")


def _sign(claims: Mapping[str, Any], key: ec.EllipticCurvePrivateKey, *, typ: str, kid: str) -> str:
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode("ascii")
    return jws.sign(payload, CryptographyECKey(key, ALGORITHM), headers={"typ": typ, "kid": kid}, algorithm=ALGORITHM)


def _jti_key(client: str, jti: str) -> str:
    """One jti of one client, in a fixed 64 hex: neither name can contain the separator."""
    return hashlib.sha256(f"{client}\n{jti}".encode("ascii")).hexdigest()
