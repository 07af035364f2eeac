# /// script
# requires-python = ">=3.11"
# dependencies = ["langchain-openai>=1.7,<2", "langgraph>=1.2,<2", "langchain>=1,<2"]
# ///
"""LangChain's ChatOpenAI, and an agent of LangGraph with a tool."""

from __future__ import annotations

import json
import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    """The structured output of a request."""

    city: str
    degrees: int


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"4 degrees in {city}"


def model(**fields: Any) -> ChatOpenAI:
    """Return a model of the conversation."""
    headers = {"x-conversation-id": os.environ["CLIENT_CONVERSATION"]}
    return ChatOpenAI(
        model="m", base_url=f"{os.environ['CLIENT_ADDRESS']}/v1", default_headers=headers, **fields
    )


def main() -> None:
    """Print the answers by capability."""
    model().invoke("My locker at the gym is number 8314.")
    remembered = model().invoke("Which locker is mine?").text
    chunks = model().stream("And once more: which locker is mine?")
    agent = create_agent(model(), [get_weather])
    state = agent.invoke({"messages": [("user", "What is the weather in Oslo?")]})
    structured: Any = model().with_structured_output(Weather).invoke("How warm is it in Oslo?")
    results = {
        "remembers": remembered,
        "streams": "".join(chunk.text for chunk in chunks),
        "tools": state["messages"][-1].text,
        "parses": json.dumps(structured.model_dump()),
        "remembers (responses)": model(use_responses_api=True).invoke("Which locker is mine?").text,
    }
    print(json.dumps(results))


main()
