"""An upstream with every route: it records requests and answers as `answer` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.upstream import serving

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it was received; the path is encoded and has its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes


Answer = Callable[[RecordedRequest], Response]


def ok(_: RecordedRequest) -> Response:
    """Answer with a small JSON object."""
    return JSONResponse({"object": "ok"})


def lists(*names: str) -> Answer:
    """Answer with a list of models."""
    data: list[dict[str, Any]] = [{"id": name, "object": "model"} for name in names]
    return lambda _: JSONResponse({"object": "list", "data": data})


class RecordingUpstream:
    """A running upstream and its requests."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[RecordedRequest] = []
        self.answer: Answer = ok

    @property
    def last(self) -> RecordedRequest:
        """The newest request."""
        return self.requests[-1]

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(routes=[Route("/{path:path}", self._record, methods=METHODS)])

    async def _record(self, request: Request) -> Response:
        try:
            content = await request.body()
        except ClientDisconnect:
            return Response(status_code=499)
        query = request.scope["query_string"]
        path = request.scope["raw_path"] + (b"?" + query if query else b"")
        recorded = RecordedRequest(
            request.method, path.decode(), dict(request.headers.items()), content
        )
        self.requests.append(recorded)
        return self.answer(recorded)


@contextmanager
def recording_upstream() -> Iterator[RecordingUpstream]:
    """Serve on a free port of loopback, in a thread."""
    upstream = RecordingUpstream()
    with serving(upstream.app()) as address:
        upstream.address = address
        yield upstream
