"""Health, readiness, documentation, and a disk that refuses writes."""

from __future__ import annotations

import gc
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

import memory_service
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import Service
from tests.support.factories import message

DEADLINE_SECONDS = 60


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail after a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"


def ready(url: str) -> httpx2.Response:
    return httpx2.get(f"{url}/readyz")


def test_healthz_returns_version(address: str) -> None:
    answer = httpx2.get(f"{address}/healthz")
    assert answer.json() == {"status": "ok", "version": memory_service.__version__}
    assert answer.headers["x-request-id"].startswith("req_")


def test_new_service_is_ready(address: str) -> None:
    answer = ready(address)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "lag": 0, "parked": 0}


def test_readyz_changes_nothing(address: str) -> None:
    before = httpx2.get(f"{address}/v1/conversations").text
    assert [ready(address).json() for _ in range(3)] == [
        {"status": "ok", "lag": 0, "parked": 0}
    ] * 3
    assert httpx2.get(f"{address}/v1/conversations").text == before


@pytest.mark.parametrize("count", [1, 300])
def test_lag_returns_to_zero_after_writes(address: str, count: int) -> None:
    body = {"id": "c", "items": [message(f"turn {number}") for number in range(count)]}
    httpx2.post(f"{address}/v1/conversations", json=body).raise_for_status()
    wait_until(lambda: ready(address).json()["lag"] == 0)
    httpx2.delete(f"{address}/v1/conversations/c").raise_for_status()
    wait_until(lambda: ready(address).json() == {"status": "ok", "lag": 0, "parked": 0})


def test_openapi_lists_routes(address: str) -> None:
    paths = httpx2.get(f"{address}/openapi.json").json()["paths"]
    assert {"/v1/conversations", "/v1/search", "/healthz", "/readyz"} <= set(paths)


def test_documentation_page_loads_local_files_only(address: str) -> None:
    page = httpx2.get(f"{address}/docs").text
    loaded = [httpx2.URL(address).join(url) for url in re.findall(r'(?:src|href)="([^"]*)"', page)]
    assert len(loaded) >= 2
    assert all(str(url).startswith(address) for url in loaded)
    assert [url for url in loaded if httpx2.get(url).status_code != 200] == []


def test_stopped_service_is_garbage_collected(settings: Settings) -> None:
    def services() -> int:
        gc.collect()
        return sum(type(value) is Service for value in gc.get_objects())

    before = services()
    with running(settings, "tests") as address:
        httpx2.get(f"{address}/docs").raise_for_status()
        assert services() == before + 1
    assert services() == before


@contextmanager
def server_process(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield (process, address) of a server in a process of its own."""
    folder = str(settings.data_dir)
    arguments = ["serve", "--port", "0", "--log-format", "json", "--data-dir", folder]
    with subprocess.Popen(
        [sys.executable, "-m", "memory_service", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, _address(process)
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_SECONDS)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    events = map(json.loads, process.stderr)
    url: str = next(event["address"] for event in events if event["event"] == "listening")
    wait_until(lambda: _answers(url))
    return url


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_readyz_reports_unwritable_log_and_recovery(settings: Settings) -> None:
    with server_process(settings) as (process, url):
        body = {"id": "c", "items": [message("before")]}
        httpx2.post(f"{url}/v1/conversations", json=body).raise_for_status()
        wait_until(lambda: ready(url).json()["lag"] == 0)
        # From here on, the system refuses every write of the process to a file.
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        answer = ready(url)
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        items_url = f"{url}/v1/conversations/c/items"
        refused = httpx2.post(items_url, json={"items": [message("lost")]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert httpx2.get(f"{url}/healthz").status_code == 200
        assert len(httpx2.get(items_url).raise_for_status().json()["data"]) == 1
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_until(lambda: ready(url).status_code == 200)
        httpx2.post(items_url, json={"items": [message("after")]}).raise_for_status()
        wait_until(lambda: ready(url).json() == {"status": "ok", "lag": 0, "parked": 0})
