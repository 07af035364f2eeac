"""Authentication: the API key of a request alone decides its project.

A key may be bound to a user; the request then reaches only what is this user's (`access`).

Until a key is created, the service is keyless: it has one project, for programs on this machine
and on private networks that the settings name. A web page in a browser on this machine could send
requests too (DNS rebinding), so the Host and Origin headers are checked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from memory_service.api.access import check_path_ids, owning_user
from memory_service.api.state import ServiceState
from memory_service.core.errors import Forbidden, Unauthenticated
from memory_service.core.models import KeyAccess
from memory_service.identity.identify import Caller
from memory_service.identity.ids import accepted_user_id, given_user
from memory_service.service import LOCAL_PROJECT
from memory_service.turn_log.transactions import ReadTransaction

_SECRET_HEADERS = frozenset({b"authorization", b"x-upstream-authorization", b"cookie", b"api-key"})
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_bearer = HTTPBearer(
    auto_error=False, description="An API key. Ignored as long as no key was ever created."
)


def access_of(
    request: Request,
    service: ServiceState,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> KeyAccess:
    """Return the caller's project and the user that it acts as.

    Raises Unauthenticated, Forbidden in keyless mode or for two different users, and NotFound if
    the path has an id that the user cannot reach.
    """
    # Clients of Azure's service send their key in a header of its own.
    api_key = credentials.credentials if credentials else request.headers.get("api-key")
    with service.log.read() as snapshot:
        keyless = not snapshot.api_keys.exist()
        access = _stored_access(snapshot, keyless=keyless, api_key=api_key)
    request.state.keyless = keyless
    if keyless:
        settings = service.settings
        KeylessAccess(
            settings.allowed_clients, settings.allowed_hosts, settings.cors_origins
        ).check(request)
    elif api_key is None:
        raise Unauthenticated("No API key: send 'Authorization: Bearer <key>'.")
    elif access is None:
        raise Unauthenticated("This API key is unknown or revoked.")
    access = access or KeyAccess(service.local_project(), None)
    request.state.key_user = access.user
    access = _with_path_user(access, request)
    if access.user is not None:
        with service.log.read() as snapshot:
            check_path_ids(snapshot, access, request.path_params)
    return access


Access = Annotated[KeyAccess, Depends(access_of)]


# The two below are async because they do nothing: in a thread each would take 0.3 ms more.
async def _project(access: Access) -> int:
    return access.project_key


Project = Annotated[int, Depends(_project)]


async def _caller(request: Request, service: ServiceState, _access: Access) -> Caller:
    """Return what says who sent a request; `access_of` has set the user of the key."""
    state = request.state
    return Caller(
        headers=_decoded_headers(request),
        key_user=state.key_user,
        path_user=getattr(state, "path_user", None),
        path_conversation=getattr(state, "path_conversation", None),
        default_user=service.settings.default_user,
    )


RequestCaller = Annotated[Caller, Depends(_caller)]


def _stored_access(
    snapshot: ReadTransaction, *, keyless: bool, api_key: str | None
) -> KeyAccess | None:
    if keyless:
        project_key = snapshot.projects.key_of(LOCAL_PROJECT)
        return None if project_key is None else KeyAccess(project_key, None)
    return None if api_key is None else snapshot.api_keys.access_of(api_key)


def _with_path_user(access: KeyAccess, request: Request) -> KeyAccess:
    path_user = given_user(getattr(request.state, "path_user", None))
    if path_user is None:
        return access
    user = owning_user(access, accepted_user_id(path_user), param="path")
    return KeyAccess(access.project_key, user)


def _decoded_headers(request: Request) -> dict[str, str]:
    """Return the headers without those that hold secrets; the first of a name counts."""
    headers: dict[str, str] = {}
    for name, value in request.headers.raw:
        if name not in _SECRET_HEADERS:
            headers.setdefault(name.decode("latin-1"), _decoded(value))
    return headers


def _decoded(value: bytes) -> str:
    """Return a header as text, so that an id in it equals the same id in a body."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class KeylessAccess:
    """Who may call a service without API keys, besides programs of this machine.

    `clients` are networks, `hosts` are names under which this machine is called, and `origins` are
    those of web pages. An asterisk among the origins does not count: every web page that a user of
    this machine opens could then read all memory.
    """

    clients: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()

    def check(self, request: Request) -> None:
        """Raise Forbidden unless client, Host and Origin of a request are allowed."""
        if not self._has_client(request.client.host if request.client else ""):
            raise Forbidden(
                "Without API keys only requests from this machine are served. Create a key with "
                "'memory-service keys create', or allow a network with MEMORY_ALLOWED_CLIENTS."
            )
        host = request.headers.get("host", "")
        if not self._has_host(_hostname(f"//{host}")):
            raise Forbidden(
                f"Without API keys the host {host[:100]!r} is not served. Use 127.0.0.1, or allow "
                "the name with MEMORY_ALLOWED_HOSTS."
            )
        origin = request.headers.get("origin")
        if origin is None or origin in self.origins or self._has_host(_hostname(origin)):
            return
        raise Forbidden(
            "Without API keys requests of web pages from other hosts are not served, unless "
            "MEMORY_CORS_ORIGINS names them."
        )

    def _has_client(self, client: str) -> bool:
        if is_loopback(client):
            return True
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if address.version == 6 else None
        return any((mapped or address) in network for network in self.clients)

    def _has_host(self, host: str | None) -> bool:
        return host in LOCAL_HOSTS or (host is not None and host in self.hosts)


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
