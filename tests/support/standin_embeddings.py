"""A stand-in server of `/v1/embeddings`: it answers as a test says, and records requests."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import shake_128
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 8

Rows = list[list[float]]
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """A response: a status, a body (bytes, or a value for JSON) and headers."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request as it was received."""

    path: str
    headers: Mapping[str, str]
    body: Body

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        return list(self.body["input"])


Behaviour = Callable[[Body], Reply]


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """Return a text's vector: always the same, and not of unit length."""
    digest = shake_128(text.encode()).digest(dimension)
    return [float(byte) - 127.5 for byte in digest]


def ok(body: Body) -> Reply:
    """Answer correctly, in the requested format."""
    return answer(rows_for(body), body)


def rows_for(body: Body) -> Rows:
    """Return the vectors of a request's texts."""
    return [vector_of(text, body.get("dimensions") or DIMENSION) for text in body["input"]]


def answer(rows: Sequence[Sequence[float]], body: Body) -> Reply:
    """Return vectors as OpenAI does."""
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(row) if packed else row}
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Reply({"object": "list", "data": data, "model": body["model"], "usage": usage})


def error(
    status: int, *, code: str | None = None, message: str = "no", **headers: str
) -> Behaviour:
    """Answer with an error status in OpenAI's envelope."""
    envelope = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(envelope, status, sent)


def repeating_request(status: int) -> Behaviour:
    """Refuse, and repeat the request in the error, as validating servers do."""
    return lambda body: Reply({"error": {"message": json.dumps(body), "code": str(body)}}, status)


def shuffled(body: Body) -> Reply:
    """Answer correctly, with the vectors in reverse order."""
    reply = ok(body)
    assert isinstance(reply.body, dict)
    return Reply({**reply.body, "data": reply.body["data"][::-1]})


def as_numbers(body: Body) -> Reply:
    """Answer with plain numbers even if base64 was requested, as some servers do."""
    return answer(rows_for(body), {**body, "encoding_format": "float"})


def with_values(*values: float) -> Behaviour:
    """Answer with a last vector of these values."""

    def behave(body: Body) -> Reply:
        last = [values[position % len(values)] for position in range(DIMENSION)]
        return answer([*rows_for(body)[:-1], last], body)

    return behave


def too_few(body: Body) -> Reply:
    """Answer with one vector less."""
    return answer(rows_for(body)[:-1], body)


def too_many(body: Body) -> Reply:
    """Answer with one vector more."""
    return answer([*rows_for(body), vector_of("more")], body)


def twice_the_first(body: Body) -> Reply:
    """Answer with all vectors under the index of the first."""
    reply = ok(body)
    assert isinstance(reply.body, dict)
    return Reply({**reply.body, "data": [{**row, "index": 0} for row in reply.body["data"]]})


def once_more_the_first(body: Body) -> Reply:
    """Answer correctly, and repeat the first vector."""
    reply = ok(body)
    assert isinstance(reply.body, dict)
    return Reply({**reply.body, "data": [*reply.body["data"], reply.body["data"][0]]})


def of_dimension(dimension: int) -> Behaviour:
    """Answer with the vectors of another model."""
    return lambda body: answer([vector_of(text, dimension) for text in body["input"]], body)


def raw(content: bytes) -> Behaviour:
    """Answer with these bytes and status 200."""
    return lambda _: Reply(content)


class Standin:
    """The running server: `then` queues behaviours, one per request; then it answers correctly."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.requests: list[Request] = []
        self._script: deque[Behaviour] = deque()
        self._released = threading.Event()

    def then(self, *behaviours: Behaviour) -> None:
        """Answer the next requests in these ways."""
        self._script.extend(behaviours)

    def slow(self, body: Body) -> Reply:
        """Answer only when the server stops."""
        self._released.wait()
        return ok(body)

    def release(self) -> None:
        """End the waits of slow answers."""
        self._released.set()

    def reply(self, request: Request) -> Reply:
        """Record a request and return its answer."""
        self.requests.append(request)
        behave = self._script.popleft() if self._script else ok
        return behave(request.body)


@contextmanager
def standin_embeddings() -> Iterator[Standin]:
    """Serve on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    standin = Standin(f"http://127.0.0.1:{server.server_port}/v1")
    server.standin = standin  # type: ignore[attr-defined]  # the handler's only way to it
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield standin
    finally:
        standin.release()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        # As urllib and others do, names of headers are compared in lower case.
        headers = {name.lower(): value for name, value in self.headers.items()}
        standin: Standin = self.server.standin  # type: ignore[attr-defined]  # set by standin_embeddings
        self._send(standin.reply(Request(self.path, headers, json.loads(content))))

    def log_message(self, *_: object) -> None:
        """Write no log line."""

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            # The client gave up on a slow answer.
            self.close_connection = True


def _packed(row: Sequence[float]) -> str:
    return b64encode(np.array(row, dtype="<f4").tobytes()).decode()
