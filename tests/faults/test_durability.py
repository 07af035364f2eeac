"""Acknowledged items are stored: after kills at random moments, after a stop, on the disk."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.support.environment import LONG
from tests.support.storing import eventually

ROUNDS = 50 if LONG else 5
WRITERS = 4
COMMAND = (sys.executable, "-m", "memory_service")
START_SECONDS = 120


@dataclass
class Server:
    """A server in a process (and process group) of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    def stop(self) -> int:
        """Ask the server to stop, and return its exit code."""
        os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill the server with all its threads and children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def ready(self) -> dict[str, Any]:
        """Return the server's readiness report."""
        answer: dict[str, Any] = httpx2.get(f"{self.address}/readyz", timeout=60).json()
        return answer

    def is_up(self) -> bool:
        """Return whether the server answers; its address is read from its log."""
        assert self.process.poll() is None, self.log.read_text()
        match = re.search(r'"address": "([^"]+)"', self.log.read_text())
        if match is None:
            return False
        self.address = match[1]
        try:
            return bool(self.ready())
        except httpx2.TransportError:
            return False


@contextmanager
def serving(folder: Path, *wrapper: str) -> Iterator[Server]:
    """Run a server on a free port; it is killed at the end if it still runs."""
    log = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.log")
    options = ("serve", "--port", "0", "--data-dir", str(folder), "--log-format", "json")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*wrapper, *COMMAND, *options], stderr=stderr, start_new_session=True
        )
    server = Server(process, log)
    try:
        eventually(server.is_up, START_SECONDS)
        yield server
    finally:
        if process.poll() is None:
            server.kill()


