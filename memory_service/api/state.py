"""What a request can reach: the open service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from memory_service.service import Service


# Without I/O a dependency runs on the event loop: a thread for each would cost 0.3 ms.
async def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the application was not started: its lifespan opens the service")
    return service


ServiceState = Annotated[Service, Depends(_service)]
