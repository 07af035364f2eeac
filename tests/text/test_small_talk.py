"""Messages that call for no memory recall nothing, and questions keep what they found.

Through the prompt builder, over the project's own conversations. The first list of messages was
there when the words of `memory_service.small_talk` were listed; the second was written afterwards,
and nothing was changed for it.
"""

# ruff: noqa: RUF001 - signs of other languages are meant to look like that

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_service.embedded import Memory
from memory_service.prompts.question import query_text
from memory_service.text.small_talk import leftover
from tests.support.factories import make_turn, message
from tests.support.own_set import ASKED, CONVERSATIONS, language, stored

MESSAGES = {
    "en": (
        "thanks!",
        "Good morning!",
        "haha, that made my day",
        "ok, sounds good",
        "See you later, take care!",
        "You're the best",
        "Wow, nice one",
        "Hi there, how are you doing?",
    ),
    "de": (
        "Danke schön, du bist ein Schatz!",
        "Guten Abend, wie geht's?",
        "Alles klar, schönen Feierabend!",
    ),
    "es": (
        "¡Mil gracias, eres un sol!",
        "Buenas noches, que descanses",
        "Vale, perfecto, hablamos luego",
    ),
    "zh": ("多谢多谢！", "晚安，好梦", "哈哈太好笑了"),
    "ru": ("Спасибо, ты лучший!", "Привет, как дела?", "Хорошо, до встречи!"),
}
MORE = {
    "en": (
        "Cheers mate, much appreciated",
        "Morning sunshine!",
        "lol true",
        "No worries at all",
        "Right, I'm off to bed",
        "Fair enough",
        "That's so sweet of you",
        "Hope you have a lovely weekend",
        "Merci beaucoup, bonne soirée !",
        "ありがとうございます！",
        "Grazie mille, a domani!",
    ),
    "de": ("Hallöchen, na wie läuft's?", "Super, vielen lieben Dank", "Hihi, der war gut"),
    "es": ("Qué risa, eres genial", "Hola, buenos días"),
    "zh": ("太感谢了！", "好的，明白啦"),
    "ru": ("Понятно, спасибо", "Ха-ха, отлично сказано"),
}


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """Return the own set, stored."""
    with stored(tmp_path_factory.mktemp("own") / "data") as opened:
        yield opened


@pytest.mark.parametrize("messages", [MESSAGES, MORE], ids=["first", "held back"])
def test_at_least_four_in_five_messages_of_small_talk_recall_nothing(
    memory: Memory, messages: dict[str, tuple[str, ...]]
) -> None:
    """Each is sent in each conversation of its language."""
    assert sum(map(len, messages.values())) == 20
    quiet = {
        (name, text): not memory.build_prompt(name, text, token_budget=8_000).recalled
        for name, turns in CONVERSATIONS.items()
        for text in messages[language(turns[0])]
    }
    assert sum(quiet.values()) >= 0.8 * len(quiet), [pair for pair, one in quiet.items() if not one]


def test_at_most_three_in_a_hundred_questions_lose_what_they_found_to_the_floor(
    memory: Memory,
) -> None:
    """A search has no floor; a prompt that recalls nothing has lost what the search finds."""
    found, lost = 0, []
    for question in ASKED:
        user = question["id"].split("-")[0]
        hits = memory.search(question["question"], user=user, top_k=10)
        if not {hit.turn.id for hit in hits}.isdisjoint(question["gold"]):
            found += 1
            place = question.get("conv", f"{user}-1")
            prompt = memory.build_prompt(
                place, question["question"], token_budget=16_000, recent_turns=0
            )
            if not prompt.recalled:
                lost.append(question["id"])
    assert found >= len(ASKED) / 2
    assert len(lost) <= 0.03 * found, lost


@pytest.mark.parametrize(
    ("text", "language", "left", "polite"),
    [
        ("Thank you so much!", "en", set(), True),
        ("hahahaha", "en", set(), True),
        ("Ммммм", "ru", set(), True),
        ("thanks, and the locker?", "en", {"locker"}, True),
        ("the locker", "en", {"locker"}, False),
        ("谢谢你啦！", "en", set(), True),
        ("谢谢，柜子", "en", {"柜子"}, True),
        ("1111111", "en", {"1111111"}, False),
        ("", "en", set(), False),
    ],
)
def test_what_small_talk_leaves_over(
    text: str, language: str, left: set[str], *, polite: bool
) -> None:
    assert leftover(text, language) == (left, polite)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("and then?", "One.\nTwo."),
        ("Which locker is mine?", ""),
        ("柜子呢？", "One.\nTwo."),
        ("我的柜子是几号？", ""),
        ("", ""),
    ],
)
def test_a_short_message_is_looked_for_with_what_was_said_before_but_judged_alone(
    text: str, context: str
) -> None:
    path = [make_turn(message(said), key=n) for n, said in enumerate(["No.", "One.", "Two."], 1)]
    assert query_text(message(text), path) == (text, context)
