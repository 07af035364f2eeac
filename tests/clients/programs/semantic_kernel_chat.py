# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["semantic-kernel>=1.45,<2"]
# ///
"""Semantic Kernel's OpenAIChatCompletion, with a function that the model calls."""

from __future__ import annotations

import asyncio
import json
import os

from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function


class WeatherPlugin:
    """Functions for the model."""

    @kernel_function(description="Return the weather of a city.")
    def get_weather(self, city: str) -> str:
        """Return the weather of a city."""
        return f"4 degrees in {city}"


def service() -> OpenAIChatCompletion:
    """Return a model of the conversation."""
    client = AsyncOpenAI(
        base_url=f"{os.environ['CLIENT_ADDRESS']}/v1",
        default_headers={"x-conversation-id": os.environ["CLIENT_CONVERSATION"]},
    )
    return OpenAIChatCompletion(ai_model_id="m", async_client=client)


def history(text: str) -> ChatHistory:
    """Return a history of one message."""
    messages = ChatHistory()
    messages.add_user_message(text)
    return messages


async def ask(text: str) -> str:
    """Return the answer to a message."""
    settings = OpenAIChatPromptExecutionSettings()
    return str(await service().get_chat_message_content(history(text), settings))


async def with_tools(text: str) -> str:
    """Return the answer after a function call."""
    kernel = Kernel()
    kernel.add_plugin(WeatherPlugin(), "weather")
    settings = OpenAIChatPromptExecutionSettings(
        function_choice_behavior=FunctionChoiceBehavior.Auto()
    )
    content = await service().get_chat_message_content(history(text), settings, kernel=kernel)
    return str(content)


async def streamed(text: str) -> str:
    """Return a streamed answer."""
    settings = OpenAIChatPromptExecutionSettings()
    chunks = service().get_streaming_chat_message_content(history(text), settings)
    return "".join([str(chunk) async for chunk in chunks if chunk is not None])


async def main() -> None:
    """Print the answers by capability."""
    await ask("My locker at the gym is number 8314.")
    results = {
        "remembers": await ask("Which locker is mine?"),
        "streams": await streamed("And once more: which locker is mine?"),
        "tools": await with_tools("What is the weather in Oslo?"),
    }
    print(json.dumps(results))


asyncio.run(main())
