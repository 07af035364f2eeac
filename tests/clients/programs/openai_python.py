# /// script
# requires-python = ">=3.11"
# dependencies = ["openai>=3,<4", "pydantic>=2"]
# ///
"""openai-python: chat completions, streams, tools, structured output, responses."""

from __future__ import annotations

import json
import os
from typing import Any

import openai
from pydantic import BaseModel

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Weather(BaseModel):
    """The structured output of a request."""

    city: str
    degrees: int


def client(conversation: str) -> openai.OpenAI:
    """Return a client whose requests belong to a conversation."""
    return openai.OpenAI(
        base_url=f"{os.environ['CLIENT_ADDRESS']}/v1",
        default_headers={"x-conversation-id": conversation},
    )


def ask(conversation: str, text: str, **fields: Any) -> Any:
    """Send one message."""
    return client(conversation).chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], **fields
    )


def streamed(conversation: str) -> str:
    """Return a streamed answer."""
    stream = ask(conversation, "And once more: which locker is mine?", stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def with_tools(conversation: str) -> str:
    """Return the answer after a tool call."""
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    openai_client = client(conversation)
    first = openai_client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    message = first.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}
        for call in message.tool_calls or []
    ]
    messages += [message, *results]
    second = openai_client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    return second.choices[0].message.content or ""


def parsed(conversation: str) -> str:
    """Return structured output."""
    answer = client(conversation).chat.completions.parse(
        model="m",
        messages=[{"role": "user", "content": "How warm is it in Oslo?"}],
        response_format=Weather,
    )
    value = answer.choices[0].message.parsed
    return json.dumps(value.model_dump() if value else None)


def responses(conversation: str) -> dict[str, str]:
    """Return the answers of the Responses API: next turn, stream, tool, structured output."""
    openai_client = client(conversation)
    first = openai_client.responses.create(model="m", input="My locker at the gym is number 8314.")
    second = openai_client.responses.create(
        model="m", input="Which locker is mine?", previous_response_id=first.id
    )
    with openai_client.responses.stream(model="m", input="Which locker is mine?") as stream:
        text = stream.get_final_response().output_text
    tool: Any = {"type": "function", **WEATHER["function"], "strict": False}
    question: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
    called = openai_client.responses.create(model="m", input=question, tools=[tool])
    results: Any = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "4 degrees"}
        for item in called.output
        if item.type == "function_call"
    ]
    last = openai_client.responses.create(
        model="m", input=results, previous_response_id=called.id, tools=[tool]
    )
    value = openai_client.responses.parse(
        model="m", input="How warm is it in Oslo?", text_format=Weather
    ).output_parsed
    return {
        "remembers (responses)": second.output_text,
        "streams (responses)": text,
        "tools (responses)": last.output_text,
        "parses (responses)": json.dumps(value.model_dump() if value else None),
    }


def main() -> None:
    """Print the answers by capability."""
    conversation = os.environ["CLIENT_CONVERSATION"]
    ask(conversation, "My locker at the gym is number 8314.")
    remembered = ask(conversation, "Which locker is mine?").choices[0].message.content
    results = {
        "remembers": remembered,
        "streams": streamed(conversation),
        "tools": with_tools(conversation),
        "parses": parsed(conversation),
        **responses(f"{conversation}-responses"),
    }
    print(json.dumps(results))


main()
