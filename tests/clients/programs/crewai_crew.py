# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["crewai>=1.15,<2"]
# ///
"""CrewAI's model class."""

from __future__ import annotations

import json
import os

os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")

from crewai import LLM


def model(*, stream: bool = False) -> LLM:
    """Return a model of the conversation: the path of its URL names it."""
    conversation = os.environ["CLIENT_CONVERSATION"]
    return LLM(
        model="openai/m",
        base_url=f"{os.environ['CLIENT_ADDRESS']}/c/{conversation}/v1",
        api_key="none",
        stream=stream,
    )


def main() -> None:
    """Print the answers by capability."""
    model().call("My locker at the gym is number 8314.")
    results = {
        "remembers": str(model().call("Which locker is mine?")),
        "streams": str(model(stream=True).call("And once more: which locker is mine?")),
    }
    print(json.dumps(results))


main()
