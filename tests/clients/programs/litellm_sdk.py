# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["litellm>=1.110,<2"]
# ///
"""LiteLLM's SDK; it does not send the field `user` with models that it does not know."""

from __future__ import annotations

import json
import os
from typing import Any

import litellm


def ask(text: str, **fields: Any) -> Any:
    """Send one message."""
    return litellm.completion(
        model="openai/m",
        api_base=f"{os.environ['CLIENT_ADDRESS']}/v1",
        api_key="none",
        extra_headers={"x-conversation-id": os.environ["CLIENT_CONVERSATION"]},
        messages=[{"role": "user", "content": text}],
        **fields,
    )


def main() -> None:
    """Print the answers by capability."""
    ask("My locker at the gym is number 8314.")
    chunks = ask("And once more: which locker is mine?", stream=True)
    results = {
        "remembers": ask("Which locker is mine?").choices[0].message.content,
        "streams": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
    }
    print(json.dumps(results))


main()
