# /// script
# requires-python = ">=3.11"
# dependencies = ["openai-agents>=0.24,<1"]
# ///
"""The OpenAI Agents SDK with its default model, which uses the Responses API."""

from __future__ import annotations

import asyncio
import json
import os

import agents
from openai import AsyncOpenAI


@agents.function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"4 degrees in {city}"


def use_conversation(conversation: str) -> None:
    """Let all agents talk in a conversation."""
    client = AsyncOpenAI(
        base_url=f"{os.environ['CLIENT_ADDRESS']}/v1",
        default_headers={"x-conversation-id": conversation},
    )
    agents.set_default_openai_client(client, use_for_tracing=False)


async def talk(suffix: str) -> dict[str, str]:
    """Return the answers by capability."""
    agent = agents.Agent(name="Wren", instructions="Be kind.", tools=[get_weather], model="m")
    await agents.Runner.run(agent, "My locker at the gym is number 8314.")
    remembered = await agents.Runner.run(agent, "Which locker is mine?")
    stream = agents.Runner.run_streamed(agent, "And once more: which locker is mine?")
    async for _ in stream.stream_events():
        pass
    weather = await agents.Runner.run(agent, "What is the weather in Oslo?")
    return {
        f"remembers{suffix}": remembered.final_output,
        f"streams{suffix}": stream.final_output,
        f"tools{suffix}": weather.final_output,
    }


async def main() -> None:
    """Print the answers with both APIs."""
    agents.set_tracing_disabled(True)
    conversation = os.environ["CLIENT_CONVERSATION"]
    use_conversation(conversation)
    results = await talk("")
    agents.set_default_openai_api("chat_completions")
    use_conversation(f"{conversation}-chat")
    print(json.dumps(results | await talk(" (chat)")))


asyncio.run(main())
