"""The service as its command runs it, in a process and a folder of its own, to be measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

TOKEN_BUDGET = 2_000
"""Tokens of the prompts that are asked for."""

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0

Json = dict[str, Any]


class MeasurementError(Exception):
    """The service did not do what is measured; the message says what."""


class Server:
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
    def another(self) -> Iterator[Server]:
        """Open one more connection to the same service."""
        other = Server(self._process, self.address, self.start_seconds)
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        """Close the connection; the service goes on."""
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
        """Append turns, user and assistant by turns, and note how far the index is behind."""
        items = [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(texts)
        ]
        answer = self.post(f"/v1/conversations/{conversation}/items", {"items": items})
        self.lag = int(answer.headers["x-memory-index-lag"])

    def search(self, conversation: str, query: str) -> httpx2.Response:
        """Search one conversation."""
        return self.post("/v1/search", {"query": query, "conversation_id": conversation})

    def context(self, conversation: str, text: str) -> httpx2.Response:
        """Build a prompt."""
        body = {"input": text, "token_budget": TOKEN_BUDGET}
        return self.post(f"/v1/conversations/{conversation}/context", body)

    def read_lag(self) -> int:
        """Return how many passages the index is behind."""
        return int(_checked(self._client.get("/readyz")).json()["lag"])

    def memory(self) -> Json | None:
        """Return the memory of the service and its children; see `memory_of`."""
        return memory_of(self._process.pid)

    def cpu_seconds(self) -> float | None:
        """Return the processor time that the service has used; see `cpu_seconds`."""
        return cpu_seconds(self._process.pid)


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, without its children; None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> Json | None:
    """Return the memory of a process and its children, in bytes; None where unknown.

    `rss_bytes` counts pages once that they share; `service_rss_bytes` and `children_rss_bytes` (of
    Chroma) count them in each. `highest_rss_bytes` is the sum of what each process had at its
    highest, which is never too little; beside it stands what of that is the service's, the
    index's and the largest one's.
    """
    found = [_memory(one) for one in _process_tree(pid)]
    known = [one for one in found if one is not None]
    if not known:
        return None
    return {
        "rss_bytes": sum(one["Pss"] for one in known),
        "service_rss_bytes": known[0]["VmRSS"],
        "children_rss_bytes": sum(one["VmRSS"] for one in known[1:]),
        "highest_rss_bytes": sum(one["VmHWM"] for one in known),
        "of_the_service_bytes": known[0]["VmHWM"],
        "of_the_index_bytes": sum(one["VmHWM"] for one in known[1:]),
        "of_the_largest_bytes": max(one["VmHWM"] for one in known),
        "processes": len(known),
    }


def forget_highest_memory() -> None:
    """Let the highest memory of this process be counted from now on, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def disk_use(folder: Path) -> Json:
    """Return the bytes in a data folder by part."""
    sizes = {
        path.relative_to(folder): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    chroma = sum(size for path, size in sizes.items() if path.parts[0] == "chroma")
    log = sum(size for path, size in sizes.items() if path.name.startswith("turn_log"))
    return {"turn_log": log, "chroma": chroma, "total": sum(sizes.values())}


def _process_tree(pid: int) -> list[int]:
    """Return a process and all below it, itself first."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _process_tree(child))]


def _memory(pid: int) -> dict[str, int] | None:
    fields: dict[str, int] = {}
    try:
        for name in ("status", "smaps_rollup"):
            for line in Path(f"/proc/{pid}/{name}").read_text(encoding="ascii").splitlines():
                field, _, value = line.partition(":")
                if field in ("VmHWM", "VmRSS", "Pss"):
                    fields[field] = int(value.split()[0]) * 1024
    except OSError:
        return None
    return fields


@contextmanager
def serving(folder: Path, log: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `memory-service serve` on a folder; stops it at the end, whatever happens.

    `settings` are environment variables beside the caller's.
    """
    command = [sys.executable, "-m", "memory_service", "serve", "--host", "127.0.0.1"]
    command += ["--port", "0", "--log-format", "json", "--data-dir", str(folder)]
    began = time.perf_counter()
    with log.open("wb") as output:
        # A session of its own: Ctrl-C comes here, and the service is then stopped below.
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
        server = Server(process, address, time.perf_counter() - began)
        try:
            yield server
        finally:
            server.close()
    finally:
        _stop(process)


def _checked(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    raise MeasurementError(f"{response.request.url.path}: {response.status_code} {response.text}")


def _environment() -> dict[str, str]:
    # Where the folder is and how it is served is not for the caller's environment to say here.
    ours = {"MEMORY_DATA_DIR", "MEMORY_HOST", "MEMORY_PORT", "MEMORY_LOG_FORMAT"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _address(process: subprocess.Popen[bytes], log: Path, began: float) -> str:
    """Return the address that the service logs when it listens."""
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
