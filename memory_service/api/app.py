"""The HTTP application. Its lifespan opens the service and closes it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from memory_service import __version__
from memory_service.api import (
    chat,
    context,
    conversations,
    documentation,
    errors,
    health,
    items,
    pass_through,
    responses,
    search,
    stored_completions,
    summaries,
    traces,
    users,
)
from memory_service.api.azure_paths import AzurePaths
from memory_service.api.compressed_bodies import CompressedBodies
from memory_service.api.middleware import REQUEST_ID_HEADER, RequestContext
from memory_service.api.path_identity import PathIdentity
from memory_service.api.request_paths import RequestPaths
from memory_service.core.settings import Settings
from memory_service.service import Service

_DESCRIPTION = """
Conversations of any length for language models. Requests and responses have OpenAI's form wherever
OpenAI defines one, so the official client works with its base URL changed.
"""


_EXPOSED_HEADERS = (
    *(REQUEST_ID_HEADER, "x-conversation-id", "x-memory-error", "x-memory-warning"),
    "x-memory-skipped",
    *("x-memory-tokens-before", "x-memory-tokens-after", "x-memory-recalled", "x-memory-dropped"),
    *("x-memory-trace-id", "x-memory-ms", "x-memory-prefix-tokens", "x-memory-degraded"),
    *("retry-after", "retry-after-ms", "x-should-retry"),
)
"""For browsers that do not read an asterisk as all headers."""


def create_app(settings: Settings, *, opened: Service | None = None) -> FastAPI:
    """Return the application; its lifespan opens the data folder and closes it.

    With an `opened` service, the lifespan neither opens nor closes one.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if opened is None:
            service = await anyio.to_thread.run_sync(
                lambda: Service.open(settings, purpose="memory_service")
            )
        else:
            service = opened
        app.state.service = service
        # In a thread, so that neither the first request nor a readiness probe waits for it.
        warming = threading.Thread(target=service.warm_up, name="warm-up")
        warming.start()
        try:
            yield
        finally:
            await service.gateway.close()
            await anyio.to_thread.run_sync(warming.join)
            if opened is None:
                await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="memory_service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    documentation.install(app)
    for routes in (
        *(conversations, items, summaries, search, context, traces),
        *(chat, stored_completions, responses, users, health),
    ):
        app.include_router(routes.router)
    # A default, not a route: it would hide that a route of the service has no such method.
    app.router.default = pass_through.router
    app.add_middleware(AzurePaths)
    app.add_middleware(PathIdentity)
    app.add_middleware(RequestContext)
    app.add_middleware(CompressedBodies)
    app.add_middleware(RequestPaths)
    if settings.cors_origins:
        _allow_origins(app, settings.cors_origins)
    return app


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let web pages of these origins call the service; outermost, so that they can read errors."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        # A page on the internet may be meant to call a service on its user's own machine.
        allow_private_network=True,
        expose_headers=[*_EXPOSED_HEADERS, "*"],
    )
