# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["llama-index-llms-openai-like>=0.8,<0.9"]
# ///
"""LlamaIndex's OpenAILike: chat, stream and a function agent."""

from __future__ import annotations

import asyncio
import json
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"4 degrees in {city}"


def model() -> OpenAILike:
    """Return a model of the conversation."""
    return OpenAILike(
        model="m",
        api_base=f"{os.environ['CLIENT_ADDRESS']}/v1",
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        default_headers={"x-conversation-id": os.environ["CLIENT_CONVERSATION"]},
    )


async def with_tools() -> str:
    """Return the answer of an agent that calls a tool."""
    agent = FunctionAgent(tools=[get_weather], llm=model())
    return str(await agent.run("What is the weather in Oslo?"))


def main() -> None:
    """Print the answers by capability."""
    model().chat([ChatMessage("My locker at the gym is number 8314.")])
    remembered = model().chat([ChatMessage("Which locker is mine?")])
    chunks = model().stream_chat([ChatMessage("And once more: which locker is mine?")])
    results = {
        "remembers": remembered.message.content,
        "streams": "".join(chunk.delta or "" for chunk in chunks),
        "tools": asyncio.run(with_tools()),
    }
    print(json.dumps(results))


main()
