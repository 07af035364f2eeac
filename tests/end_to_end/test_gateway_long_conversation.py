"""A conversation of thousands of turns in a small budget: facts of any age are recalled."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from memory_service.prompts.recalled_block import BLOCK
from memory_service.tokens.encodings import open_offline_counter
from memory_service.tokens.slices import well_formed
from tests.support.chatting import Messages, RunningGateway, assistant, gateway, user
from tests.support.environment import LONG
from tests.support.upstream import MESSAGE_TOKENS, Received, Reply, calls, says, text_of

BUDGET, ANSWER = 4_000, 500
RECENT_TURNS = 20
TURNS = 5_000 if LONG else 1_000
SUMMARISED_TURNS = TURNS if LONG else 400
RESENT = 40 if LONG else TURNS
"""How many past messages the client sends again: all, or the last ones in a long run."""
SYSTEM = {"role": "system", "content": "You are Wren, a patient assistant.  Answer in one line."}
SUMMARIES = "<conversation_summary"

# A fact, a later question about it in other words, and a word that the prompt must then contain.
FACTS = [
    ("My locker at the gym is number 8314.", "Which locker is mine when I train?", "8314"),
    ("I am allergic to cashews, so no curry with them.", "Which nuts must I not eat?", "cashews"),
    ("My sister Ilse moved to Tromsø in May.", "Where does my sister live now?", "Tromsø"),
    ("The spare key is under the third flowerpot.", "Where did I hide a second key?", "flowerpot"),
    ("Our dentist is Doctor Achterberg.", "What is the name of my dentist?", "Achterberg"),
    ("The wifi password at the cabin is otterpond.", "How do I get online at the cabin?", "otter"),
    ("Grandpa was born in 1931 in Gdynia.", "In which town was my grandfather born?", "Gdynia"),
    ("I lent my tent to Farouk last summer.", "Who has borrowed my tent?", "Farouk"),
    ("The car needs a new clutch before November.", "What has to be repaired on my car?", "clutch"),
    ("My favourite tea is smoky lapsang.", "What kind of tea do I like most?", "lapsang"),
    ("We named the kitten Pickle.", "What is our young cat called?", "Pickle"),
    ("The plumber charges 95 an hour.", "How much does the plumber cost?", "95"),
    ("My passport expires on the ninth of March.", "Until when is my passport valid?", "ninth"),
    ("I play the viola in the Thursday quartet.", "Which instrument do I play?", "viola"),
    ("The recipe of my aunt's soup uses fennel.", "What goes into my aunt's soup?", "fennel"),
    (
        "Our train to Lisbon leaves from platform 7.",
        "From which platform do we go to Lisbon?",
        "7.",
    ),
    ("I owe Mirela forty euros for the concert.", "To whom do I owe money?", "Mirela"),
    ("My thesis is about glacier beetles.", "What is the topic of my thesis?", "beetles"),
    ("The landlord's number ends in 4471.", "How does my landlord's phone number end?", "4471"),
    ("I broke my left wrist skating in 2019.", "Which bone did I break on the ice?", "wrist"),
]

PERSONS = ("Anna", "the neighbour", "my boss", "a colleague", "the postman", "our coach", "Ben")
ACTIONS = (
    "painted the fence",
    "burnt the toast",
    "missed the bus",
    "sang all morning",
    "lost a glove",
)
TIMES = ("today", "on Monday", "after lunch", "in the rain", "before the meeting", "again")
FEELINGS = (
    "It made me laugh.",
    "I was annoyed.",
    "Nobody noticed.",
    "It took an hour.",
    "Oh well.",
)
ENDINGS = ("The weather was grey.", "Then we had soup.", "I went for a walk.", "I read a bit.")
REPLIES = ("I see.", "That sounds like a day.", "Fair enough.", "Tell me more.", "How did it end?")


def chatter(chance: random.Random) -> str:
    """Return small talk of about ninety tokens."""
    sentences = []
    for _ in range(5):
        person, action, time, feeling, ending = (
            chance.choice(choices) for choices in (PERSONS, ACTIONS, TIMES, FEELINGS, ENDINGS)
        )
        sentences.append(f"{person.capitalize()} {action} {time}. {feeling} {ending}")
    return " ".join(sentences)


def reply(chance: random.Random) -> str:
    """Return a short answer of an assistant."""
    return " ".join(chance.choice(REPLIES) for _ in range(12))


def script(turns: int, chance: random.Random) -> list[str]:
    """Return the texts of the user: small talk with facts in it, and the questions at the end."""
    messages = [chatter(chance) for _ in range(turns // 2)]
    first_question = len(messages) - 2 * len(FACTS)
    for position, (fact, _, _) in zip(
        chance.sample(range(first_question - len(FACTS)), len(FACTS)), FACTS, strict=True
    ):
        messages[position] = fact
    for number, (_, question, _) in enumerate(FACTS):
        messages[first_question + 2 * number] = question
    return messages


def llama_count(encode_length: Callable[[str], int]) -> Callable[[Mapping[str, Any]], int]:
    """Return a token counter of prompts that differs from the service's counter."""

    def count(body: Mapping[str, Any]) -> int:
        texts = [text_of(message) for message in body["messages"]]
        return sum(encode_length(well_formed(text)) + MESSAGE_TOKENS for text in texts)

    return count


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("endless")
    with gateway(folder, token_budget=BUDGET, recent_turns=RECENT_TURNS) as running:
        running.upstream.count = llama_count(open_offline_counter().encode_length)
        yield running


