"""A stand-in for an upstream: a server of `/v1/chat/completions` on a real socket.

It answers each request with the next behaviour that `then` has queued, otherwise with `answer`
(an echo). It refuses what strict chat templates refuse, and prompts longer than `max_tokens`. It
records all requests. `python tests/support/upstream.py [PORT]` serves it as a process.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Body = Mapping[str, Any]
Message = Mapping[str, Any]

ECHO: Final = "You said: "
MODELS: Final = ("stand-in", "stand-in-mini")
MESSAGE_TOKENS: Final = 4
STALL_SECONDS: Final = 60.0
PACED_CHUNKS: Final = 20

_WORD = re.compile(r"\w+|[^\w\s]")
_NUMBERS = count(1)


@dataclass(frozen=True)
class Reply:
    """A response: one message per choice, or a status with any body.

    Without `usage`, the tokens are counted. `first_byte_seconds` and `between_seconds` are waits
    before the first byte and between chunks of a stream. After `stall_after` chunks the stream
    stops until the server is released. After `cut_after` chunks (0: after the headers) the
    connection breaks.
    """

    messages: Sequence[Message] = ()
    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = None
    chunk_chars: int = 8
    first_byte_seconds: float = 0.0
    between_seconds: float = 0.0
    stall_after: int | None = None
    cut_after: int | None = None


Behaviour = Callable[[Body], Reply]


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


def echo(body: Body) -> Reply:
    """Repeat the last message."""
    return Reply([{"role": "assistant", "content": ECHO + text_of(body["messages"][-1])}])


def says(*texts: str | Message) -> Behaviour:
    """Answer with one choice per text or message."""
    messages = [
        {"role": "assistant", "content": text} if isinstance(text, str) else text for text in texts
    ]
    return lambda _: Reply(messages)


def calls(*functions: tuple[str, Mapping[str, Any]], content: str | None = None) -> Behaviour:
    """Call tools, in parallel if there are several: (name, arguments) each."""

    def behave(_: Body) -> Reply:
        tool_calls = [
            {
                "id": f"call_{next(_NUMBERS)}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for name, arguments in functions
        ]
        message = {"role": "assistant", "content": content, "tool_calls": tool_calls}
        return Reply([message], finish_reason="tool_calls")

    return behave


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Behaviour:
    """Refuse with a status, in OpenAI's envelope."""
    envelope = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(status=status, body=envelope, headers=sent)


def paced(body: Body) -> Reply:
    """Repeat the last line, slowly: with the model `paced-50`, 50 ms pass before each chunk."""
    seconds = int(str(body["model"]).rpartition("-")[2]) / 1000
    text = text_of(body["messages"][-1]).splitlines()[-1]
    size = max(1, len(text) // PACED_CHUNKS)
    return Reply(
        [{"role": "assistant", "content": text}], chunk_chars=size, between_seconds=seconds
    )


def raw(content: bytes, status: int = 200, content_type: str = "application/json") -> Behaviour:
    """Answer with these bytes."""
    headers = {"content-type": content_type}
    return lambda _: Reply(status=status, body=content, headers=headers)


def but(behaviour: Behaviour, **changes: Any) -> Behaviour:
    """Answer like another behaviour with changed fields of the reply."""
    return lambda body: replace(behaviour(body), **changes)


def too_long(limit: int, tokens: int) -> Reply:
    """Refuse a prompt with OpenAI's message."""
    message = (
        f"This model's maximum context length is {limit} tokens. "
        f"However, your messages resulted in {tokens} tokens."
    )
    return fails(400, message, "context_length_exceeded")({})


def text_of(message: Message) -> str:
    """Return the text of a message, its parts joined."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or f"[{part['type']}]" for part in content)


def count_tokens(body: Body) -> int:
    """Count the tokens of a prompt: words and signs, and four per message."""
    parts = [*(body.get("messages") or ()), *(body.get("tools") or ())]
    return sum(len(_WORD.findall(_plain(part))) + MESSAGE_TOKENS for part in parts)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_plain(part) for key, part in value.items() if key != "type")
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return "" if value is None else str(value)


def _is_well_formed(body: Any) -> bool:
    """Return whether a body has messages with roles and readable contents."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        return False
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return (
        all(
            isinstance(message, dict) and isinstance(message.get("role"), str)
            for message in messages
        )
        and all(content is None or isinstance(content, str | list) for content in contents)
        and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts)
        and all(isinstance(part.get("text") or "", str) for part in parts)
        and isinstance(body.get("tools") or [], list)
    )


def template_problem(messages: Sequence[Message]) -> str | None:
    """Return why a strict chat template refuses messages, None if it does not."""
    roles = [message["role"] for message in messages]
    body = roles[1:] if roles[:1] in (["system"], ["developer"]) else roles
    if {"system", "developer"} & set(body):
        return "System message must be at the beginning."
    if any(pair == ("user", "user") for pair in pairwise(body)):
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    return _tool_problem(messages)


def _tool_problem(messages: Sequence[Message]) -> str | None:
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "A message with role 'tool' must answer a preceding tool call."
            waiting.discard(message["tool_call_id"])
        elif waiting:
            return "A message with tool calls must be followed by their results."
        else:
            waiting = {call["id"] for call in message.get("tool_calls") or ()}
    return "A message with tool calls must be followed by their results." if waiting else None


