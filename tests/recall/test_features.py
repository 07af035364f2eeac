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
from memory_service.recall.features import Reading, Said, read
from memory_service.recall.token_arrays import Lexicon


def said(text: str, speaker: str = "Ann", role: str = "user", **fields: Any) -> Said:
    return Said(speaker, role, text, fields.get("language", "en"), fields.get("follows", False))


def readings(question: str, *texts: Said, **weights: float) -> list[Reading]:
    return read(question, weights, ["en"], texts, Lexicon(lambda _: None))


def kinds(text: str, *no_names: str) -> int:
    return Lexicon(lambda _: None).read([(text, "en")], no_names=no_names).kinds[0]


@pytest.mark.parametrize(
    ("question", "kind"),
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
def test_a_question_says_what_kind_of_answer_it_wants(question: str, kind: int) -> None:
    assert asked_types(question) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I went there last week.", TIME),
        ("We have 3 of them.", NUMBER),
        ("Lovely. Thanks!", 0),
    ],
)
def test_a_text_holds_answers_of_a_kind(text: str, kind: int) -> None:
    assert kinds(text) == kind


def test_capitals_inside_a_sentence_are_names_and_those_at_its_head_are_not() -> None:
    met = "There we met Bob. Nice. Thanks, Ann!"
    assert [kinds(met, *known) for known in ((), ("bob",), ("ann", "bob"))] == [NAME, NAME, 0]


def test_the_names_of_the_speakers_are_no_answer() -> None:
    found = readings("Who came?", said("Thanks, Bob!"), said("I met Kim.", "Bob"))
    assert [one.answers for one in found] == [0, 1]


def test_a_speaker_is_named_by_any_word_of_the_name() -> None:
    assert named_speakers("What did Lee say?", {"ann lee", "bob"}) == {"ann lee"}


def test_of_two_people_the_one_who_is_asked_about_is_preferred() -> None:
    found = readings("What does Bob grow?", said("Roses."), said("Tulips.", "Bob"))
    assert [one.speaker for one in found] == [-0.5, 0.5]


@pytest.mark.parametrize("question", ["Do Ann and Bob grow roses?", "Who grows roses?"])
def test_a_question_about_both_or_nobody_prefers_nobody(question: str) -> None:
    found = readings(question, said("Roses."), said("Tulips.", "Bob"))
    assert [one.speaker for one in found] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("question", "by_user"),
    [
        ("Which locker is mine?", 0.5),
        ("Can you list what I tried?", 0.5),
        ("What did you recommend for the flight?", -0.5),
        ("Was hast du mir empfohlen?", -0.5),
    ],
)
def test_beside_an_assistant_a_question_is_about_its_asker_unless_it_says_you(
    question: str, by_user: float
) -> None:
    found = readings(question, said("Locker 12."), said("Noted.", "assistant", "assistant"))
    assert [one.speaker for one in found] == [by_user, -by_user]
    assert is_about_assistant(question) is (by_user < 0)


def test_a_speakers_name_is_no_word_to_look_for() -> None:
    found = readings(
        "What does Bob grow?", said("Bob, look!"), said("I grow", "Bob"), bob=9, grow=1
    )
    assert [one.words for one in found] == [0.0, 1.0]


def test_a_word_that_the_turn_before_said_counts_at_less() -> None:
    found = readings("roses", said("Which roses?"), said("Red ones.", follows=True), rose=2)
    assert [one.words for one in found] == [2.0, 0.0]
    assert found[1].said == pytest.approx(1.2)
