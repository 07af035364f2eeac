"""The stand-in's server: its modes, its script, and the requests that it received."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.upstream.behaviours import echo, fails
from tests.support.upstream.completions import completion, stream_events, usage_of
from tests.support.upstream.prompts import (
    count_tokens,
    is_well_formed,
    string_problem,
    template_problem,
)
from tests.support.upstream.refusals import Refusal, too_long
from tests.support.upstream.replies import Behaviour, Body, Reply
from tests.support.upstream.vendor_fields import VendorFields

MODELS: Final = ("stand-in", "stand-in-mini")
STALL_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Received:
    """A request as it was received."""

    path: str
    headers: Mapping[str, str]
    content: bytes
    tokens: int

    @property
    def body(self) -> dict[str, Any]:
        """The body's JSON object."""
        return dict(json.loads(self.content))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages."""
        return list(self.body["messages"])


@dataclass
class Modes:
    """What the stand-in requires of a prompt, and what it tells about itself.

    `max_tokens` is its window, and `refuse` how it refuses longer prompts. With `cuts_at` it takes
    any prompt and reads only that many tokens. With `strings_only` contents must be strings. With
    `strict` a prompt must fit a strict chat template. With `signs` its answers have fields that
    must come back. `model_fields` are added to each model of `/v1/models`.
    """

    max_tokens: int | None = None
    refuse: Refusal = too_long
    cuts_at: int | None = None
    strings_only: bool = False
    strict: bool = True
    signs: bool = False
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    count: Callable[[Body], int] = count_tokens
    answer: Behaviour = echo


class Upstream(Modes):
    """A running stand-in, its behaviours and its requests."""

    def __init__(self, base_url: str = "") -> None:
        super().__init__()
        self.base_url = base_url
        self.requests: list[Received] = []
        self.refused: list[str] = []
        self.disconnects = 0
        self._vendor_fields = VendorFields()
        self._script: deque[Behaviour] = deque()
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def then(self, *behaviours: Behaviour) -> None:
        """Answer the next requests in these ways."""
        self._script.extend(behaviours)

    def reset(self) -> None:
        """Return to the first modes and forget script and requests."""
        vars(self).update(vars(Modes()))
        self._script.clear()
        self.requests.clear()
        self.refused.clear()

    def release(self) -> None:
        """End all pauses, now and from now on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._released.set)

    @property
    def last(self) -> Received:
        """The newest request."""
        return self.requests[-1]

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _complete(self, request: HttpRequest) -> Response:
        self._loop = asyncio.get_running_loop()
        content = await request.body()
        body = json.loads(content)
        if not is_well_formed(body):
            return _plain_response(fails(400, "This is not a chat completion.")({}))
        tokens = self.count(body)
        self.requests.append(Received(request.url.path, dict(request.headers), content, tokens))
        reply = self._reply(body, tokens)
        await self._pause(reply.first_byte_seconds)
        if reply.cut_after == 0:
            return _CutResponse()
        if reply.status != 200 or reply.body is not None:
            return _plain_response(reply)
        read = tokens if self.cuts_at is None else min(tokens, self.cuts_at)
        usage = reply.usage or usage_of(read, reply)
        if not body.get("stream"):
            return _plain_response(reply, completion(body, reply, usage))
        if reply.gzip:
            content = b"".join(stream_events(body, reply, usage))
            return _compressed(content, reply.media_type)
        # Without a media type of its own, Starlette adds no charset and keeps the case.
        headers = {**reply.headers, "content-type": reply.media_type}
        return StreamingResponse(self._stream(body, reply, usage), headers=headers)

    def _reply(self, body: Body, tokens: int) -> Reply:
        refusal = self._refusal(body, tokens)
        if refusal is not None:
            self.refused.append(json.dumps(refusal.body))
            return refusal
        reply = (self._script.popleft() if self._script else self.answer)(body)
        return self._vendor_fields.signed(reply) if self.signs else reply

    def _refusal(self, body: Body, tokens: int) -> Reply | None:
        """Return the refusal of a prompt that one of the modes does not take."""
        messages = body["messages"]
        problem = template_problem(messages) if self.strict else None
        if problem is not None:
            return fails(400, problem, "invalid_template")(body)
        strings = string_problem(messages) if self.strings_only else None
        if strings is not None:
            return Reply(status=422, body=strings)
        unsigned = self._vendor_fields.problem(messages) if self.signs else None
        if unsigned is not None:
            return fails(400, unsigned, "invalid_argument")(body)
        reserved = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        if self.max_tokens is not None and tokens + reserved > self.max_tokens:
            return self.refuse(self.max_tokens, tokens, reserved)
        return None

    async def _stream(self, body: Body, reply: Reply, usage: Body) -> AsyncIterator[bytes]:
        try:
            for number, event in enumerate(stream_events(body, reply, usage)):
                if reply.cut_after is not None and number >= reply.cut_after:
                    raise _CutError
                if number == reply.stall_after:
                    await self._pause(STALL_SECONDS)
                if number:
                    await self._pause(reply.between_seconds)
                yield event
        except asyncio.CancelledError:
            self.disconnects += 1
            raise

    async def _models(self, request: HttpRequest) -> Response:
        self.requests.append(Received(request.url.path, dict(request.headers), b"", 0))
        common = {"object": "model", "created": 1_700_000_000, "owned_by": "tests"}
        common |= self.model_fields
        data = [{"id": name, **common} for name in MODELS]
        return JSONResponse({"object": "list", "data": data})

    async def _pause(self, seconds: float) -> None:
        if seconds and not self._released.is_set():
            await asyncio.wait([asyncio.create_task(self._released.wait())], timeout=seconds)


class _CutError(Exception):
    """Ends a connection in the middle."""


class _CutResponse(Response):
    """Begins a body and breaks the connection."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"99"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise _CutError


def _plain_response(reply: Reply, body: object = None) -> Response:
    content = reply.body if body is None else body
    if isinstance(content, bytes):
        return Response(content, reply.status, dict(reply.headers))
    if reply.gzip:
        return _compressed(json.dumps(content).encode(), "application/json")
    return JSONResponse(content, reply.status, dict(reply.headers))


def _compressed(content: bytes, media_type: str) -> Response:
    headers = {"content-encoding": "gzip", "content-type": media_type}
    return Response(gzip.compress(content), headers=headers)


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Serve on a free port of loopback, in a thread."""
    upstream = Upstream()
    with serving(upstream.app()) as address:
        upstream.base_url = f"{address}/v1"
        try:
            yield upstream
        finally:
            upstream.release()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of loopback, in a thread; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = http_server(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def http_server(app: ASGIApp) -> uvicorn.Server:
    """Return a server that does not log the exceptions that break connections."""
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
