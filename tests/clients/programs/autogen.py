# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["autogen-agentchat>=0.7,<0.8", "autogen-ext[openai]>=0.7,<0.8"]
# ///
"""AutoGen's assistant agent."""

from __future__ import annotations

import asyncio
import json
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily, ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"4 degrees in {city}"


def agent() -> AssistantAgent:
    """Return a new agent of the conversation."""
    client = OpenAIChatCompletionClient(
        model="m",
        base_url=f"{os.environ['CLIENT_ADDRESS']}/v1",
        default_headers={"x-conversation-id": os.environ["CLIENT_CONVERSATION"]},
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            structured_output=True,
            family=ModelFamily.UNKNOWN,
        ),
    )
    return AssistantAgent(
        "wren", client, tools=[get_weather], reflect_on_tool_use=True, model_client_stream=True
    )


async def ask(text: str) -> str:
    """Return the answer of a new agent."""
    result = await agent().run(task=text)
    return str(result.messages[-1].model_dump()["content"])


async def main() -> None:
    """Print the answers by capability; the agent streams."""
    await ask("My locker at the gym is number 8314.")
    results = {
        "remembers": await ask("Which locker is mine?"),
        "streams": await ask("And once more: which locker is mine?"),
        "tools": await ask("What is the weather in Oslo?"),
    }
    print(json.dumps(results))


asyncio.run(main())