@dataclass
class Acknowledged:
    """Items that the server acknowledged: (writer, conversation, item id, its rare word)."""

    items: list[tuple[int, str, str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, writer: int, conversation: str, item_id: str, word: str) -> None:
        """Add an item, in the order of the answers."""
        with self.changed:
            self.items.append((writer, conversation, item_id, word))
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until there are `count` items."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.items) >= count, timeout=120)


def rare_word(round_number: int, writer: int, step: int) -> str:
    """Return a word that no other item has."""
    letters = random.Random(f"{round_number} {writer} {step}").choices("bcdfghjklmnpqrtvz", k=12)
    return "".join(letters)


def write_until_disconnected(
    server: Server, round_number: int, writer: int, acknowledged: Acknowledged
) -> None:
    """Append to an own and to the shared conversation in turn, until the server is gone."""
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as client:
        for step in range(10_000):
            conversation = f"own-{writer}" if step % 2 else "shared"
            word = rare_word(round_number, writer, step)
            text = f"writer {writer} in round {round_number} says {word} as number {step}"
            try:
                created = client.conversations.items.create(
                    conversation, items=[{"role": "user", "content": text}]
                )
            except openai.APIConnectionError:
                return
            acknowledged.add(writer, conversation, str(created.data[0].id), word)


def items_of(address: str, conversation: str) -> list[dict[str, Any]]:
    """Return a conversation's items, oldest first."""
    items: list[dict[str, Any]] = []
    has_more, url = True, f"{address}/v1/conversations/{conversation}/items"
    while has_more:
        after = {"after": items[-1]["id"]} if items else {}
        page = httpx2.get(url, params={"order": "asc", "limit": "100", **after}).json()
        items += page["data"]
        has_more = page["has_more"]
    return items


def check_stored(
    server: Server, acknowledged: Sequence[tuple[int, str, str, str]], rounds: int
) -> None:
    """Check that each acknowledged item is stored once and in order, with few other items."""
    for conversation in sorted({item[1] for item in acknowledged}):
        stored = [item["id"] for item in items_of(server.address, conversation)]
        assert max(Counter(stored).values()) == 1
        place = {item_id: number for number, item_id in enumerate(stored)}
        for writer in range(WRITERS):
            item_ids = [item[2] for item in acknowledged if item[:2] == (writer, conversation)]
            places = [place[item_id] for item_id in item_ids]
            assert places == sorted(places)
        acknowledged_ids = {item[2] for item in acknowledged}
        assert (
            len([item_id for item_id in stored if item_id not in acknowledged_ids])
            <= WRITERS * rounds
        )


def check_search_finds(server: Server, acknowledged: Sequence[tuple[int, str, str, str]]) -> None:
    """Check that each item is found by its rare word."""
    with httpx2.Client(base_url=server.address, timeout=60) as http:
        for _, conversation, item_id, word in acknowledged:
            body = {"query": word, "conversation_id": conversation, "top_k": 5}
            response = http.post("/v1/search", json=body).json()
            assert item_id in {hit["item_id"] for hit in response["data"]}
            assert "degraded" not in response


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder that no process holds."""
    command = [*COMMAND, "verify", "--data-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def create_conversations(server: Server) -> None:
    """Create the conversations that the writers append to."""
    for conversation in ("shared", *(f"own-{writer}" for writer in range(WRITERS))):
        body = {"id": conversation, "user": "ana"}
        httpx2.post(f"{server.address}/v1/conversations", json=body).raise_for_status()


@pytest.mark.timeout(60 * 60 if LONG else 300)
def test_acknowledged_items_survive_kills_at_random_moments(tmp_path: Path) -> None:
    folder, chance, acknowledged = tmp_path / "data", random.Random(os.getpid()), Acknowledged()
    checked = 0
    for round_number in range(ROUNDS + 1):
        with serving(folder) as server:
            if round_number == 0:
                create_conversations(server)
            eventually(lambda: _is_indexed(server), START_SECONDS)
            check_stored(server, acknowledged.items, round_number)
            check_search_finds(server, acknowledged.items[checked:])
            checked = len(acknowledged.items)
            if round_number == ROUNDS:
                check_search_finds(server, acknowledged.items)
                assert server.stop() == 0
            else:
                kill_while_writing(server, round_number, acknowledged, chance.randint(1, 120))
    result = verify(folder)
    assert result.returncode == 0, result.stdout


def kill_while_writing(
    server: Server, round_number: int, acknowledged: Acknowledged, count: int
) -> None:
    """Kill the server as soon as it has acknowledged `count` further items."""
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [
            pool.submit(write_until_disconnected, server, round_number, writer, acknowledged)
            for writer in range(WRITERS)
        ]
        acknowledged.wait_for(len(acknowledged.items) + count)
        server.kill()
    assert [future.exception() for future in writing] == [None] * WRITERS


def _is_indexed(server: Server) -> bool:
    ready = server.ready()
    assert ready["status"] == "ok", ready
    return bool(ready["lag"] == 0)


def test_open_request_is_answered_at_stop(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with serving(folder) as server:
        httpx2.post(f"{server.address}/v1/conversations", json={"id": "c"}).raise_for_status()
        body = json.dumps({"items": [{"role": "user", "content": "just in time", "id": "i"}]})
        with closing(_open_request(server, len(body))) as connection:
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: not _accepts_connections(server))
            connection.sendall(body.encode())
            answer = _read_to_the_end(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(60) == 0
    with serving(folder) as server:
        assert [item["id"] for item in items_of(server.address, "c")] == ["i"]
        eventually(lambda: _is_indexed(server), START_SECONDS)
        assert server.stop() == 0
    assert verify(folder).returncode == 0


def _open_request(server: Server, length: int) -> socket.socket:
    """Send a request's headers, and return its connection when the server waits for the body."""
    port = int(server.address.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    lines = (
        "POST /v1/conversations/c/items HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {length}",
        "expect: 100-continue",
    )
    connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
    return connection


def _accepts_connections(server: Server) -> bool:
    port = int(server.address.rpartition(":")[2])
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def _read_to_the_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_graceful_stop_loses_no_acknowledged_item(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "data", Acknowledged()
    with serving(folder) as server, ThreadPoolExecutor(WRITERS) as pool:
        create_conversations(server)
        writing = [
            pool.submit(write_until_disconnected, server, 0, writer, acknowledged)
            for writer in range(WRITERS)
        ]
        acknowledged.wait_for(60)
        assert server.stop() == 0
        assert [future.exception() for future in writing] == [None] * WRITERS
    with serving(folder) as server:
        eventually(lambda: _is_indexed(server), START_SECONDS)
        check_stored(server, acknowledged.items, rounds=1)
        assert server.stop() == 0


def test_ctrl_c_stops_server_without_traceback(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        assert "Traceback" not in server.log.read_text()


def _strace() -> str:
    """Return the path of strace; without it the test is skipped, or fails where CI is set."""
    path = shutil.which("strace")
    works = path and subprocess.run([path, "-o", os.devnull, "true"], check=False).returncode == 0
    if not works:
        reason = "strace is missing, or tracing is not permitted"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return str(path)


def test_acknowledgement_follows_flush_to_disk(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    options = ("-f", "-y", "-ttt", "-e", "trace=fsync,fdatasync", "-o", str(trace))
    waits: list[tuple[float, float]] = []
    with serving(tmp_path / "data", _strace(), *options) as server:
        url = f"{server.address}/v1/conversations"
        httpx2.post(url, json={"id": "c"}, timeout=60).raise_for_status()
        for number in range(25):
            body = {"items": [{"role": "user", "content": f"number {number}"}]}
            sent = time.time()
            httpx2.post(f"{url}/c/items", json=body, timeout=60).raise_for_status()
            waits.append((sent, time.time()))
        assert server.stop() == 0
    lines = trace.read_text().splitlines()
    flushes = [
        float(line.split()[1])
        for line in lines
        if re.search(r"sync\(.*turn_log\.sqlite3-wal", line)
    ]
    assert len(flushes) >= len(waits)
    for sent, answered in waits:
        assert any(sent <= flush <= answered for flush in flushes)
