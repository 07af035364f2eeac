"""Authentication: the API key of a request alone decides its project.

Until a key is created, the service is keyless: it has one project, for programs on this machine.
A web page in a browser on this machine could send requests too (DNS rebinding), so the Host and
Origin headers are checked.
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
    auto_error=False, description="An API key. Ignored as long as no key was ever created."
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
            project_key = snapshot.projects.key_of(LOCAL_PROJECT)
        elif credentials is None:
            project_key = None
        else:
            project_key = snapshot.api_keys.project_of(credentials.credentials)
    request.state.keyless = keyless
    if keyless:
        check_local(request)
        return service.local_project() if project_key is None else project_key
    if credentials is None:
        raise Unauthenticated("No API key: send 'Authorization: Bearer <key>'.")
    if project_key is None:
        raise Unauthenticated("This API key is unknown or revoked.")
    return project_key


Project = Annotated[int, Depends(project_of)]


def check_local(request: Request) -> None:
    """Raise Forbidden unless client, Host and Origin of a request are this machine."""
    client = request.client.host if request.client else ""
    if not is_loopback(client):
        raise Forbidden(
            "Without API keys only requests from this machine are served. Create a key with "
            "'memory-service keys create'."
        )
    host = request.headers.get("host", "")
    if _hostname(f"//{host}") not in LOCAL_HOSTS:
        raise Forbidden(f"Without API keys the host {host[:100]!r} is not served. Use 127.0.0.1.")
    origin = request.headers.get("origin")
    if origin is not None and _hostname(origin) not in LOCAL_HOSTS:
        raise Forbidden("Without API keys requests of web pages from other hosts are not served.")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only."""
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
