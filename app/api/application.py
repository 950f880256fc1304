"""The application: every router, the edge around them, the problems they answer with."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

from app.api import authorities, downloads, exchanges, front, packages, problems, uploads
from app.api.edge import Edge
from app.api.log import public_log
from app.services.runtime import VERSION, Runtime

THREADS: Final = 64
"""Requests that work at once; no more than the database has connections."""


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
    for module in (front, authorities, exchanges, packages, uploads, downloads):
        app.include_router(module.router)
    app.include_router(public_log(origin=runtime.origin, engine=runtime.engine))
    problems.install(app)
    app.add_middleware(Edge)
    return app
