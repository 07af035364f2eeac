"""Clients at the gateway's base URL: the OpenAI client, LangChain, the Agents SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.chatting import RunningGateway, gateway, new_id, user
from tests.support.upstream import Body, Reply, Upstream, calls, echo, says, text_of

TURNS = 60
"""User turns of a conversation through a framework; every third calls a tool."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("clients"), light=True, token_budget=4_000) as running:
        yield running


@pytest.fixture
def chat(world: RunningGateway) -> RunningGateway:
    """Return the running service, its upstream reset."""
    world.upstream.requests.clear()
    world.upstream.answer = echo
    return world


@pytest.fixture
def upstream(chat: RunningGateway) -> Upstream:
    return chat.upstream


class Weather(BaseModel):
    """The structured output of a request."""

    city: str
    degrees: int


def test_structured_output_is_parsed(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(says('{"city": "Oslo", "degrees": 4}'))
    messages: Any = user("How warm is it in Oslo?")
    answer = chat.openai.chat.completions.parse(
        model="m", messages=messages, response_format=Weather, user=new_id()
    )
    assert answer.choices[0].message.parsed == Weather(city="Oslo", degrees=4)
    assert upstream.last.body["response_format"]["json_schema"]["name"] == "Weather"


def test_conversation_created_by_api_is_recalled(chat: RunningGateway) -> None:
    items: Any = [{"role": "user", "content": "My locker at the gym is 8314."}]
    created = chat.openai.conversations.create(items=items)
    messages: Any = user("Which locker at the gym is mine?")
    chat.openai.chat.completions.create(
        model="m", messages=messages, metadata={"conversation_id": created.id}
    )
    assert "8314" in str(chat.upstream.last.messages)
    listed = [item.to_dict() for item in chat.openai.conversations.items.list(created.id)]
    assert [item["role"] for item in listed] == ["assistant", "user", "user"]


def test_stream_includes_usage_on_request(chat: RunningGateway, upstream: Upstream) -> None:
    messages: Any = user("hello")
    chunks = list(
        chat.openai.chat.completions.create(
            model="m",
            messages=messages,
            user=new_id(),
            stream=True,
            logprobs=True,
            stream_options={"include_usage": True},
        )
    )
    assert upstream.last.body["logprobs"] is True
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == upstream.last.tokens


def test_async_client_streams(chat: RunningGateway, upstream: Upstream) -> None:
    async def talk() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{chat.address}/v1", api_key="none") as client:
            messages: Any = user("hello")
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="m", messages=messages, stream=True, user=new_id()
                    )
                    for _ in range(8)
                )
            )
            return [
                "".join([chunk.choices[0].delta.content or "" async for chunk in a])
                for a in answers
            ]

    assert asyncio.run(talk()) == ["You said: hello"] * 8
    assert len(upstream.requests) == 8


def calling_tool(name: str, arguments: dict[str, Any]) -> Any:
    """Answer "look up" with two parallel tool calls, and everything else with a text."""

    def behave(body: Body) -> Reply:
        last = body["messages"][-1]
        text = text_of(last).splitlines()[-1]
        if last["role"] == "user" and "look up" in text:
            return calls((name, arguments), (name, arguments))(body)
        return echo(body)

    return behave


def check_stored(chat: RunningGateway, conversation: str, questions: list[str], fact: str) -> None:
    """Check that all turns are stored once in order, and that the last prompt has the fact."""
    with chat.log.read() as snapshot:
        stored = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, conversation)
        turns = list(snapshot.turns.all(stored.key if stored else 0))
    assert [turn.text for turn in turns if turn.role == "user"] == questions
    assert all(turn.active for turn in turns)
    assert len(turns) == 2 * len(questions) + 3 * sum(
        "look up" in question for question in questions
    )
    assert fact in str(chat.upstream.last.messages)


def questions_about(fact: str, question: str) -> list[str]:
    messages = [
        f"Let us talk about topic number {n}, at length and in detail." for n in range(TURNS)
    ]
    messages[2] = fact
    messages[5::3] = [f"Please look up page {n} of the book." for n in range(5, TURNS, 3)]
    messages[-1] = question
    return messages


FACT = "The spare key hangs behind the kitchen clock."
QUESTIONS = questions_about(FACT, "Where does the spare key hang?")


def test_langchain_conversation_with_tools(chat: RunningGateway) -> None:
    langchain_openai = pytest.importorskip("langchain_openai", reason="pip install '.[clients]'")
    messages = pytest.importorskip("langchain_core.messages")
    tools = pytest.importorskip("langchain_core.tools")

    def look_up(page: int) -> str:
        """Look up a page."""
        return f"page {page} is about beetles"

    conversation = new_id()
    chat.upstream.answer = calling_tool("look_up", {"page": 7})
    model = langchain_openai.ChatOpenAI(
        model="m",
        api_key="none",
        base_url=f"{chat.address}/v1",
        default_headers={"x-conversation-id": conversation},
    ).bind_tools([tools.tool(look_up)])
    history: list[Any] = [messages.SystemMessage("Be kind.")]
    for question in QUESTIONS:
        history.append(messages.HumanMessage(question))
        history.append(model.invoke(history))
        while history[-1].tool_calls:
            history += [tools.tool(look_up).invoke(call) for call in history[-1].tool_calls]
            history.append(model.invoke(history))
    check_stored(chat, conversation, QUESTIONS, FACT)


def test_agents_sdk_conversation_with_tools(chat: RunningGateway) -> None:
    agents = pytest.importorskip("agents", reason="pip install '.[clients]'")

    def look_up(page: int) -> str:
        """Look up a page."""
        return f"page {page} is about beetles"

    async def talk(conversation: str) -> None:
        agents.set_tracing_disabled(True)
        async with openai.AsyncOpenAI(
            base_url=f"{chat.address}/v1",
            api_key="none",
            default_headers={"x-conversation-id": conversation},
        ) as client:
            model = agents.OpenAIChatCompletionsModel("m", client)
            agent = agents.Agent(
                "Wren", instructions="Be kind.", model=model, tools=[agents.function_tool(look_up)]
            )
            messages: list[Any] = []
            for question in QUESTIONS:
                messages = [*messages, *user(question)]
                messages = (await agents.Runner.run(agent, messages)).to_input_list()

    conversation = new_id()
    chat.upstream.answer = calling_tool("look_up", {"page": 7})
    asyncio.run(talk(conversation))
    check_stored(chat, conversation, QUESTIONS, FACT)
