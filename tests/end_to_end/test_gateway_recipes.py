"""The recipes of the documentation for an upstream run against a stand-in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.chatting import RunningGateway, gateway
from tests.support.documents import Block, marked
from tests.support.storing import eventually
from tests.support.upstream import MODELS, running_upstream

KEY = "sk-of-the-application"


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    """Return a running service with a conversation of one turn and its answer."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # The Agents SDK would send traces to its makers.
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    with gateway(tmp_path, light=True) as running:
        headers = {"x-conversation-id": "locker-talk"}
        running.send("My locker at the gym is 8314.", headers=headers).raise_for_status()
        yield running


@pytest.mark.parametrize("block", marked("upstream"), ids=lambda block: block.name)
def test_recipe_asks_the_model_with_the_earlier_turn(chat: RunningGateway, block: Block) -> None:
    source = block.source.replace("http://127.0.0.1:8000", chat.address)
    if block.language == "python":
        _, _, package = block.marker.partition(" with ")
        pytest.importorskip(package or "openai", reason="pip install '.[clients]'")
        command = [sys.executable, "-c", source]
    elif shutil.which("curl") is None:
        pytest.skip("needs curl")
    else:
        command = ["bash", "-c", source]
    process = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True)
    assert "Which locker is mine?" in process.stdout
    assert chat.upstream.last.headers["authorization"] == f"Bearer {KEY}"
    assert "8314" in str(chat.upstream.last.messages)
    assert str(chat.upstream.last.messages[-1]["content"]).endswith("Which locker is mine?")
    if "locker-talk" in source:
        assert chat.texts("locker-talk")[-2] == "Which locker is mine?"


@pytest.mark.parametrize("block", marked("serve"), ids=lambda block: block.name)
def test_command_serves_the_upstream_that_it_names(tmp_path: Path, block: Block) -> None:
    with running_upstream() as upstream:
        program = block.source.strip().replace(
            "memory-service", f"{sys.executable} -m memory_service"
        )
        variables, count = re.subn(r"(?<==)http\S+", upstream.base_url, program)
        assert count == 1
        command = (
            f"MEMORY_LOG_FORMAT=json exec env {variables} --port 0 --data-dir {tmp_path / 'data'}"
        )
        with subprocess.Popen(
            ["bash", "-c", command],  # noqa: S607 - as a reader runs it
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr is not None
                lines = (json.loads(line) for line in process.stderr if "listening" in line)
                address = next(lines)["address"]
                eventually(lambda: is_open(address))
                models = httpx2.get(f"{address}/v1/models").raise_for_status()
            finally:
                process.terminate()
    assert [model["id"] for model in models.json()["data"]] == list(MODELS)


def is_open(address: str) -> bool:
    """Return whether a server listens."""
    try:
        return httpx2.get(f"{address}/healthz").is_success
    except httpx2.ConnectError:
        return False
