"""A service to measure: run by its command, in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from eval.benchmarks.resources import MemoryUse, cpu_seconds, memory_of
from eval.errors import MeasurementError
from eval.json_files import Json

TOKEN_BUDGET = 2_000
"""The token budget of the prompts that are built."""

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_INDEX_SECONDS = 3_600.0
_POLL_SECONDS = 0.05


class MeasuredService:
    """A running service, and one connection to it."""

    def __init__(
        self, process: subprocess.Popen[bytes], address: str, start_seconds: float
    ) -> None:
        self._process = process
        self.address = address
        self._client = httpx2.Client(base_url=address, timeout=120.0, trust_env=False)
        self.start_seconds = start_seconds
        self.lag = 0

    @contextmanager
    def another(self) -> Iterator[MeasuredService]:
        """Open one more connection to the same service."""
        other = MeasuredService(self._process, self.address, self.start_seconds)
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        """Close the connection; the service keeps running."""
        self._client.close()

    def get(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> Callable[[int], httpx2.Response]:
        """Return a request to be timed."""
        return lambda _number: _checked(self._client.get(path, params=params))

    def post(self, path: str, body: Json) -> httpx2.Response:
        """Send a JSON body."""
        return _checked(self._client.post(path, json=body))

    def append(self, conversation: str, texts: Sequence[str]) -> None:
        """Append turns, of user and assistant alternately, and note the lag of the index."""
        items = [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(texts)
        ]
        response = self.post(f"/v1/conversations/{conversation}/items", {"items": items})
        self.lag = int(response.headers["x-memory-index-lag"])

    def search(self, conversation: str, query: str) -> httpx2.Response:
        """Search one conversation."""
        return self.post("/v1/search", {"query": query, "conversation_id": conversation})

    def context(self, conversation: str, text: str) -> httpx2.Response:
        """Build a prompt."""
        body = {"input": text, "token_budget": TOKEN_BUDGET}
        return self.post(f"/v1/conversations/{conversation}/context", body)

    def read_lag(self) -> int:
        """Return the number of passages that are not indexed yet."""
        return int(_checked(self._client.get("/readyz")).json()["lag"])

    def wait_for_index(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Wait until every passage is indexed; raises MeasurementError after an hour.

        Calls `on_progress` with the passages that were indexed since the start, and all of them.
        """
        deadline = time.perf_counter() + _INDEX_SECONDS
        initial = self.read_lag()
        while (lag := self.read_lag()) > 0:
            if time.perf_counter() > deadline:
                raise MeasurementError(f"the index is {lag} passages behind and does not catch up")
            on_progress(initial - lag, initial)
            time.sleep(_POLL_SECONDS)

    def memory(self) -> MemoryUse | None:
        """Return the memory of the service and its children; None where it cannot be read."""
        return memory_of(self._process.pid)

    def cpu_seconds(self) -> float | None:
        """Return the processor time that the service has used; None if unknown."""
        return cpu_seconds(self._process.pid)


@contextmanager
def serving(
    folder: Path, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[MeasuredService]:
    """Run `memory-service serve` on a folder; always stops it at the end.

    `settings` are environment variables in addition to the caller's. Raises MeasurementError if the
    service does not start.
    """
    command = [sys.executable, "-m", "memory_service", "serve", "--host", "127.0.0.1"]
    command += ["--port", "0", "--log-format", "json", "--data-dir", str(folder)]
    began = time.perf_counter()
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches this process only, which stops the service below.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**_environment(), **(settings or {})},
            start_new_session=True,
        )
    try:
        address = _address(process, log, began)
        _wait_until_ready(process, address, began)
        service = MeasuredService(process, address, time.perf_counter() - began)
        try:
            yield service
        finally:
            service.close()
    finally:
        _stop(process)


def _checked(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    raise MeasurementError(f"{response.request.url.path}: {response.status_code} {response.text}")


def _environment() -> dict[str, str]:
    # The caller's environment must not move the folder or the address.
    fixed = {"MEMORY_DATA_DIR", "MEMORY_HOST", "MEMORY_PORT", "MEMORY_LOG_FORMAT"}
    return {name: value for name, value in os.environ.items() if name not in fixed}


def _address(process: subprocess.Popen[bytes], log: Path, began: float) -> str:
    """Return the address that the service logs once it listens."""
    while time.perf_counter() - began < _START_SECONDS:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and '"listening"' in line and line.endswith("}"):
                return str(json.loads(line)["address"])
        _check_alive(process)
        time.sleep(0.01)
    raise MeasurementError(f"the service did not listen within {_START_SECONDS:.0f} s")


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, began: float) -> None:
    with httpx2.Client(base_url=address, trust_env=False, timeout=_START_SECONDS) as client:
        while time.perf_counter() - began < _START_SECONDS:
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                _check_alive(process)
            time.sleep(0.01)
    raise MeasurementError(f"the service was not ready within {_START_SECONDS:.0f} s")


def _check_alive(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise MeasurementError(f"the service ended with exit code {process.returncode}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
