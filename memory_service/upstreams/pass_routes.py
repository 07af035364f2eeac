"""Pass routes: which routes below /v1 are passed on with the service's own upstream key. Pure.

That key may belong to an administrator of the upstream. So with it only routes that run a model
pass, and routes that the settings name. Everything else needs the caller's own key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote

from memory_service.core.errors import Forbidden, InvalidRequest

_RUN_A_MODEL = (
    *("POST completions", "POST fim/completions", "POST embeddings"),
    *("POST messages", "POST messages/count_tokens", "POST moderations"),
    *("POST rerank", "POST score"),
    *("POST audio/speech", "POST audio/transcriptions", "POST audio/translations"),
    *("POST images/generations", "POST images/edits", "POST images/variations"),
    *("GET models", "GET models/*", "HEAD models", "HEAD models/*"),
)

_PATH_CHARACTERS = "!$&'()*+,;=:@~/"
_MAX_DECODINGS = 3


class RoutePattern(NamedTuple):
    """A route that passes: a method (None is any) and a path, in which an asterisk is any text."""

    method: str | None
    path: re.Pattern[str]

    def matches(self, method: str, path: str) -> bool:
        """Return whether it is the pattern of a request; `path` is what follows /v1/."""
        return self.method in {None, method} and self.path.fullmatch(path) is not None


class PassPolicy:
    """Decides which routes pass with the service's own key."""

    def __init__(self, further_routes: Iterable[str] = ()) -> None:
        self._patterns = [_pattern(route) for route in (*_RUN_A_MODEL, *further_routes)]

    def check(self, method: str, path: str) -> None:
        """Raise Forbidden unless a request passes; `path` is what follows /v1/."""
        if any(pattern.matches(method, path.rstrip("/")) for pattern in self._patterns):
            return
        raise Forbidden(
            f"{method} /v1/{path[:200]} is not passed on with this server's own upstream key. Send"
            " your own upstream key, or let the server name the route in MEMORY_PASS_ROUTES.",
            code="route_not_passed",
        )


def checked_path(path: str) -> str:
    """Return a decoded path, encoded once more, as it is sent to the upstream.

    Raises InvalidRequest if a server could read it as another path: with dots, empty segments, a
    backslash, or any of these encoded again.
    """
    for segment in _as_servers_may_read(path).rstrip("/").split("/"):
        # Some servers cut a segment at its semicolon.
        if segment.partition(";")[0].strip() in {"", ".", ".."}:
            raise InvalidRequest("The path has empty segments or dots.", code="invalid_path")
    try:
        return quote(path, safe=_PATH_CHARACTERS)
    except UnicodeError as error:
        raise InvalidRequest("The path is not UTF-8.", code="invalid_path") from error


def _as_servers_may_read(path: str) -> str:
    """Return a path with everything decoded that is encoded again; raises InvalidRequest."""
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(path, errors="replace")
        if decoded == path:
            break
        path = decoded
    else:
        raise InvalidRequest("The path is encoded too many times.", code="invalid_path")
    if any(character < " " or character in "\\\x7f" for character in path):
        raise InvalidRequest("The path has control characters or a backslash.", code="invalid_path")
    return path


def _pattern(route: str) -> RoutePattern:
    """Return the pattern of a text such as `files/*` or `GET /v1/files`."""
    method, space, path = route.strip().rpartition(" ")
    relative = path.removeprefix("/v1").strip("/")
    expression = ".+".join(map(re.escape, relative.split("*")))
    return RoutePattern(method.strip().upper() if space else None, re.compile(expression))
