"""Who asks is found out before anything of a body is read: routes that hold to it, and what they hold to."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app.api import flat_json
from app.api.problems import Refused
from app.auth.policy import Caller
from app.services import login
from app.services.runtime import Runtime

if TYPE_CHECKING:
    from app.api.traffic import Exchange

_BEARER: Final = "Bearer "


def runtime_of(request: Request) -> Runtime:
    """The running service."""
    return cast("Runtime", request.app.state.runtime)


def address_of(request: Request) -> str:
    """Where a request came from, as the record notes it; empty where it is no address."""
    host = request.client.host if request.client else ""
    return host.lower() if host and set(host.lower()) <= set("0123456789abcdef.:") else ""


def exchange_of(request: Request) -> "Exchange":
    """What the edge knows of a request."""
    return cast("Exchange", request.state.exchange)


def admit(request: Request) -> Caller:
    """The principal behind a request's token, as its registry stands now; the request counts as its authority's.

    Raises:
        Refused, TokenRefused: There is no token, or it does not hold.
        TooMany: Its authority has sent too much.
    """
    exchange = exchange_of(request)
    if exchange.login is not None:
        return exchange.login.caller
    found = identify(request)
    exchange.begin(found)
    request.state.principal = found.caller.principal
    return found.caller


def identify(request: Request) -> login.Login:
    """Whom a request's token stands for; nothing is counted.

    Raises:
        Refused, TokenRefused: There is no token, or it does not hold.
    """
    given = request.headers.get("authorization", "")
    if not given.startswith(_BEARER):
        raise Refused("token-refused", "no token, expected Authorization: Bearer", hint="get one at /oauth/token")
    runtime = runtime_of(request)
    token = given.removeprefix(_BEARER)
    return login.identify(token, address=address_of(request), at=runtime.now(), runtime=runtime)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FlatRoute(APIRoute):
    """A route whose body, if it has one, is an object of texts."""

    def get_route_handler(self) -> Handler:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def flat(request: Request) -> Response:
            return await handle(_FlatRequest(request.scope, request.receive))

        return flat


class GuardedRoute(FlatRoute):
    """A route for those who hold a token: without one, not a byte of the body is read."""

    def get_route_handler(self) -> Handler:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await run_in_threadpool(admit, request)
            return await handle(request)

        return guarded


class _FlatRequest(Request):
    async def json(self) -> Any:
        try:
            return await run_in_threadpool(flat_json.parse, await self.body())
        except flat_json.NotFlat as error:
            raise HTTPException(422, "the body is not an object of the texts that its schema names") from error