class Upstream:
    """A running stand-in, its behaviours and its requests."""

    def __init__(self, base_url: str = "") -> None:
        self.base_url = base_url
        self.requests: list[Received] = []
        self.max_tokens: int | None = None
        self.strict = True
        self.count: Callable[[Body], int] = count_tokens
        self.answer: Behaviour = echo
        self.disconnects = 0
        self._script: deque[Behaviour] = deque()
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def then(self, *behaviours: Behaviour) -> None:
        """Answer the next requests in these ways."""
        self._script.extend(behaviours)

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
        if not _is_well_formed(body):
            return _plain_response(fails(400, "This is not a chat completion.")({}))
        tokens = self.count(body)
        self.requests.append(Received(request.url.path, dict(request.headers), content, tokens))
        reply = self._reply(body, tokens)
        await self._pause(reply.first_byte_seconds)
        if reply.cut_after == 0:
            return _CutResponse()
        if reply.status != 200 or reply.body is not None:
            return _plain_response(reply)
        usage = reply.usage or _usage(tokens, reply)
        if body.get("stream"):
            return StreamingResponse(
                self._stream(body, reply, usage), media_type="text/event-stream"
            )
        return JSONResponse(_completion(body, reply, usage), headers=dict(reply.headers))

    def _reply(self, body: Body, tokens: int) -> Reply:
        problem = template_problem(body["messages"]) if self.strict else None
        if problem is not None:
            return fails(400, problem, "invalid_template")(body)
        if self.max_tokens is not None and tokens > self.max_tokens:
            return too_long(self.max_tokens, tokens)
        return (self._script.popleft() if self._script else self.answer)(body)

    async def _stream(self, body: Body, reply: Reply, usage: Body) -> AsyncIterator[bytes]:
        options = body.get("stream_options")
        wants_usage = isinstance(options, Mapping) and options.get("include_usage")
        chunks = [_event(chunk) for chunk in _chunks(body, reply, usage if wants_usage else None)]
        try:
            for number, chunk in enumerate([*chunks, b"data: [DONE]\n\n"]):
                if reply.cut_after is not None and number >= reply.cut_after:
                    raise _CutError
                if number == reply.stall_after:
                    await self._pause(STALL_SECONDS)
                if number:
                    await self._pause(reply.between_seconds)
                yield chunk
        except asyncio.CancelledError:
            self.disconnects += 1
            raise

    async def _models(self, request: HttpRequest) -> Response:
        self.requests.append(Received(request.url.path, dict(request.headers), b"", 0))
        data = [{"id": name, "object": "model", "owned_by": "tests"} for name in MODELS]
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


def _plain_response(reply: Reply) -> Response:
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, dict(reply.headers))
    return JSONResponse(reply.body, reply.status, dict(reply.headers))


def _usage(tokens: int, reply: Reply) -> dict[str, int]:
    answer_tokens = sum(len(_WORD.findall(_plain(message))) for message in reply.messages)
    return {
        "prompt_tokens": tokens,
        "completion_tokens": answer_tokens,
        "total_tokens": tokens + answer_tokens,
    }


def _head(body: Body, reply: Reply, kind: str) -> dict[str, Any]:
    common = {"id": f"chatcmpl-{next(_NUMBERS)}", "object": kind, "created": 1_700_000_000}
    return {**common, "model": body.get("model"), **reply.fields}


def _completion(body: Body, reply: Reply, usage: Body) -> dict[str, Any]:
    choices = [
        {"index": n, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        for n, message in enumerate(reply.messages)
    ]
    return {**_head(body, reply, "chat.completion"), "choices": choices, "usage": usage}


def _chunks(body: Body, reply: Reply, usage: Body | None) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream in the form of OpenAI."""
    head = _head(body, reply, "chat.completion.chunk")
    if usage is not None:
        head["usage"] = None
    for index, message in enumerate(reply.messages):
        for delta in _deltas(message, reply.chunk_chars):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {**head, "choices": [choice]}
        end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reply.finish_reason}
        yield {**head, "choices": [end]}
    if usage is not None:
        yield {**head, "choices": [], "usage": usage}


def _deltas(message: Message, size: int) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message.get("content") else None}
    for name in ("content", "refusal"):
        for piece in _pieces(message.get(name) or "", size):
            yield {name: piece}
    if message.get("function_call"):
        yield {"function_call": {"name": message["function_call"]["name"], "arguments": ""}}
        for piece in _pieces(message["function_call"]["arguments"], size):
            yield {"function_call": {"arguments": piece}}
    for index, call in enumerate(message.get("tool_calls") or ()):
        empty = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, **call, "function": empty}]}
        for piece in _pieces(call["function"]["arguments"], size):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


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
        server = _server(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    # Connections are broken by raising exceptions, which must not be logged.
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def main() -> None:
    """Serve paced answers until the process ends; the first line printed is the address."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with socket.create_server(("127.0.0.1", port)) as listener:
        upstream = Upstream()
        upstream.strict = False
        upstream.answer = paced
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)  # noqa: T201
        _server(upstream.app()).run([listener])


if __name__ == "__main__":
    main()