@pytest.fixture(scope="module")
def summarised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("summarised")
    with gateway(folder, token_budget=BUDGET, recent_turns=RECENT_TURNS, summaries=True) as running:
        running.upstream.count = llama_count(open_offline_counter().encode_length)
        yield running


@pytest.fixture(scope="module", params=["chat", "summarised"])
def prompts(request: pytest.FixtureRequest) -> Sequence[Received]:
    """Return the prompts of a conversation whose history the client sends with each message."""
    chat: RunningGateway = request.getfixturevalue(request.param)
    turns = TURNS if request.param == "chat" else SUMMARISED_TURNS
    chance = random.Random(4)
    chat.upstream.answer = lambda _: Reply(assistant(reply(chance)))
    messages: Messages = []
    for text in script(turns, random.Random(7)):
        messages += user(text)
        answer = chat.send(
            [SYSTEM, *messages[-RESENT:]],
            headers={"x-conversation-id": "endless"},
            max_tokens=ANSWER,
        ).raise_for_status()
        messages += assistant(answer.json()["choices"][0]["message"]["content"])
    assert chat.turn_count("endless") == len(messages) == turns
    # Requests for summaries have another limit.
    requests = [
        request for request in chat.upstream.requests if request.body["max_tokens"] == ANSWER
    ]
    with_summaries = [request for request in requests if SUMMARIES in str(request.messages)]
    assert bool(with_summaries) == (request.param == "summarised")
    return requests


@pytest.mark.timeout(3_000)
def test_every_prompt_fits_budget(prompts: Sequence[Received]) -> None:
    assert max(prompt.tokens for prompt in prompts) + ANSWER <= BUDGET
    assert max(prompt.tokens for prompt in prompts) > BUDGET // 2


def test_system_message_never_changes(prompts: Sequence[Received]) -> None:
    assert {str(prompt.messages[0]) for prompt in prompts} == {str(SYSTEM)}


def test_facts_are_recalled_at_any_age(prompts: Sequence[Received]) -> None:
    questions = {question: (fact, word) for fact, question, word in FACTS}
    recalled: list[str] = []
    missed: list[str] = []
    for prompt in prompts:
        text = _without_block(prompt.messages[-1])
        if text in questions:
            fact, word = questions[text]
            is_in_prompt = any(word in str(message["content"]) for message in prompt.messages[1:])
            (recalled if is_in_prompt else missed).append(fact)
    assert len(recalled) + len(missed) == len(FACTS)
    assert len(recalled) >= 17, missed


