"""A server as the sink: retries, and servers that are down or are not a memory service."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from ingest.cli import app
from memory_service.core.errors import StartupError


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def failing_server() -> Iterator[tuple[str, list[str]]]:
    """Return a server that fails every request once, in different ways, and its requests."""
    requests: list[str] = []
    failures = itertools.cycle([503, 429, 500, 502])
    attempts: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            key = self.headers["idempotency-key"]
            requests.append(f"{key} {self.path}")
            attempts[key] = attempts.get(key, 0) + 1
            if attempts[key] == 1:
                self._answer(next(failures), {"error": {"message": "Not now."}})
            else:
                self._answer(200, {}, str(body.count('"role"')))

        def _answer(self, status: int, value: object, new: str = "0") -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (
                ("retry-after", "0"),
                ("x-memory-items-new", new),
                ("content-length", str(len(content))),
            ):
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Write no log line."""

    with serving(Handler) as address:
        yield address, requests


def test_temporary_failures_are_retried_with_same_key(
    history: Path, failing_server: tuple[str, list[str]]
) -> None:
    address, requests = failing_server
    result = CliRunner().invoke(app, [str(history), "--url", address, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["turns"]["stored"] == 5
    assert len(requests) == 8  # Two conversations, each created and filled, each request twice.
    assert set(Counter(requests).values()) == {2}


def answering(status: int, content: bytes, ready: bytes) -> type[BaseHTTPRequestHandler]:
    """Return a handler that answers /readyz with `ready` and everything else with `content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, ready) if self.path == "/readyz" else self._answer(status, content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(status, content)

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("content-length", str(len(body)))
            self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log line."""

    return Handler


HTML = b"<!doctype html><title>Router</title>"


def test_html_instead_of_readiness_is_startup_error(history: Path) -> None:
    with serving(answering(200, HTML, HTML)) as address:
        result = CliRunner().invoke(app, [str(history), "--url", address])
    assert isinstance(result.exception, StartupError)
    assert "not a memory service" in result.exception.message


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, HTML), (302, HTML), (400, HTML), (409, HTML), (401, HTML), (404, HTML), (503, HTML)],
)
def test_html_instead_of_answers_stores_nothing(status: int, content: bytes, history: Path) -> None:
    with serving(answering(status, content, b"{}")) as address:
        result = CliRunner().invoke(app, [str(history), "--url", address, "--json"])
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["turns"]["stored"] == 0
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)


def test_server_that_is_down_is_startup_error(history: Path) -> None:
    result = CliRunner().invoke(app, [str(history), "--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, StartupError)
    assert "No server answers at http://127.0.0.1:9" in result.exception.message


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://", "ftp://127.0.0.1", "http://[", "http://127.0.0.1:99999"]
)
def test_invalid_url_is_startup_error(url: str, history: Path) -> None:
    result = CliRunner().invoke(app, [str(history), "--url", url])
    assert isinstance(result.exception, StartupError)


@pytest.mark.parametrize("key", ["kl\u00e9", "a\nb", "\udcff"])
def test_api_key_that_cannot_be_sent_is_startup_error(key: str, history: Path) -> None:
    arguments = [str(history), "--url", "http://127.0.0.1:9", "--api-key", key]
    assert isinstance(CliRunner().invoke(app, arguments).exception, StartupError)
