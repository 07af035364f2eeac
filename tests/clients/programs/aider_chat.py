# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["aider-chat>=0.86,<0.87"]
# ///
"""The command `aider`, which begins each session with the same examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def ask(text: str, *options: str) -> str:
    """Return what a session of one message prints."""
    address, conversation = os.environ["CLIENT_ADDRESS"], os.environ["CLIENT_CONVERSATION"]
    command = [
        *(sys.executable, "-m", "aider", "--model", "openai/m", "--message", text),
        *("--openai-api-base", f"{address}/c/{conversation}/v1", "--openai-api-key", "none"),
        *("--no-git", "--yes-always", "--no-show-model-warnings", "--no-check-update"),
        *("--analytics-disable", "--no-pretty", "--no-fancy-input", "--no-detect-urls", *options),
    ]
    # Its table of prices and limits would be fetched from the network.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """Print the answers by capability."""
    ask("My locker at the gym is number 8314.", "--no-stream")
    results = {
        "remembers": ask("Which locker is mine?", "--no-stream"),
        "streams": ask("And once more: which locker is mine?"),
    }
    print(json.dumps(results))


main()
