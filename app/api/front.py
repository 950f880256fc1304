"""What is open to anyone: whether the service lives, what it is, its keys; and tokens for who can prove itself."""

from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from app import VERSION
from app.api.deps import RuntimeDep, body_of
from app.api.models import AliveOut, JwksOut, MetadataOut, ReadyOut, ServiceOut, TokenError, TokenOut
from app.api.problems import documented
from app.auth.jwt_syntax import TokenRefused
from app.services import health, login
from app.services.login import ScopeRefused
from custody.kinds import ROLES
from custody.text import to_time

router = APIRouter(tags=["open"])

_GRANT: Final = "client_credentials"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_FIELDS: Final = ("grant_type", "client_assertion_type", "client_assertion", "client_id", "scope")
_MAX_FORM: Final = 16 * 1024
_NO_STORE: Final = {"Cache-Control": "no-store"}
_KEYS_FRESH: Final = timedelta(minutes=5)


@router.get("/livez", responses=documented())
async def alive() -> AliveOut:
    """The process answers, also while every thread of it waits for a store."""
    return AliveOut(status="alive")


@router.get("/readyz", responses={503: {"model": ReadyOut}})
def ready(request: Request, response: Response) -> ReadyOut:
    """Whether database, store and log do their work, as of a few seconds ago at most."""
    readiness: health.Readiness = request.app.state.readiness
    missing = readiness.missing()
    response.status_code = 503 if missing else 200
    return ReadyOut(ready=not missing, missing=missing)


@router.get("/v1/service", responses=documented())
def service(runtime: RuntimeDep) -> ServiceOut:
    """What this service is: its log and keys, and where tokens are had."""
    settings = runtime.settings
    return ServiceOut(
        name="rogatory",
        version=VERSION,
        origin=runtime.origin,
        log_keys=[str(key) for key in runtime.log_keys],
        token_endpoint=f"{settings.public_url}/oauth/token",
        issuer=settings.public_url,
        min_part_size=settings.min_part_size,
        max_item_size=settings.max_item_size,
        time=to_time(runtime.now()),
    )


@router.get("/.well-known/oauth-authorization-server", responses=documented())
def metadata(runtime: RuntimeDep) -> MetadataOut:
    """Authorization server metadata (RFC 8414)."""
    issuer = runtime.settings.public_url
    return MetadataOut(
        issuer=issuer,
        token_endpoint=f"{issuer}/oauth/token",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        grant_types_supported=[_GRANT],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported=["ES256"],
        scopes_supported=list(ROLES),
    )


@router.get("/.well-known/jwks.json", responses=documented())
def jwks(runtime: RuntimeDep, response: Response) -> JwksOut:
    """The public keys that access tokens are signed with."""
    response.headers["Cache-Control"] = f"public, max-age={int(_KEYS_FRESH.total_seconds())}"
    return JwksOut.model_validate(runtime.token_keys.jwks())


_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_assertion_type", "client_assertion"],
                    "properties": {name: {"type": "string"} for name in _FIELDS},
                }
            }
        },
    }
}


@router.post(
    "/oauth/token",
    response_model=TokenOut,
    responses={400: {"model": TokenError}, 401: {"model": TokenError}},
    openapi_extra=_FORM,
)
def token(
    runtime: RuntimeDep, data: Annotated[bytes, Depends(body_of)], content_type: Annotated[str, Header()] = ""
) -> Response:
    """Give an access token for a client's assertion (`private_key_jwt`)."""
    fields = _fields(data) if content_type.partition(";")[0].strip().lower() == _FORM_TYPE else None
    if fields is None or fields.get("client_assertion_type") != _ASSERTION or "client_assertion" not in fields:
        return _refuse("invalid_request", 400)
    if fields.get("grant_type") != _GRANT:
        return _refuse("unsupported_grant_type" if "grant_type" in fields else "invalid_request", 400)
    try:
        found = login.log_in(
            fields["client_assertion"],
            client=fields.get("client_id"),
            scope=fields.get("scope"),
            at=runtime.now(),
            runtime=runtime,
        )
    except TokenRefused:
        return _refuse("invalid_client", 401)
    except ScopeRefused:
        return _refuse("invalid_scope", 400)
    answer = TokenOut(access_token=found.value, expires_in=found.seconds, scope=" ".join(found.scope))
    return JSONResponse(answer.model_dump(), headers=_NO_STORE)


def _refuse(error: str, status: int) -> Response:
    return JSONResponse(TokenError(error=error).model_dump(), status, _NO_STORE)


def _fields(data: bytes) -> dict[str, str] | None:
    """The fields of a form, each once; None if it is none. Unknown fields are ignored, as RFC 6749 wants it."""
    if len(data) > _MAX_FORM:
        return None
    try:
        pairs = parse_qsl(data.decode("ascii"), strict_parsing=True, max_num_fields=16, errors="strict")
    except ValueError:
        return None
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else None
