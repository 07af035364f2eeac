"""The open service, as a dependency of the routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from memory_service.service import Service


# An async dependency runs in the event loop; in a thread it would take 0.3 ms more.
async def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the application is not started: its lifespan opens the service")
    return service


ServiceState = Annotated[Service, Depends(_service)]
