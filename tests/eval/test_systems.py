"""The systems that are compared, the prompts they fill, and the sets they are asked about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.datasets import Dataset, DatasetError, Question, Turn, jsonl, locomo, own
from eval.datasets.catalogue import Source
from eval.metrics import evidence
from eval.runs import asking
from eval.systems import Found, best_first, whole
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.passages import Places
from eval.systems.recency import LAST_TURNS, FullHistory, LastTurns
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.prompts.recalled_block import recalled_block
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import open_offline_counter

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
TEXTS = st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    """Return what counts a prompt; opening it takes longer than a test."""
    return open_offline_counter()


def turn(number: int, text: str, conversation: str = "a") -> Turn:
    time = START + timedelta(minutes=number)
    return Turn(f"{conversation}/{number}", conversation, time, "Ida", "user", text)


def talk(texts: Sequence[str], conversation: str = "a") -> list[Turn]:
    return [turn(number, text, conversation) for number, text in enumerate(texts)]


def asked(text: str, *gold: str, **fields: Any) -> Question:
    place = {"conversation": "a"} if "user" not in fields else {"conversation": None}
    values: dict[str, Any] = {"id": "q", "category": "x", "gold": gold, "now": START, **place}
    return Question(text=text, **{**values, **fields})


def places(*conversations: Sequence[Turn], users: dict[str, str] | None = None) -> Places:
    dataset = Dataset(
        "small", {turns[0].conversation: turns for turns in conversations}, (), (), users or {}
    )
    return Places(dataset, Settings())


def ids(found: Sequence[Found]) -> list[str]:
    return [one.turn.id for one in found]


def test_ties_go_to_the_newer_turn_and_then_to_the_larger_id() -> None:
    now = [Turn(name, "a", START, "Ida", "user", "x") for name in ("a", "b")]
    later = turn(5, "x")
    found = [whole(one, 1.0) for one in (*now, later)]
    assert ids(best_first(found, 3)) == [later.id, "b", "a"]


def test_the_last_turns_come_newest_first_and_are_few() -> None:
    here = places(talk([f"turn {number}" for number in range(30)]))
    found = ids(LastTurns(here).search(asked("what?"), 50))
    assert found == [f"a/{number}" for number in range(29, 29 - LAST_TURNS, -1)]
    assert len(FullHistory(here).search(asked("what?"), 50)) == 30


def test_a_question_about_a_user_looks_in_all_his_conversations() -> None:
    users = {"a": "ida", "b": "ida", "c": "tor"}
    turns = [talk(["A red kayak."], name) for name in users]
    here = places(*turns, users=users)
    found = BM25(here).search(asked("Which kayak?", user="ida"), 10)
    assert set(ids(found)) == {"a/0", "b/0"}


def test_bm25_finds_words_by_their_stems_and_nothing_without_any() -> None:
    here = places(talk(["We sailed our boats.", "It rained all day.", "He paints houses."]))
    assert ids(BM25(here).search(asked("Who was sailing the boat?"), 10)) == ["a/0"]
    assert BM25(here).search(asked("zebra"), 10) == []


def test_vectors_find_a_word_that_nobody_said() -> None:
    here = places(talk(["My doctor was kind.", "The train was late.", "We ate soup."]))
    found = Dense(here, LocalEmbedder(), "local").search(asked("physician"), 3)
    assert ids(found)[0] == "a/0"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_long_turn_counts_by_its_best_passage() -> None:
    long = " ".join([*["filler"] * 300, "kayak", *["filler"] * 300])
    here = places(talk([long, "Nothing else."]))
    (found,) = BM25(here).search(asked("kayak"), 5)
    assert "kayak" in found.turn.text[found.start : found.end]
    assert found.end - found.start < len(long) / 3


@given(TEXTS, st.integers(60, 600))
def test_no_prompt_exceeds_its_budget_and_none_is_quoted_twice(
    counter: TokenCounter, texts: list[str], budget: int
) -> None:
    found = [whole(one, 1.0) for one in talk(texts)]
    filled = evidence.fill(asked("What was it?"), evidence.as_hits(found), budget, counter)
    assert filled.tokens <= budget
    assert len(set(filled.turn_ids)) == len(filled.turn_ids)
    assert set(filled.turn_ids) <= {one.turn.id for one in found}


def test_the_best_turns_fill_the_prompt_first(counter: TokenCounter) -> None:
    found = [whole(one, 1.0) for one in talk([f"This is turn number {n}." for n in range(50)])]
    filled = evidence.fill(asked("Which?"), evidence.as_hits(found), 250, counter)
    assert 0 < len(filled.turn_ids) < 50
    assert list(filled.turn_ids) == [f"a/{n}" for n in range(len(filled.turn_ids))]


def test_a_question_that_fills_the_prompt_leaves_room_for_neither_gold_nor_answer(
    counter: TokenCounter,
) -> None:
    dataset = Dataset("small", {"a": talk(["My locker is 8314."])}, ())
    long = asked("Which locker? " * 200, "a/0", answer="8314")
    system = BM25(Places(dataset, Settings()))
    line, _ = asking.answer(dataset, system, long, counter)
    assert line["evidence"]["250"] == {"gold": 0.0, "answer": 0.0}
    assert line["evidence"]["4000"]["answer"] == 1.0


def test_evidence_is_the_share_of_gold_turns_that_are_quoted() -> None:
    question = asked("Which locker?", "a/0", "a/7", answer="8314")
    filled = evidence.Filled(["a/0"], [], "[…] My locker is 8314.", 99)
    assert evidence.evidence(question, filled) == evidence.Evidence(0.5, 1.0, 1, 99)


@pytest.mark.parametrize(
    ("text", "answer", "answer_in", "expected"),
    [
        ("Which locker?", "8314", None, "8314"),
        ("Which locker?", "It is the number 8314, by the door", "8314", "8314"),
        ("Which locker?", "It is the one by the door on the left", None, None),
        ("Is it 8314?", "8314", None, None),
        ("Which locker?", None, None, None),
        ("Which locker?", "...", None, None),
    ],
)
def test_an_answer_is_looked_for_if_it_is_short_and_not_given(
    text: str, answer: str | None, answer_in: str | None, expected: str | None
) -> None:
    question = asked(text, "a/0", answer=answer, answer_in=answer_in)
    assert evidence.short_answer(question) == expected


def test_without_gold_nothing_can_be_missing() -> None:
    filled = evidence.Filled([], [], recalled_block([]), 20)
    found = evidence.evidence(asked("Thanks!", answer="red"), filled)
    assert (found.gold, found.answer) == (None, None)


def test_the_bundled_set_needs_no_file_and_keeps_its_offsets() -> None:
    found = Source().load()
    assert found.name == "own"
    assert found.turns >= 600
    offsets = {one.time.utcoffset() for turns in found.conversations.values() for one in turns}
    assert len(offsets) > 3
    assert {question.conversation is None for question in found.questions} == {True, False}


def test_a_time_of_the_bundled_set_without_an_offset_is_refused(tmp_path: Path) -> None:
    line = {"id": "a", "conv": "c", "user": "u", "time": "2024-05-01", "role": "user", "text": "x"}
    (tmp_path / "turns.jsonl").write_text(json.dumps(line))
    (tmp_path / "questions.jsonl").write_text("")
    with pytest.raises(DatasetError, match=r"turns\.jsonl:1: 'time' has no offset"):
        own.load(tmp_path)


@pytest.mark.parametrize("place", [{"conversation": None}, {"conversation": "a", "user": "u"}])
def test_a_question_looks_in_exactly_one_place(place: dict[str, str | None]) -> None:
    with pytest.raises(DatasetError, match="not exactly one"):
        Question(id="q", text="?", category="x", gold=(), now=START, **place)  # type: ignore[arg-type]  # wrong on purpose


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def small(folder: Path, **fields: Any) -> tuple[Path, Path]:
    docs = [
        {"id": f"a/{n}", "conv": "a", "time": "2024-05-01", "text": f"turn {n}"} for n in range(3)
    ]
    query = {"id": "a/q0", "conv": "a", "question": "Which?", "gold": ["a/0"], **fields}
    return write_lines(folder / "s.docs.jsonl", *docs), write_lines(folder / "s.queries", query)


def test_corrected_labels_count_where_they_are_asked_for(tmp_path: Path) -> None:
    files = small(tmp_path, audit_gold=["a/2"])
    assert jsonl.load(*files).questions[0].gold == ("a/0",)
    assert jsonl.load(*files, audit_gold=True).questions[0].gold == ("a/2",)


def test_a_question_is_also_asked_in_its_other_words(tmp_path: Path) -> None:
    files = small(tmp_path, paraphrases=["Which one?", "Which?", "Which one?", "What turn?"])
    found = jsonl.load(*files, paraphrases=True).questions
    assert [(one.id, one.text) for one in found] == [
        ("a/q0", "Which?"),
        ("a/q0/p1", "Which one?"),
        ("a/q0/p2", "What turn?"),
    ]
    assert {one.gold for one in found} == {("a/0",)}


def published(folder: Path) -> Path:
    turns = [{"speaker": "Ida", "dia_id": f"D1:{n}", "text": f"turn {n}"} for n in (1, 2)]
    talk = {"session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": turns}
    asked = [{"question": "Which?", "evidence": ["D1:1"], "category": 4, "answer": 7}]
    sample = {"sample_id": "c", "conversation": talk, "qa": asked}
    path = folder / "locomo.json"
    path.write_text(json.dumps([sample]))
    return path


def test_a_table_of_corrections_changes_locomos_gold(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "audit.jsonl", {"id": "c/q0", "audit_gold": ["c/D1:2"]})
    found = locomo.load(published(tmp_path), audit=table)
    assert (found.questions[0].gold, found.questions[0].answer) == (("c/D1:2",), "7")
    assert found.notes[-1] == "1 questions have another gold by audit.jsonl"


def test_the_published_audit_changes_locomos_gold(tmp_path: Path) -> None:
    data = published(tmp_path)
    data.write_text(data.read_text().replace('"sample_id": "c"', '"sample_id": "conv-30"'))
    errors = tmp_path / "errors.json"
    error = {"question_id": "locomo_1_qa0", "correct_evidence": ["D1:2", "D1:1"]}
    errors.write_text(json.dumps([error, {**error, "question_id": "locomo_0_qa5"}]))
    found = locomo.load(data, audit=errors)
    assert found.questions[0].gold == ("conv-30/D1:2", "conv-30/D1:1")


@pytest.mark.parametrize("content", ["{", '[{"question_id": "q1"}]', '[{"correct_evidence": []}]'])
def test_another_list_than_the_audits_is_refused(tmp_path: Path, content: str) -> None:
    errors = tmp_path / "errors.json"
    errors.write_text(content)
    with pytest.raises(DatasetError, match=r"errors\.json"):
        locomo.load(published(tmp_path), audit=errors)


def test_a_correction_that_names_no_turn_is_refused(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "audit.jsonl", {"id": "c/q0", "audit_gold": ["c/D9:9"]})
    with pytest.raises(DatasetError, match="c/q0 names an unknown turn"):
        locomo.load(published(tmp_path), audit=table)


def test_one_set_has_one_fingerprint_and_another_has_another(tmp_path: Path) -> None:
    same = [jsonl.load(*small(tmp_path)).fingerprint() for _ in range(2)]
    other = jsonl.load(*small(tmp_path, gold=["a/1"])).fingerprint()
    assert same[0] == same[1] != other


@pytest.mark.parametrize("name", ["realtalk", "beam", "tmd"])
def test_a_set_in_json_lines_is_found_in_its_folder(name: str, tmp_path: Path) -> None:
    start = {"beam": "beam_100k"}.get(name, name)
    docs, queries = small(tmp_path)
    docs.rename(tmp_path / f"{start}.docs.jsonl")
    queries.rename(tmp_path / f"{start}.queries.jsonl")
    source = Source(name, data=tmp_path)  # type: ignore[arg-type]  # each is a name of a set
    assert source.load().name == start
    assert [path.name for path in source.files()] == [
        f"{start}.docs.jsonl",
        f"{start}.queries.jsonl",
    ]
