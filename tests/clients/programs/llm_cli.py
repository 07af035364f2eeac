# /// script
# requires-python = ">=3.11"
# dependencies = ["llm>=0.36,<1"]
# ///
"""The command `llm`, with a model of extra-openai-models.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
- model_id: remembering
  model_name: m
  api_base: {address}/c/{conversation}/v1
  api_key_name: none
"""


def ask(folder: Path, text: str, *options: str) -> str:
    """Return what the command prints."""
    command = [sys.executable, "-m", "llm", "-m", "remembering", *options, text]
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """Print the answers by capability."""
    folder = Path("llm-user")
    folder.mkdir(exist_ok=True)
    configuration = CONFIGURATION.format(
        address=os.environ["CLIENT_ADDRESS"], conversation=os.environ["CLIENT_CONVERSATION"]
    )
    (folder / "extra-openai-models.yaml").write_text(configuration)
    (folder / "keys.json").write_text('{"none": "none"}')
    ask(folder, "My locker at the gym is number 8314.", "--no-stream")
    results = {
        "remembers": ask(folder, "Which locker is mine?", "--no-stream"),
        "streams": ask(folder, "And once more: which locker is mine?"),
    }
    print(json.dumps(results))


main()
