# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["haystack-ai>=3,<4"]
# ///
"""Haystack's OpenAIChatGenerator."""

from __future__ import annotations

import json
import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage


def ask(text: str, *, stream: bool = False) -> str:
    """Return the answer of a new generator; the conversation is in the URL's path."""
    conversation = os.environ["CLIENT_CONVERSATION"]
    generator = OpenAIChatGenerator(
        model="m",
        api_base_url=f"{os.environ['CLIENT_ADDRESS']}/c/{conversation}/v1",
        streaming_callback=(lambda _: None) if stream else None,
    )
    return generator.run([ChatMessage.from_user(text)])["replies"][0].text or ""


def main() -> None:
    """Print the answers by capability."""
    ask("My locker at the gym is number 8314.")
    results = {
        "remembers": ask("Which locker is mine?"),
        "streams": ask("And once more: which locker is mine?", stream=True),
    }
    print(json.dumps(results))


main()
