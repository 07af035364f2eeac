"""Path prefixes that name who is speaking, for clients that can set nothing but a base URL.

`/u/{user}/v1/…` names the user, `/c/{conversation}/v1/…` the conversation; both may be combined, in
any order. The rest of the path is routed as if the prefix were not there.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

# An id is missing where a variable of the base URL was empty: of `/u//v1`, one slash is left.
_PREFIXED = re.compile(
    r"/(?P<first>[uc])(?:/(?P<first_id>[^/]+))?"
    r"(?:/(?!(?P=first))(?P<second>[uc])(?:/(?P<second_id>[^/]+))?)?"
    r"(?P<rest>/(?:v1|openai)(?:/.*)?)"
)
_STATE_NAMES = {"u": "path_user", "c": "path_conversation"}


class PathIdentity:
    """Removes the prefix of a path; `request.state` then has `path_user`, `path_conversation`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and scope["path"].startswith(("/u/", "/c/")):
            scope = _without_prefix(scope)
        await self._app(scope, receive, send)


def _without_prefix(scope: Scope) -> Scope:
    # An id may contain an escaped slash, which the decoded path no longer tells from others.
    raw_path = scope.get("raw_path")
    path = quote(scope["path"]) if raw_path is None else raw_path.partition(b"?")[0].decode("ascii")
    match = _PREFIXED.fullmatch(path)
    if match is None:
        return scope
    ids: dict[str, Any] = {
        _STATE_NAMES[match[name]]: unquote(match[f"{name}_id"] or "")
        for name in ("first", "second")
        if match[name] is not None
    }
    rest = match["rest"]
    return {
        **scope,
        "path": unquote(rest),
        "raw_path": rest.encode("ascii"),
        "state": {**scope.get("state", {}), **ids},
    }
