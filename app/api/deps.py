"""What routes are given: the running service, the caller, and the rules that hold for whole groups of routes.

What asks nobody and waits for nothing is a coroutine, so that it needs no thread of its own.
"""

import hashlib
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Request
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from app.api.gate import address_of, admit, exchange_of, runtime_of
from app.api.models import StatementIn
from app.api.problems import Refused
from app.auth.policy import Caller
from app.db.models import Idempotency
from app.errors import BadRequest, IdempotencyMismatch
from app.services import registries
from app.services.runtime import Runtime

_KEY_CHARACTERS: Final = frozenset(map(chr, range(0x21, 0x7F))) | {" "}

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
AuthorityId = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$")]


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def _address(request: Request) -> str:
    return address_of(request)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
AddressDep = Annotated[str, Depends(_address)]


async def caller_of(
    request: Request,
    authorization: Annotated[str | None, Header(description="`Bearer` and an access token")] = None,  # noqa: ARG001 - told in OpenAPI
) -> Caller:
    """The principal behind the request's token, as its registry stands now."""
    known = exchange_of(request).login
    return known.caller if known is not None else await run_in_threadpool(admit, request)


CallerDep = Annotated[Caller, Depends(caller_of)]


async def octets(content_type: Annotated[str, Header()] = "") -> None:
    """Raw bytes are sent as what they are."""
    if content_type.partition(";")[0].strip().lower() != "application/octet-stream":
        raise Refused("media-type", "the body's type is another, expected application/octet-stream")


Octets = Depends(octets)


async def body_of(request: Request) -> bytes:
    """The bytes of the body; already read where a model was made of them."""
    return await request.body()


Key = Annotated[
    str | None, Header(description="1 to 255 printable characters; the same key with another body is refused")
]
Raw = Annotated[bytes, Depends(body_of)]


async def once(
    *,
    request: Request,
    runtime: RuntimeDep,
    caller: CallerDep,
    body: StatementIn,  # noqa: ARG001 - what is not of its schema is not remembered
    raw: Raw,
    idempotency_key: Key = None,
) -> None:
    """Hold an Idempotency-Key to one body. That there is one effect, the statement's own id sees to."""
    if idempotency_key is not None:
        await run_in_threadpool(_hold, runtime, caller.principal, idempotency_key, request, raw)


async def once_without_body(
    *, request: Request, runtime: RuntimeDep, caller: CallerDep, raw: Raw, idempotency_key: Key = None
) -> None:
    """The same, for routes where nothing is said."""
    if idempotency_key is not None:
        await run_in_threadpool(_hold, runtime, caller.principal, idempotency_key, request, raw)


async def once_by_signature(
    *,
    request: Request,
    runtime: RuntimeDep,
    authority: AuthorityId,
    body: StatementIn,
    raw: Raw,
    idempotency_key: Key = None,
) -> None:
    """The same, where nobody shows a token: only what the authority has signed, and was not lodged yet, is remembered.

    Strangers could fill the database otherwise.
    """
    if idempotency_key is not None:
        keep = await run_in_threadpool(registries.is_news, authority, body.envelope, runtime)
        await run_in_threadpool(_hold, runtime, f"@{authority}", idempotency_key, request, raw, keep=keep)


Once = Depends(once)
OnceWithoutBody = Depends(once_without_body)
OnceBySignature = Depends(once_by_signature)


def _hold(runtime: Runtime, principal: str, key: str, request: Request, raw: bytes, *, keep: bool = True) -> None:
    if not 1 <= len(key) <= 255 or not set(key) <= _KEY_CHARACTERS:
        raise BadRequest("Idempotency-Key is not 1 to 255 printable ASCII characters")
    wanted = hashlib.sha256(b"\0".join([request.method.encode(), request.url.path.encode(), raw])).hexdigest()
    found = _remember(runtime, principal, key, wanted) if keep else _known(runtime, principal, key)
    if found not in (None, wanted):
        raise IdempotencyMismatch("the Idempotency-Key was used with another request", hint="take a new key")


def _remember(runtime: Runtime, principal: str, key: str, wanted: str) -> str | None:
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


def _known(runtime: Runtime, principal: str, key: str) -> str | None:
    with runtime.reading() as session:
        row = session.get(Idempotency, (principal, key))
        return row.request_hash if row is not None else None
