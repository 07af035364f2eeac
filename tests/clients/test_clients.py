"""A matrix of real clients, each in an environment of its own, unchanged but for its base URL.

Run it with `.ci/clients`. It downloads the clients.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.answering import NUMBER, answer
from tests.support.chatting import RunningGateway, gateway, new_id
from tests.support.environment import ROOT

PROGRAMS = sorted(
    path
    for path in (ROOT / "tests" / "clients" / "programs").iterdir()
    if path.suffix in {".py", ".mjs", ".sh"}
)

EXPECTED: Mapping[str, str] = {
    "remembers": NUMBER,
    "streams": NUMBER,
    "tools": "4 degrees",
    "parses": '"degrees": 4',
}
"""What a client's answer contains if the capability works."""

pytestmark = pytest.mark.skipif(
    os.environ.get("MEMORY_SERVICE_TESTS") != "clients",
    reason="downloads clients: .ci/clients runs it",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("clients")) as running:
        running.upstream.answer = answer
        running.upstream.strict = False
        yield running


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_client_works_and_remembers(world: RunningGateway, program: Path, tmp_path: Path) -> None:
    environment = {
        # The clients have vocabularies of their own.
        **{name: value for name, value in os.environ.items() if name != "TIKTOKEN_CACHE_DIR"},
        "CLIENT_ADDRESS": world.address,
        "CLIENT_UPSTREAM": world.upstream.base_url,
        "CLIENT_PYTHON": sys.executable,
        "CLIENT_CONVERSATION": new_id(),
        "CLIENT_USER": f"user-{new_id()}",
        "OPENAI_API_KEY": "none",
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        "NPM_CONFIG_CACHE": os.environ.get("NPM_CONFIG_CACHE", str(Path.home() / ".npm")),
    }
    done = subprocess.run(
        command(program, tmp_path),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A client may print something of its own.
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('{"'))
    results = json.loads(line)
    assert "remembers" in results
    for capability, text in results.items():
        part = capability.partition(" ")[0]
        assert EXPECTED[part] in text, f"{capability}: {text}\n{done.stderr}"


def command(program: Path, folder: Path) -> list[str]:
    """Return the command that runs a program in an environment of its own."""
    if program.suffix == ".py":
        return [sys.executable, "-m", "uv", "run", "--no-project", "--script", str(program)]
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (line,) = re.findall(r"^(?://|#) dependencies: (.+)$", program.read_text("utf-8"), re.MULTILINE)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *line.split()]
    subprocess.run(install, check=True, capture_output=True, cwd=folder)
    copy = shutil.copy(program, folder)
    return ["node" if program.suffix == ".mjs" else "bash", str(copy)]
