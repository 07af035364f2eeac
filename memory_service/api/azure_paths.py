"""Azure's paths: clients of Azure's service call this one without another change than the host.

`/openai/v1/…` and `/openai/…` become `/v1/…`. So does `/openai/deployments/{deployment}/…`, with
the deployment as the model. The query parameter `api-version` has no meaning here.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

_PATH = re.compile(r"/openai(?:/v1|/deployments/(?P<deployment>[^/]+))?(?P<rest>/.*)")


class AzurePaths:
    """Rewrites the path of a request before it is routed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        path = _PATH.fullmatch(scope["path"]) if scope["type"] in {"http", "websocket"} else None
        await self._app(scope if path is None else _rewritten(scope, path), receive, send)


def deployment_of(request: Request) -> str | None:
    """Return the deployment in the path of a request, if it is one of Azure's paths."""
    return getattr(request.state, "deployment", None)


def _rewritten(scope: Scope, path: re.Match[str]) -> Scope:
    state: dict[str, Any] = {**scope.get("state", {}), "deployment": path["deployment"]}
    return {**scope, "path": f"/v1{path['rest']}", "state": state}
