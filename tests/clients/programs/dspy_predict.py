# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["dspy>=3,<4"]
# ///
"""DSPy's language model."""

from __future__ import annotations

import json
import os

import dspy


def model() -> dspy.LM:
    """Return a model of the conversation: the path of its URL names it."""
    conversation = os.environ["CLIENT_CONVERSATION"]
    return dspy.LM(
        "openai/m",
        api_base=f"{os.environ['CLIENT_ADDRESS']}/c/{conversation}/v1",
        api_key="none",
        cache=False,
    )


def text_of(answers: list[object]) -> str:
    """Return the text of the first answer."""
    first = answers[0]
    return str(first["text"] if isinstance(first, dict) else first)


def main() -> None:
    """Print the answers by capability."""
    model()("My locker at the gym is number 8314.")
    print(json.dumps({"remembers": text_of(model()("Which locker is mine?"))}))


main()
