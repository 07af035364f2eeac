"""Features: answer types, speakers and words that a text has of a query."""

from typing import Any

import pytest

from memory_service.recall.answer_types import (
    NAME,
    NUMBER,
    TIME,
    asked_types,
    is_about_assistant,
    named_speakers,
)
from memory_service.recall.caches.token_arrays import TokenArrayCache
from memory_service.recall.features import TextFeatures, text_features
from memory_service.recall.passages import PassageText


def passage(text: str, speaker: str = "Ann", *, by_user: bool = True, **fields: Any) -> PassageText:
    language, follows = fields.get("language", "en"), fields.get("follows", False)
    return PassageText(speaker, by_user, text, language, follows)


def features(query: str, *texts: PassageText, **weights: float) -> list[TextFeatures]:
    return text_features(query, weights, ["en"], texts, TokenArrayCache(lambda _: None))


def types_of(text: str, *no_names: str) -> int:
    arrays = TokenArrayCache(lambda _: None).read([(text, "en")], no_names=no_names)
    return arrays.answer_types[0]


@pytest.mark.parametrize(
    ("question", "answer_type"),
    [
        ("When did Ann move?", TIME),
        ("How long was the trip?", TIME),
        ("How many cats does she have?", NUMBER),
        ("Who came along?", NAME),
        ("Wann ist der Termin?", TIME),
        ("¿Dónde vive?", NAME),
        ("Сколько стоит?", NUMBER),
        ("会议是什么时候？", TIME),  # noqa: RUF001
        ("Tell me about the trip.", 0),
    ],
)
def test_answer_type_asked_for(question: str, answer_type: int) -> None:
    assert asked_types(question) == answer_type


@pytest.mark.parametrize(
    ("text", "answer_type"),
    [
        ("I went there last week.", TIME),
        ("We have 3 of them.", NUMBER),
        ("Lovely. Thanks!", 0),
    ],
)
def test_answer_types_of_text(text: str, answer_type: int) -> None:
    assert types_of(text) == answer_type


def test_capitalised_word_is_a_name_except_at_start_of_sentence() -> None:
    sentence = "There we met Bob. Nice. Thanks, Ann!"
    assert [types_of(sentence, *names) for names in ((), ("bob",), ("ann", "bob"))] == [
        NAME,
        NAME,
        0,
    ]


def test_speaker_names_are_not_answers() -> None:
    results = features("Who came?", passage("Thanks, Bob!"), passage("I met Kim.", "Bob"))
    assert [text.answers for text in results] == [0, 1]


def test_speaker_is_named_by_any_word_of_name() -> None:
    assert named_speakers("What did Lee say?", {"ann lee", "bob"}) == {"ann lee"}


def test_speaker_feature_prefers_person_asked_about() -> None:
    results = features("What does Bob grow?", passage("Roses."), passage("Tulips.", "Bob"))
    assert [text.speaker for text in results] == [-0.5, 0.5]


@pytest.mark.parametrize("question", ["Do Ann and Bob grow roses?", "Who grows roses?"])
def test_speaker_feature_is_zero_for_both_or_nobody(question: str) -> None:
    results = features(question, passage("Roses."), passage("Tulips.", "Bob"))
    assert [text.speaker for text in results] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("question", "by_user"),
    [
        ("Which locker is mine?", 0.5),
        ("Can you list what I tried?", 0.5),
        ("What did you recommend for the flight?", -0.5),
        ("Was hast du mir empfohlen?", -0.5),
    ],
)
def test_speaker_feature_prefers_user_unless_assistant_is_asked_about(
    question: str, by_user: float
) -> None:
    results = features(
        question, passage("Locker 12."), passage("Noted.", "assistant", by_user=False)
    )
    assert [text.speaker for text in results] == [by_user, -by_user]
    assert is_about_assistant(question) is (by_user < 0)


def test_speaker_name_is_not_a_query_word() -> None:
    results = features(
        "What does Bob grow?", passage("Bob, look!"), passage("I grow", "Bob"), bob=9, grow=1
    )
    assert [text.own_words for text in results] == [0.0, 1.0]


def test_word_of_turn_before_counts_less() -> None:
    results = features("roses", passage("Which roses?"), passage("Red ones.", follows=True), rose=2)
    assert [text.own_words for text in results] == [2.0, 0.0]
    assert results[1].nearby_words == pytest.approx(1.2)
