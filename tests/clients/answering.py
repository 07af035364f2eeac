"""How the stand-in upstream answers the clients of the matrix.

It knows the number of the locker only from its prompt, so that an answer with the number shows
that the client's earlier message was in the prompt.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.upstream import Body, Reply, calls, text_of

FACT, NUMBER = "My locker at the gym is number 8314.", "8314"
WEATHER = "It is 4 degrees in Oslo."


def answer(body: Body) -> Reply:
    """Call a tool for the weather, fill in a schema, or say which locker the prompt names."""
    messages = body["messages"]
    questions = [text_of(message) for message in messages if message["role"] == "user"]
    question = questions[-1] if questions else ""
    question = question.rpartition("</recalled_turns>")[2]
    tools = _function_names(body)
    if messages[-1]["role"] == "tool":
        return _text(WEATHER)
    if "weather" in question.lower() and tools:
        name = next((name for name in tools if "weather" in name.lower()), tools[0])
        return calls((name, {"city": "Oslo"}))(body)
    if "degrees" in json.dumps(body.get("response_format") or ""):
        return _text('{"city": "Oslo", "degrees": 4}')
    if "which locker" in question.lower():
        return _text(f"Yours is {NUMBER}." if NUMBER in json.dumps(messages) else "I forgot.")
    return _text("Noted.")


def _text(text: str) -> Reply:
    return Reply([{"role": "assistant", "content": text}])


def _function_names(body: Body) -> list[str]:
    tools: list[Any] = body.get("tools") or []
    return [tool["function"]["name"] for tool in tools if tool.get("type") == "function"]
