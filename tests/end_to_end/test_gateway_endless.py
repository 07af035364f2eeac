"""A long conversation: thousands of turns in a small budget, with facts of any age recalled."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from memory_service.tokens.encodings import open_offline_counter
from memory_service.tokens.slices import well_formed
from tests.support.chatting import Messages, RunningGateway, assistant, gateway, user
from tests.support.environment import LONG
from tests.support.upstream import MESSAGE_TOKENS, Received, Reply, calls, says

BUDGET, ANSWER = 4_000, 500
TURNS = 5_000 if LONG else 1_000
SUMMARISED_TURNS = TURNS if LONG else 400
RESENT = 40 if LONG else TURNS
"""Messages that the client sends again: all, or the last ones in a long run."""
SYSTEM = {"role": "system", "content": "You are Wren, a patient assistant.  Answer in one line."}
BLOCK, SUMMARIES = "<recalled_turns", "<conversation_summary"

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

WHO = ("Anna", "the neighbour", "my boss", "a colleague", "the postman", "our coach", "Ben")
DID = ("painted the fence", "burnt the toast", "missed the bus", "sang all morning", "lost a glove")
WHEN = ("today", "on Monday", "after lunch", "in the rain", "before the meeting", "again")
FELT = ("It made me laugh.", "I was annoyed.", "Nobody noticed.", "It took an hour.", "Oh well.")
MORE = ("The weather was grey.", "Then we had soup.", "I went for a walk.", "I read a bit.")
REPLIES = ("I see.", "That sounds like a day.", "Fair enough.", "Tell me more.", "How did it end?")


def chatter(chance: random.Random) -> str:
    """Return small talk of about ninety tokens."""
    responses = []
    for _ in range(5):
        who, did, when, felt, more = (chance.choice(each) for each in (WHO, DID, WHEN, FELT, MORE))
        responses.append(f"{who.capitalize()} {did} {when}. {felt} {more}")
    return " ".join(responses)


def reply(chance: random.Random) -> str:
    """Return a short answer of an assistant."""
    return " ".join(chance.choice(REPLIES) for _ in range(12))


def script(turns: int, chance: random.Random) -> list[str]:
    """Return the texts of the user: small talk with facts in it, and at the end the questions."""
    messages = [chatter(chance) for _ in range(turns // 2)]
    asking = len(messages) - 2 * len(FACTS)
    for place, (fact, _, _) in zip(
        chance.sample(range(asking - len(FACTS)), len(FACTS)), FACTS, strict=True
    ):
        messages[place] = fact
    for number, (_, question, _) in enumerate(FACTS):
        messages[asking + 2 * number] = question
    return messages


def llama_count(encode_length: Callable[[str], int]) -> Callable[[Mapping[str, Any]], int]:
    """Return a counter of prompts with a tokenizer that the service does not expect."""

    def count(body: Mapping[str, Any]) -> int:
        texts = [str(each["content"]) for each in body["messages"]]
        return sum(encode_length(well_formed(text)) + MESSAGE_TOKENS for text in texts)

    return count


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("endless")
    with gateway(folder, token_budget=BUDGET) as running:
        running.upstream.count = llama_count(open_offline_counter().encode_length)
        yield running


@pytest.fixture(scope="module")
def summarised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("summarised")
    with gateway(folder, token_budget=BUDGET, summaries=True) as running:
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
    asked = [each for each in chat.upstream.requests if each.body["max_tokens"] == ANSWER]
    responses = [each for each in asked if SUMMARIES in str(each.messages)]
    assert bool(responses) == (request.param == "summarised")
    return asked


@pytest.mark.timeout(3_000)
def test_every_prompt_fits_budget(prompts: Sequence[Received]) -> None:
    assert max(each.tokens for each in prompts) + ANSWER <= BUDGET
    assert max(each.tokens for each in prompts) > BUDGET // 2


def test_system_message_never_changes(prompts: Sequence[Received]) -> None:
    assert {str(each.messages[0]) for each in prompts} == {str(SYSTEM)}


def test_facts_of_any_age_are_recalled(prompts: Sequence[Received]) -> None:
    asked = {question: (fact, word) for fact, question, word in FACTS}
    found: list[str] = []
    missed: list[str] = []
    for one in prompts:
        last = one.messages[-1]["content"]
        text = last if isinstance(last, str) else last[-1]["text"]
        if text in asked:
            fact, word = asked[text]
            seen = any(word in str(message["content"]) for message in one.messages[1:])
            (found if seen else missed).append(fact)
    assert len(found) + len(missed) == len(FACTS)
    assert len(found) >= 17, missed


def shares(prompts: Sequence[Messages], count: Callable[[Messages], int]) -> list[float]:
    """Return, for each prompt but the first, the share of the previous one that it begins with.

    The newest message is not compared: its recalled block makes it different.
    """
    found = []
    for before, after in pairwise(prompts):
        begun = before[:-1]
        same = next((n for n, each in enumerate(begun) if after[n : n + 1] != [each]), len(begun))
        if begun:
            found.append(count(begun[:same]) / count(begun))
    return found


def sliding(prompts: Sequence[Received], count: Callable[[Messages], int]) -> list[Messages]:
    """Return the prompts of a sliding window: the newest messages that fit."""
    messages: Messages = []
    found = []
    for one in prompts:
        last = one.messages[-1]["content"]
        messages += user(last if isinstance(last, str) else last[-1]["text"])
        window = messages[-20:]
        while count([SYSTEM, *window]) > BUDGET - ANSWER:
            window = window[1:]
        found.append([SYSTEM, *window])
        messages += assistant(" ".join(REPLIES * 2))
    return found


def test_most_prompts_share_prefix_with_previous(
    prompts: Sequence[Received], chat: RunningGateway
) -> None:
    def count(messages: Messages) -> int:
        return chat.upstream.count({"messages": messages})

    ours = statistics.median(shares([each.messages for each in prompts], count))
    theirs = statistics.median(shares(sliding(prompts, count), count))
    assert ours >= 0.8
    assert theirs < 0.2


@pytest.mark.parametrize("stream", [True, False])
def test_tool_loop_only_appends_to_prompt(chat: RunningGateway, *, stream: bool) -> None:
    conversation = {"x-conversation-id": f"loop-{stream}"}
    old = "My locker at the gym is number 8314."
    messages: Any = user(old) + assistant("Noted.")
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
    loop = [each.messages for each in chat.upstream.requests]
    assert len(loop) == 9
    assert all(after[: len(before)] == before for before, after in pairwise(loop))
    blocks = {
        part["text"] for each in loop for m in each for part in _parts(m) if BLOCK in str(part)
    }
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


def _parts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []
