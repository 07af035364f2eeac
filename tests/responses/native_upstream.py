"""A stand-in for an upstream that has the Responses API, on a real socket.

It numbers its items anew in each response, as some servers do, and refuses what OpenAI refuses:
fields of this service, calls without results and results without calls.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from memory_service.responses.events import encoded, replay
from memory_service.responses.objects import message_item, new_response, text_part
from tests.support.upstream import serving

Body = Mapping[str, Any]
Output = Sequence[Mapping[str, Any]]
Behaviour = Callable[[Body], Output]

_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 25,
}


def text_of(item: Mapping[str, Any]) -> str:
    """Return the text of a message, its parts joined."""
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or f"[{part['type']}]" for part in content)


def echo(body: Body) -> Output:
    """Repeat the last line of the last item."""
    text = body["input"] if isinstance(body["input"], str) else text_of(body["input"][-1])
    return [message_item("msg_1", [text_part(f"You said: {text.splitlines()[-1]}")])]


class NativeUpstream:
    """A running stand-in, its behaviours and the bodies that it has received."""

    def __init__(self) -> None:
        self.base_url = ""
        self.bodies: list[dict[str, Any]] = []
        self.contents: list[bytes] = []
        self.cut_after: int | None = None
        self._script: deque[Behaviour] = deque()
        self._numbers = count(1)
        self._released = threading.Event()
        self._released.set()

    def hold(self) -> None:
        """Answer requests only after `release`."""
        self._released.clear()

    def release(self) -> None:
        """Answer the requests that wait."""
        self._released.set()

    def then(self, *behaviours: Behaviour) -> None:
        """Answer the next requests in these ways."""
        self._script.extend(behaviours)

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(routes=[Route("/v1/responses", self._respond, methods=["POST"])])

    async def _respond(self, request: Request) -> Response:
        content = await request.body()
        body = json.loads(content)
        self.contents.append(content)
        self.bodies.append(body)
        behaviour = self._script.popleft() if self._script else echo
        await anyio.to_thread.run_sync(self._released.wait)
        problem = _problem(body)
        if problem is not None:
            return JSONResponse({"error": {"message": problem, "type": "invalid"}}, 400)
        begun = new_response(body, f"resp_{next(self._numbers)}", 1)
        output = list(behaviour(body))
        response = {**begun, "status": "completed", "output": output, "usage": _USAGE}
        if not body.get("stream"):
            return JSONResponse(response)
        events = [{**e, "sequence_number": n} for n, e in enumerate(replay(response))]
        sent = b"".join(map(encoded, events[: self.cut_after]))
        return Response(sent, media_type="text/event-stream")


def _problem(body: Body) -> str | None:
    for name in ("conversation", "previous_response_id"):
        if name in body:
            return f"Unknown parameter: {name}."
    if isinstance(body["input"], str):
        return None
    calls = [i["call_id"] for i in body["input"] if i.get("type") == "function_call"]
    results = [i["call_id"] for i in body["input"] if i.get("type") == "function_call_output"]
    return None if sorted(calls) == sorted(results) else "No tool output found for function call."


@contextmanager
def running_native_upstream() -> Iterator[NativeUpstream]:
    """Serve on a free port of loopback, in a thread."""
    upstream = NativeUpstream()
    with serving(upstream.app()) as address:
        upstream.base_url = f"{address}/v1"
        yield upstream
