"""What a request says about the upstream: a key for it, headers for it, its name."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from memory_service.api.auth import Project
from memory_service.api.state import ServiceState
from memory_service.core.errors import InvalidRequest, UpstreamLoop
from memory_service.core.models import HOP_HEADER, CallerKey

_FORWARDED = frozenset(
    {
        *("accept-language", "user-agent", "http-referer", "x-title", "x-client-request-id"),
        HOP_HEADER,
    }
)
_FORWARDED_PREFIXES = ("openai-", "anthropic-", "x-openrouter-", "x-stainless-")
_NEVER_FORWARDED = frozenset(
    {
        *("authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "host"),
        *("x-upstream-authorization", "content-length", "transfer-encoding", "connection"),
        *("keep-alive", "te", "trailer", "upgrade", "expect", "accept-encoding", "content-type"),
    }
)
"""Not even if the settings name them or a prefix of them: keys of this service, and the headers of
its own connections."""


async def _caller_key(
    request: Request,
    service: ServiceState,
    project: Project,  # noqa: ARG001 - sets request.state.keyless
    x_upstream_authorization: Annotated[
        str | None,
        Header(description="The Authorization for the upstream, if the settings allow it."),
    ] = None,
) -> CallerKey:
    """Return the caller's own key for the upstream."""
    if service.settings.upstream_authorization_header:
        # The callers pay with their own keys; a caller without one must not use the server's.
        return CallerKey(x_upstream_authorization, replaces_ours=True)
    if x_upstream_authorization is not None:
        raise InvalidRequest(
            "'x-upstream-authorization' is not accepted by this server "
            "(MEMORY_UPSTREAM_AUTHORIZATION_HEADER).",
            param="x-upstream-authorization",
        )
    if not request.state.keyless:
        return CallerKey()
    # Clients of Azure's service send their key in a header of its own.
    key = request.headers.get("api-key")
    return CallerKey(request.headers.get("authorization") or (f"Bearer {key}" if key else None))


UpstreamAuthorization = Annotated[CallerKey, Depends(_caller_key)]


async def _forwarded_headers(request: Request, service: ServiceState) -> dict[str, str]:
    """Return the headers of a request that are sent to the upstream.

    Raises UpstreamLoop if the request has passed this service before.
    """
    hops = request.headers.get(HOP_HEADER, "")
    if service.instance_id in {hop.strip() for hop in hops.split(",")}:
        raise UpstreamLoop(
            "An upstream is this service itself, directly or through other servers. Check "
            "MEMORY_UPSTREAM_BASE_URL and MEMORY_UPSTREAMS."
        )
    further = service.settings.forwarded_headers
    return {name: value for name, value in request.headers.items() if _is_forwarded(name, further)}


ForwardedHeaders = Annotated[dict[str, str], Depends(_forwarded_headers)]

UpstreamName = Annotated[
    str | None,
    Header(
        alias="x-memory-upstream",
        description="The name of the upstream; without it, the model decides.",
    ),
]


def _is_forwarded(name: str, further: tuple[str, ...]) -> bool:
    if name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES):
        return True
    named = any(
        name.startswith(entry[:-1]) if entry.endswith("*") else name == entry for entry in further
    )
    return named and name not in _NEVER_FORWARDED
