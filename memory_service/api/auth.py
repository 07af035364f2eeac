"""Who is calling: the API key decides the project, nothing else in a request does.

Without any key the service runs keyless: one project, for programs on this machine. A page in a
browser is such a program too, so the Host and Origin headers are checked (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from memory_service.api.state import ServiceState
from memory_service.core.errors import Forbidden, Unauthenticated
from memory_service.service import LOCAL_PROJECT

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_bearer = HTTPBearer(
    auto_error=False, description="An API key; ignored while no key was ever made."
)


def project_of(
    request: Request,
    service: ServiceState,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> int:
    """Return the caller's project; raises Unauthenticated, or Forbidden in keyless mode."""
    with service.log.read() as snapshot:
        keyless = not snapshot.api_keys.exist()
        if keyless:
            found = snapshot.projects.key_of(LOCAL_PROJECT)
        else:
            found = (
                None
                if credentials is None
                else snapshot.api_keys.project_of(credentials.credentials)
            )
    request.state.keyless = keyless
    if keyless:
        check_local(request)
        return service.local_project() if found is None else found
    if credentials is None:
        raise Unauthenticated("No API key: send 'Authorization: Bearer <key>'.")
    if found is None:
        raise Unauthenticated("This API key is unknown or revoked.")
    return found


Project = Annotated[int, Depends(project_of)]


def check_local(request: Request) -> None:
    """Raise Forbidden unless a request comes from this machine and means to."""
    client = request.client.host if request.client else ""
    if not is_loopback(client):
        raise Forbidden(
            "Without API keys only this machine is served: make one with 'keys create'."
        )
    host = request.headers.get("host", "")
    if _hostname(f"//{host}") not in LOCAL_HOSTS:
        raise Forbidden(f"Without API keys the host {host[:100]!r} is not served: use 127.0.0.1.")
    origin = request.headers.get("origin")
    if origin is not None and _hostname(origin) not in LOCAL_HOSTS:
        raise Forbidden("Without API keys pages of other origins are not served.")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
