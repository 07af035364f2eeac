"""The HTTP application: nothing is opened before its lifespan begins."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from memory_service import __version__
from memory_service.api import (
    chat,
    conversations,
    documentation,
    errors,
    health,
    items,
    recall,
    summaries,
    users,
)
from memory_service.api.middleware import RequestContext
from memory_service.core.settings import Settings
from memory_service.service import Service

_DESCRIPTION = """
Conversations without end. Shapes are OpenAI's wherever OpenAI has one, so that the official
client works with its base URL changed.
"""


def create_app(settings: Settings, *, opened: Service | None = None) -> FastAPI:
    """Return the application; starting it opens the data folder, stopping it closes it.

    A service that is open already is used as it is: its owner closes it.
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
        # Beside the first requests: none has to wait for it, nor has who asks if we are ready.
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
    for room in (conversations, items, summaries, recall, chat, users, health):
        app.include_router(room.router)
    app.add_middleware(RequestContext)
    return app
