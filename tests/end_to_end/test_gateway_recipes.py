"""The README's recipes of "Change the base URL", each run as it stands against the stand-in."""

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

from tests.support.chatting import Gateway, gateway
from tests.support.environment import ROOT
from tests.support.storing import eventually
from tests.support.upstream import MODELS, running_upstream

README = (ROOT / "README.md").read_text(encoding="utf-8")
KEY = "sk-of-the-application"
PYTHON = {"openai": "openai", "langchain": "langchain_openai", "agents": "agents"}


def recipe(name: str) -> str:
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.+?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # The Agents SDK would send traces to its makers.
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    with gateway(tmp_path, light=True) as running:
        headers = {"x-conversation-id": "locker-talk"}
        running.send("My locker at the gym is 8314.", headers=headers).raise_for_status()
        yield running


def run(*command: str) -> str:
    """Return what a command prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True)
    return done.stdout


def check(chat: Gateway, output: str) -> None:
    """Check that the model was asked with the caller's key and what was said before."""
    assert "Which locker is mine?" in output
    assert chat.upstream.last.headers["authorization"] == f"Bearer {KEY}"
    assert "8314" in str(chat.upstream.last.messages)
    assert chat.said("locker-talk")[-2] == "Which locker is mine?"


@pytest.mark.parametrize("name", list(PYTHON))
def test_the_python_of_a_recipe_runs(chat: Gateway, name: str) -> None:
    pytest.importorskip(PYTHON[name], reason="pip install '.[clients]'")
    source = recipe(name).replace("http://127.0.0.1:8000", chat.address)
    check(chat, run(sys.executable, "-c", source))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_of_a_recipe_runs(chat: Gateway) -> None:
    command = recipe("curl").replace("http://127.0.0.1:8000", chat.address)
    check(chat, run("bash", "-c", command))


@pytest.mark.parametrize("name", ["serve-openai", "serve-ollama"])
def test_the_command_of_a_recipe_serves_the_upstream_it_names(tmp_path: Path, name: str) -> None:
    with running_upstream() as upstream:
        program = (
            recipe(name).strip().replace("memory-service", f"{sys.executable} -m memory_service")
        )
        named, count = re.subn(r"(?<==)http\S+", upstream.base_url, program)
        assert count == 1
        command = f"MEMORY_LOG_FORMAT=json exec env {named} --port 0 --data-dir {tmp_path / 'data'}"
        with subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE, text=True) as served:  # noqa: S607 - as above
            try:
                assert served.stderr is not None
                lines = (json.loads(line) for line in served.stderr if "listening" in line)
                address = next(lines)["address"]
                eventually(lambda: is_open(address))
                models = httpx2.get(f"{address}/v1/models").raise_for_status()
            finally:
                served.terminate()
    assert [one["id"] for one in models.json()["data"]] == list(MODELS)


def is_open(address: str) -> bool:
    """Return whether a server listens."""
    try:
        return httpx2.get(f"{address}/healthz").is_success
    except httpx2.ConnectError:
        return False