def shared_prefixes(prompts: Sequence[Messages], count: Callable[[Messages], int]) -> list[float]:
    """Return for each prompt the share of the previous prompt that it begins with.

    The newest message is not compared: its recalled block makes it different.
    """
    shares = []
    for before, after in pairwise(prompts):
        earlier = before[:-1]
        length = next(
            (n for n, message in enumerate(earlier) if after[n : n + 1] != [message]), len(earlier)
        )
        if earlier:
            shares.append(count(earlier[:length]) / count(earlier))
    return shares


def sliding_window_prompts(
    prompts: Sequence[Received], count: Callable[[Messages], int]
) -> list[Messages]:
    """Return the prompts of a sliding window: the newest messages that fit."""
    messages: Messages = []
    windows = []
    for prompt in prompts:
        messages += user(_without_block(prompt.messages[-1]))
        window = messages[-20:]
        while count([SYSTEM, *window]) > BUDGET - ANSWER:
            window = window[1:]
        windows.append([SYSTEM, *window])
        messages += assistant(" ".join(REPLIES * 2))
    return windows


def test_most_prompts_share_prefix_with_previous(
    prompts: Sequence[Received], chat: RunningGateway
) -> None:
    def count(messages: Messages) -> int:
        return chat.upstream.count({"messages": messages})

    ours = statistics.median(shared_prefixes([prompt.messages for prompt in prompts], count))
    theirs = statistics.median(shared_prefixes(sliding_window_prompts(prompts, count), count))
    assert ours >= 0.8
    assert theirs < 0.2


@pytest.mark.parametrize("stream", [True, False])
def test_tool_loop_only_appends_to_prompt(chat: RunningGateway, *, stream: bool) -> None:
    conversation = {"x-conversation-id": f"loop-{stream}"}
    fact = "My locker at the gym is number 8314."
    messages: Any = user(fact) + assistant("Noted.")
    for number in range(30):
        messages += user(f"{chatter(random.Random(number))} ({number})") + assistant("I see.")
    messages += user("Look up the locker at my gym, all of it.")
    chat.upstream.requests.clear()
    chat.upstream.then(*[calls(("look_up", {"page": number})) for number in range(8)], says("Done"))
    for number in range(9):
        message = _answer(chat, messages, conversation, stream=stream)
        messages.append(message)
        for call in message.get("tool_calls", ()):
            result = f"page {number}: nothing about it yet, go on"
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    loop = [prompt.messages for prompt in chat.upstream.requests]
    assert len(loop) == 9
    assert all(after[: len(before)] == before for before, after in pairwise(loop))
    texts = [text_of(message) for prompt in loop for message in prompt]
    blocks = {found[0] for text in texts if (found := BLOCK.search(text))}
    assert len(blocks) == 1
    assert "8314" in blocks.pop()


def _answer(
    chat: RunningGateway, messages: Any, headers: dict[str, str], *, stream: bool
) -> dict[str, Any]:
    """Send a request with a tool, and return the answer as the client would send it again."""
    function: Any = {"name": "look_up", "parameters": {"type": "object", "properties": {}}}
    request: Any = {
        "model": "m",
        "messages": messages,
        "tools": [{"type": "function", "function": function}],
        "extra_headers": headers,
    }
    if stream:
        with chat.openai.chat.completions.stream(**request) as chunks:
            message: Any = chunks.get_final_completion().choices[0].message
    else:
        message = chat.openai.chat.completions.create(**request).choices[0].message
    return dict(message.model_dump(exclude_none=True))


def _without_block(message: Mapping[str, Any]) -> str:
    return BLOCK.sub("", text_of(message)).strip()
