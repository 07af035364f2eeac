"""The demonstration conversation of the package is well-formed, and so are its questions."""

import json
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from typing import Any

BUNDLED = files("memory_service") / "bundled"
MESSAGE_KEYS = {"id", "role", "name", "created_at", "content"}
CALL_KEYS = {"id", "type", "call_id", "name", "arguments", "created_at"}
OUTPUT_KEYS = {"id", "type", "call_id", "output", "created_at"}
QUESTION_KEYS = {"id", "question", "gold", "answer", "kind"}
KINDS = {"single", "several", "changed", "assistant", "time", "preference"}


def lines(name: str) -> list[dict[str, Any]]:
    text = (BUNDLED / name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
    assert all(isinstance(row, dict) for row in rows)
    return rows


TURNS = lines("quickstart.jsonl")
QUESTIONS = lines("quickstart_questions.jsonl")
MEMORY_QUESTIONS = [question for question in QUESTIONS if question["kind"] != "none"]
TEXTS: dict[str, str] = {
    turn["id"]: turn.get("content") or turn.get("output") or turn["arguments"] for turn in TURNS
}
TIMES = [datetime.fromisoformat(turn["created_at"]) for turn in TURNS]


def test_turns_have_keys_of_their_kind() -> None:
    keys = {None: MESSAGE_KEYS, "function_call": CALL_KEYS, "function_call_output": OUTPUT_KEYS}
    for turn in TURNS:
        assert set(turn) == keys[turn.get("type")], turn["id"]
        assert all(isinstance(value, str) and value.strip() for value in turn.values()), turn["id"]


def test_each_role_has_one_name_and_user_is_first() -> None:
    messages = [(turn["role"], turn["name"]) for turn in TURNS if "role" in turn]
    assert set(messages) == {("user", "Mara"), ("assistant", "Assistant")}
    assert messages[0] == ("user", "Mara")


def test_turns_and_questions_are_numbered_in_order() -> None:
    assert [turn["id"] for turn in TURNS] == [f"qs-{n:03d}" for n in range(1, len(TURNS) + 1)]
    numbers = range(1, len(QUESTIONS) + 1)
    assert [question["id"] for question in QUESTIONS] == [f"q{n:02d}" for n in numbers]


def test_times_increase_with_offset_of_berlin() -> None:
    assert all(earlier < later for earlier, later in pairwise(TIMES))
    summer = datetime.fromisoformat("2025-03-30T03:00:00+02:00")
    winter = datetime.fromisoformat("2025-10-26T02:00:00+01:00")
    for time in TIMES:
        assert time.utcoffset() == timedelta(hours=2 if summer <= time < winter else 1)


def test_conversation_is_long_with_many_sessions() -> None:
    assert len(TURNS) >= 150
    assert TIMES[-1] - TIMES[0] >= timedelta(days=183)
    pauses = [later - earlier for earlier, later in pairwise(TIMES)]
    assert sum(pause > timedelta(hours=12) for pause in pauses) >= 15


def test_tool_call_is_followed_by_output() -> None:
    calls = [n for n, turn in enumerate(TURNS) if turn.get("type") == "function_call"]
    outputs = [n for n, turn in enumerate(TURNS) if turn.get("type") == "function_call_output"]
    assert len({TURNS[n]["call_id"] for n in calls}) == 2
    assert outputs == [n + 1 for n in calls]
    for n in calls:
        assert TURNS[n]["call_id"] == TURNS[n + 1]["call_id"]
        assert isinstance(json.loads(TURNS[n]["arguments"]), dict)


def test_questions_have_known_keys_and_kinds() -> None:
    assert all(set(question) == QUESTION_KEYS for question in QUESTIONS)
    assert {question["kind"] for question in MEMORY_QUESTIONS} == KINDS
    assert len(MEMORY_QUESTIONS) >= 24
    assert len(QUESTIONS) - len(MEMORY_QUESTIONS) >= 8


def test_only_memory_questions_have_gold_turns() -> None:
    for question in QUESTIONS:
        gold = question["gold"]
        assert set(gold) <= TEXTS.keys(), question["id"]
        assert len(set(gold)) == len(gold), question["id"]
        assert bool(gold) == bool(question["answer"]) == (question["kind"] != "none")
        assert (len(gold) > 1) == (question["kind"] == "several"), question["id"]


def test_answer_occurs_in_gold_turn() -> None:
    for question in MEMORY_QUESTIONS:
        holders = {turn for turn, text in TEXTS.items() if question["answer"] in text}
        assert holders & set(question["gold"]), question["id"]
        assert question["kind"] != "single" or holders == set(question["gold"]), question["id"]


def test_gold_turns_have_role_of_question_kind() -> None:
    roles = {turn["id"]: turn.get("role") for turn in TURNS}
    for question in MEMORY_QUESTIONS:
        said_by = {roles[turn] for turn in question["gold"]}
        assert said_by == {"assistant" if question["kind"] == "assistant" else "user"}


def test_half_of_questions_share_no_word_with_gold() -> None:
    def words(text: str) -> set[str]:
        return {word.strip(".,;:?!\"'").lower() for word in text.split() if len(word) > 4}

    gold = [
        words(" ".join(TEXTS[turn] for turn in question["gold"])) for question in MEMORY_QUESTIONS
    ]
    shared = [
        words(q["question"]) & gold_words
        for q, gold_words in zip(MEMORY_QUESTIONS, gold, strict=True)
    ]
    assert sum(not common for common in shared) * 2 >= len(MEMORY_QUESTIONS)


def test_first_question_is_about_old_turn() -> None:
    assert QUESTIONS[0]["kind"] == "single"
    assert set(QUESTIONS[0]["gold"]) <= {turn["id"] for turn in TURNS[:-40]}
    assert all(QUESTIONS[0]["answer"] not in TEXTS[turn["id"]] for turn in TURNS[-40:])
