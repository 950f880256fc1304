"""What routes are given: the running service, the caller, and the rules that hold for whole groups of routes."""

import hashlib
from typing import Annotated, Final, cast

from fastapi import Depends, Header, Path, Request
from sqlalchemy.exc import IntegrityError

from app.api.problems import Refused
from app.auth.policy import Caller
from app.db.models import Idempotency
from app.errors import BadRequest, IdempotencyMismatch
from app.services import login
from app.services.runtime import Runtime

_BEARER: Final = "Bearer "
_KEY_CHARACTERS: Final = frozenset(map(chr, range(0x21, 0x7F))) | {" "}

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
AuthorityId = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$")]


def runtime_of(request: Request) -> Runtime:
    """The running service."""
    return cast("Runtime", request.app.state.runtime)


RuntimeDep = Annotated[Runtime, Depends(runtime_of)]


def address_of(request: Request) -> str:
    """Where a request came from, as the record notes it; empty where it is no address."""
    host = request.client.host if request.client else ""
    return host.lower() if host and set(host.lower()) <= set("0123456789abcdef.:") else ""


AddressDep = Annotated[str, Depends(address_of)]


def caller_of(
    request: Request,
    runtime: RuntimeDep,
    address: AddressDep,
    authorization: Annotated[str | None, Header(description="`Bearer` and an access token")] = None,
) -> Caller:
    """The principal behind the request's token, as its registry stands now."""
    if authorization is None or not authorization.startswith(_BEARER):
        raise Refused("token-refused", "no token, expected Authorization: Bearer", hint="get one at /oauth/token")
    token = authorization.removeprefix(_BEARER)
    caller = login.authenticate(token, address=address, at=runtime.now(), runtime=runtime)
    request.state.principal = caller.principal
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]


def octets(content_type: Annotated[str, Header()] = "") -> None:
    """Raw bytes are sent as what they are."""
    if content_type.partition(";")[0].strip().lower() != "application/octet-stream":
        raise Refused("media-type", "the body's type is another, expected application/octet-stream")


Octets = Depends(octets)


async def body_of(request: Request) -> bytes:
    """The bytes of the body; already read where a model was made of them."""
    return await request.body()


def once(
    request: Request,
    runtime: RuntimeDep,
    body: Annotated[bytes, Depends(body_of)],
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    idempotency_key: Annotated[
        str | None, Header(description="1 to 255 printable characters; the same key with another body is refused")
    ] = None,
) -> None:
    """Hold an Idempotency-Key to one body. That there is one effect, the statement's own id sees to."""
    if idempotency_key is None:
        return
    if not 1 <= len(idempotency_key) <= 255 or not set(idempotency_key) <= _KEY_CHARACTERS:
        raise BadRequest("Idempotency-Key is not 1 to 255 printable ASCII characters")
    if authorization is None:
        principal = "@open"
    else:
        principal = login.authenticate(
            authorization.removeprefix(_BEARER), address="", at=runtime.now(), runtime=runtime
        ).principal
    wanted = hashlib.sha256(b"\0".join([request.method.encode(), request.url.path.encode(), body])).hexdigest()
    if _remember(runtime, principal, idempotency_key, wanted) != wanted:
        raise IdempotencyMismatch("the Idempotency-Key was used with another request", hint="take a new key")


Once = Depends(once)


def _remember(runtime: Runtime, principal: str, key: str, wanted: str) -> str:
    """The request that a key stands for: this one, if it is the first."""
    with runtime.unit_of_work() as uow:
        row = uow.session.get(Idempotency, (principal, key))
        if row is not None:
            return row.request_hash
        uow.session.add(Idempotency(principal=principal, key=key, request_hash=wanted, created_at=runtime.now()))
        try:
            uow.commit()
        except IntegrityError:
            return _known(runtime, principal, key)
    return wanted


def _known(runtime: Runtime, principal: str, key: str) -> str:
    with runtime.reading() as session:
        return session.get_one(Idempotency, (principal, key)).request_hash
