"""Middleware that serves the spellings of paths and methods that clients use for the same route.

* Repeated slashes count as one (`//v1/models`): clients join a base URL that ends in a slash with
  a path that begins with one. A slash at the end is ignored; a redirect would lose the body of a
  POST. Slashes that are escaped in a path (`%2F`) belong to an id and are not changed.
* HEAD returns the headers of GET.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SLASHES = re.compile(rb"//+")


class RequestPaths:
    """Passes requests on with the path and the method of their route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw_path: bytes = scope["raw_path"]
        path = plain_path(raw_path)
        if path != raw_path:
            scope = {**scope, "raw_path": path, "path": unquote(path.decode("ascii", "replace"))}
        if scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_bodies(send))
        else:
            await self._app(scope, receive, send)


def plain_path(path: bytes) -> bytes:
    """Return a path without repeated slashes and without one at its end."""
    if b"//" not in path and not path.endswith(b"/"):
        return path
    return _SLASHES.sub(b"/", path).rstrip(b"/") or b"/"


def _without_bodies(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "body": b""})
        else:
            await send(message)

    return send_head
