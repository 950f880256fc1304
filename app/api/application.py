"""The application: every router, the edge around them, the problems they answer with."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import VERSION
from app.api import authorities, downloads, exchanges, front, packages, problems, uploads
from app.api.edge import Edge
from app.api.limits import Limits
from app.api.log import cosigning, public_log
from app.api.problems import MEDIA_TYPE, documented
from app.api.traffic import Traffic
from app.services.health import Readiness
from app.services.runtime import Runtime

THREADS: Final = 64
"""Requests that work at once. A database in a file has a connection for each; of PostgreSQL's, see `app.db.engine`."""


def build(runtime: Runtime, background: Callable[[], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """The application over a runtime.

    Args:
        runtime: The running service.
        background: What runs beside the requests, from start to stop.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        if background is None:
            yield
            return
        async with background():
            yield

    app = FastAPI(
        title="Rogatory",
        version=VERSION,
        summary="Evidence exchange between authorities, with a custody record anyone can check offline",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    app.state.readiness = Readiness(runtime)
    for module in (front, authorities, exchanges, packages, uploads, downloads):
        app.include_router(module.router)
    app.include_router(public_log(origin=runtime.origin, engine=runtime.engine))
    app.include_router(cosigning(runtime))
    problems.install(app)
    traffic = Traffic(Limits(runtime.settings))
    app.state.traffic = traffic
    app.add_middleware(Edge, traffic=traffic)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign] # as FastAPI's documentation has it
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with our own answer to what does not fit a schema in place of the framework's."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
        )
        ours = documented("invalid")[422]
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        for methods in made["paths"].values():
            for operation in methods.values():
                answers = operation["responses"]
                if "HTTPValidationError" in str(answers.get("422")):
                    answers["422"] = {"description": ours["description"], "content": {MEDIA_TYPE: problem}}
                for answer in answers.values():
                    if MEDIA_TYPE in answer.get("content", ()):
                        answer["content"] = {MEDIA_TYPE: problem}
        for name in ("HTTPValidationError", "ValidationError"):
            made["components"]["schemas"].pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema
