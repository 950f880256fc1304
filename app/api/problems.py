"""One table from what is refused to HTTP: code, status, title; and the handlers that write problem+json (RFC 9457).

Whatever is absent or hidden gives the same bytes. An error of ours says that it was one, and nothing else.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.auth.jwt_syntax import TokenRefused
from app.errors import NotYetPublished, OffsetMismatch, Refusal
from custody.errors import CustodyError
from storage.interface import StoreError
from storage.interface import StoreFull as NoRoom

_log = logging.getLogger("rogatory.problems")

MEDIA_TYPE: Final = "application/problem+json"
_RETRY: Final = 5
_AGAIN: Final = {"Retry-After": str(_RETRY)}


class Problem(BaseModel):
    """What every refusal looks like."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "urn:rogatory:problem:not-found", "code": "not-found"}]}
    )

    type: str = Field(description="`urn:rogatory:problem:` and the code")
    title: str
    status: int
    detail: str = Field(description="What was found, then what was expected")
    code: str = Field(description="Stable; what clients may rely on")
    hint: str | None = Field(default=None, description="What the caller can do")


@dataclass(frozen=True)
class Row:
    """What a code is in HTTP."""

    status: int
    title: str


TABLE: Final[dict[str, Row]] = {
    "bad-request": Row(400, "the request cannot be understood"),
    "token-refused": Row(401, "no token, or one that is refused"),
    "token-expired": Row(401, "the token has expired"),
    "not-entitled": Row(403, "not entitled"),
    "not-found": Row(404, "not found"),
    "method-not-allowed": Row(405, "method not allowed"),
    "already-answered": Row(409, "answered before"),
    "manifest-mismatch": Row(409, "the manifest is not what was uploaded"),
    "offset-mismatch": Row(409, "another offset"),
    "state-conflict": Row(409, "not in this state"),
    "upload-superseded": Row(409, "superseded by a later request"),
    "gone": Row(410, "has ended"),
    "tus-version": Row(412, "another version of tus"),
    "too-large": Row(413, "too large"),
    "media-type": Row(415, "another media type"),
    "range-refused": Row(416, "no such range"),
    "clock-skew": Row(422, "the statement's time is off"),
    "idempotency-mismatch": Row(422, "the key was used with another body"),
    "invalid": Row(422, "not of its schema"),
    "statement-refused": Row(422, "the statement is refused"),
    "overloaded": Row(429, "overloaded"),
    "checksum-mismatch": Row(460, "checksum mismatch"),
    "internal": Row(500, "an error of the service"),
    "database-down": Row(503, "the database does not answer"),
    "not-yet-published": Row(503, "done, and not yet in a signed checkpoint"),
    "stopping": Row(503, "the service stops"),
    "read-only": Row(503, "no entries are taken now"),
    "store-down": Row(503, "the store does not answer"),
    "store-full": Row(507, "the store is full"),
}

_ABSENT: Final = "there is no such thing, or it is not for you to see"
_HTTP: Final = {
    400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "media-type",
    422: "invalid", 429: "overloaded",
}  # fmt: skip


class Refused(Refusal):
    """A refusal that only HTTP knows: of a header, a media type, a version of tus."""

    def __init__(self, code: str, message: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code  # type: ignore[misc] # one class for the few codes without a meaning below HTTP
        self.headers = dict(headers or {})


def problem(code: str, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a code; what is absent always has the same bytes."""
    row = TABLE[code]
    if code == "not-found":
        detail, hint = _ABSENT, ""
    body: dict[str, Any] = {
        "type": f"urn:rogatory:problem:{code}",
        "title": row.title,
        "status": row.status,
        "detail": detail,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    kept = {"Cache-Control": "no-store", **(headers or {})}
    if row.status == 401:
        error = "" if code == "token-refused" and detail.startswith("no token") else ' error="invalid_token"'
        kept["WWW-Authenticate"] = f"Bearer{error}"
    return JSONResponse(body, row.status, kept, MEDIA_TYPE)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the refusals of a route, besides those that every route has."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in sorted({*codes, "bad-request", "database-down", "internal"}):
        row = TABLE[code]
        known = found.get(row.status, {}).get("description")
        text = f"`{code}`: {row.title}"
        found[row.status] = {
            "model": Problem,
            "description": f"{known}; {text}" if known else text,
            "content": {MEDIA_TYPE: {}},
        }
    return found


def install(app: FastAPI) -> None:
    """Give an application these answers."""
    handlers: dict[type[Exception], Callable[[Request, Any], Response]] = {
        Refusal: _refusal,
        TokenRefused: _token,
        CustodyError: _custody,
        StoreError: _store,
        RequestValidationError: _invalid,
        HTTPException: _http,
        ClientDisconnect: _broken,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, _off_loop(handler))


def _off_loop(handler: Callable[[Request, Any], Response]) -> Any:
    async def answer(request: Request, error: Exception) -> Response:
        return handler(request, error)

    return answer


def _refusal(_request: Request, error: Refusal) -> Response:
    headers = dict(error.headers) if isinstance(error, Refused) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, OffsetMismatch):
        headers |= {"Upload-Offset": str(error.offset), "Tus-Resumable": "1.0.0"}
    if isinstance(error, NotYetPublished):
        error.hint = "send the same request again"
    return problem(error.code, str(error), hint=error.hint, headers=headers)


def _token(_request: Request, error: TokenRefused) -> Response:
    return problem(error.code, str(error), hint="get a new access token")


def _custody(_request: Request, error: CustodyError) -> Response:
    return problem("invalid", str(error))


def _store(_request: Request, error: StoreError) -> Response:
    _log.error("store", extra={"facts": {"code": error.code}})
    code = "store-full" if isinstance(error, NoRoom) else "store-down"
    detail = "the store has no room" if code == "store-full" else "the store did not keep or give what it should"
    return problem(code, f"{detail}; what was acknowledged is safe", headers={"Retry-After": str(_RETRY)})


def _invalid(_request: Request, error: RequestValidationError) -> Response:
    """What does not fit a schema, without its values: they could be anybody's."""
    found = error.errors()
    if any(each["loc"][0] == "path" for each in found):
        return problem("not-found", _ABSENT)
    if any(each["type"] == "json_invalid" for each in found):
        return problem("bad-request", "the body is no JSON")
    texts = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg'].lower()}" for each in found[:5]]
    return problem("invalid", "; ".join(texts))


def _http(_request: Request, error: HTTPException) -> Response:
    code = _HTTP.get(error.status_code, "bad-request")
    return problem(code, str(error.detail).lower(), headers=error.headers)


def _broken(request: Request, _error: ClientDisconnect) -> Response:
    """Nobody is there to read this, or whoever is has sent nothing for too long, or was not let go on."""
    close = {"Connection": "close"}
    match request.state.exchange.broken:
        case "":
            return problem("bad-request", "the body broke off", headers=close)
        case "stopping":
            return problem("stopping", "the service stops; what had arrived is kept", headers=close | _AGAIN)
        case code:
            return problem(code, "the principal was ended while its request was running", headers=close)
