"""Clients that know nothing of the service, unchanged but for the base URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.chatting import Gateway, gateway, new_id, user
from tests.support.upstream import Body, Reply, Upstream, calls, echo, says, text_of

TURNS = 60
"""Turns that the users of frameworks take; each third of them with a call of a tool."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("clients"), light=True, token_budget=4_000) as running:
        yield running


@pytest.fixture
def chat(world: Gateway) -> Gateway:
    """Return the running service, its upstream as new."""
    world.upstream.requests.clear()
    world.upstream.answer = echo
    return world


@pytest.fixture
def upstream(chat: Gateway) -> Upstream:
    return chat.upstream


class Weather(BaseModel):
    """What a model is asked to answer with."""

    city: str
    degrees: int


def test_structured_output_is_parsed(chat: Gateway, upstream: Upstream) -> None:
    upstream.then(says('{"city": "Oslo", "degrees": 4}'))
    said: Any = user("How warm is it in Oslo?")
    answer = chat.openai.chat.completions.parse(
        model="m", messages=said, response_format=Weather, user=new_id()
    )
    assert answer.choices[0].message.parsed == Weather(city="Oslo", degrees=4)
    assert upstream.last.body["response_format"]["json_schema"]["name"] == "Weather"


def test_conversations_made_beside_are_the_same(chat: Gateway) -> None:
    items: Any = [{"role": "user", "content": "My locker at the gym is 8314."}]
    made = chat.openai.conversations.create(items=items)
    said: Any = user("Which locker at the gym is mine?")
    chat.openai.chat.completions.create(
        model="m", messages=said, metadata={"conversation_id": made.id}
    )
    assert "8314" in str(chat.upstream.last.messages)
    listed = [item.to_dict() for item in chat.openai.conversations.items.list(made.id)]
    assert [item["role"] for item in listed] == ["assistant", "user", "user"]


def test_a_stream_tells_what_it_used_if_it_is_asked_to(chat: Gateway, upstream: Upstream) -> None:
    said: Any = user("hello")
    chunks = list(
        chat.openai.chat.completions.create(
            model="m",
            messages=said,
            user=new_id(),
            stream=True,
            logprobs=True,
            stream_options={"include_usage": True},
        )
    )
    assert upstream.last.body["logprobs"] is True
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == upstream.last.tokens


def test_the_async_client_streams(chat: Gateway, upstream: Upstream) -> None:
    async def talk() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{chat.address}/v1", api_key="none") as client:
            said: Any = user("hello")
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="m", messages=said, stream=True, user=new_id()
                    )
                    for _ in range(8)
                )
            )
            return [
                "".join([one.choices[0].delta.content or "" async for one in a]) for a in answers
            ]

    assert asyncio.run(talk()) == ["You said: hello"] * 8
    assert len(upstream.requests) == 8


def with_a_tool(name: str, arguments: dict[str, Any]) -> Any:
    """Answer a question that asks for it with two parallel calls, and their results with words."""

    def behave(body: Body) -> Reply:
        last = body["messages"][-1]
        asked = text_of(last).splitlines()[-1]
        if last["role"] == "user" and "look up" in asked:
            return calls((name, arguments), (name, arguments))(body)
        return echo(body)

    return behave


def check(chat: Gateway, conversation: str, questions: list[str], fact: str) -> None:
    """Check that all was stored once and in order, and that the old fact was in the last prompt."""
    with chat.log.read() as snapshot:
        found = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, conversation)
        turns = list(snapshot.turns.all(found.key if found else 0))
    assert [turn.text for turn in turns if turn.role == "user"] == questions
    assert all(turn.active for turn in turns)
    assert len(turns) == 2 * len(questions) + 3 * sum("look up" in one for one in questions)
    assert fact in str(chat.upstream.last.messages)


def questions_about(fact: str, question: str) -> list[str]:
    said = [f"Let us talk about topic number {n}, at length and in detail." for n in range(TURNS)]
    said[2] = fact
    said[5::3] = [f"Please look up page {n} of the book." for n in range(5, TURNS, 3)]
    said[-1] = question
    return said


FACT = "The spare key hangs behind the kitchen clock."
QUESTIONS = questions_about(FACT, "Where does the spare key hang?")


def test_langchain_holds_a_conversation_with_tools(chat: Gateway) -> None:
    langchain_openai = pytest.importorskip("langchain_openai", reason="pip install '.[clients]'")
    messages = pytest.importorskip("langchain_core.messages")
    tools = pytest.importorskip("langchain_core.tools")

    def look_up(page: int) -> str:
        """Look up a page."""
        return f"page {page} is about beetles"

    one = new_id()
    chat.upstream.answer = with_a_tool("look_up", {"page": 7})
    model = langchain_openai.ChatOpenAI(
        model="m",
        api_key="none",
        base_url=f"{chat.address}/v1",
        default_headers={"x-conversation-id": one},
    ).bind_tools([tools.tool(look_up)])
    said: list[Any] = [messages.SystemMessage("Be kind.")]
    for question in QUESTIONS:
        said.append(messages.HumanMessage(question))
        said.append(model.invoke(said))
        while said[-1].tool_calls:
            said += [tools.tool(look_up).invoke(call) for call in said[-1].tool_calls]
            said.append(model.invoke(said))
    check(chat, one, QUESTIONS, FACT)


def test_the_agents_sdk_holds_a_conversation_with_tools(chat: Gateway) -> None:
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
            said: list[Any] = []
            for question in QUESTIONS:
                said = [*said, *user(question)]
                said = (await agents.Runner.run(agent, said)).to_input_list()

    one = new_id()
    chat.upstream.answer = with_a_tool("look_up", {"page": 7})
    asyncio.run(talk(one))
    check(chat, one, QUESTIONS, FACT)
