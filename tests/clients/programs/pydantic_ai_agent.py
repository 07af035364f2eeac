# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic-ai-slim[openai]>=2,<3"]
# ///
"""Pydantic AI with its chat model and its responses model."""

from __future__ import annotations

import asyncio
import json
import os

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Weather(BaseModel):
    """The structured output of a request."""

    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"4 degrees in {city}"


def provider(conversation: str) -> OpenAIProvider:
    """Return a provider whose requests belong to a conversation."""
    client = AsyncOpenAI(
        base_url=f"{os.environ['CLIENT_ADDRESS']}/v1",
        default_headers={"x-conversation-id": conversation},
    )
    return OpenAIProvider(openai_client=client)


async def talk(model: OpenAIChatModel | OpenAIResponsesModel, suffix: str) -> dict[str, str]:
    """Return the answers by capability."""
    agent = Agent(model)
    await agent.run("My locker at the gym is number 8314.")
    remembered = (await agent.run("Which locker is mine?")).output
    async with agent.run_stream("And once more: which locker is mine?") as stream:
        streamed = await stream.get_output()
    weather = await Agent(model, tools=[get_weather]).run("What is the weather in Oslo?")
    return {
        f"remembers{suffix}": remembered,
        f"streams{suffix}": streamed,
        f"tools{suffix}": weather.output,
    }


async def main() -> None:
    """Print the answers of both models."""
    conversation = os.environ["CLIENT_CONVERSATION"]
    chat = OpenAIChatModel("m", provider=provider(conversation))
    responses = OpenAIResponsesModel("m", provider=provider(f"{conversation}-responses"))
    results = await talk(chat, "") | await talk(responses, " (responses)")
    print(json.dumps(results))


asyncio.run(main())
