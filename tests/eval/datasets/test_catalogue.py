"""Data sets by name: the bundled set, corrected labels, paraphrases, folders."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import jsonl, locomo, own
from eval.datasets.catalogue import DatasetSource
from eval.datasets.models import Question
from eval.errors import DatasetError

START = datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_bundled_set_needs_no_file_and_keeps_offsets() -> None:
    dataset = DatasetSource().load()
    assert dataset.name == "own"
    assert dataset.turn_count >= 600
    offsets = {turn.time.utcoffset() for turns in dataset.conversations.values() for turn in turns}
    assert len(offsets) > 3
    assert {question.conversation is None for question in dataset.questions} == {True, False}


def test_own_format_refuses_time_without_offset(tmp_path: Path) -> None:
    line = {"id": "a", "conv": "c", "user": "u", "time": "2024-05-01", "role": "user", "text": "x"}
    (tmp_path / "turns.jsonl").write_text(json.dumps(line))
    (tmp_path / "questions.jsonl").write_text("")
    with pytest.raises(DatasetError, match=r"turns\.jsonl:1: 'time' has no offset"):
        own.load(tmp_path)


@pytest.mark.parametrize("scope", [{"conversation": None}, {"conversation": "a", "user": "u"}])
def test_question_needs_conversation_or_user(scope: dict[str, str | None]) -> None:
    with pytest.raises(DatasetError, match="not exactly one"):
        Question(id="q", text="?", category="x", gold=(), now=START, **scope)  # type: ignore[arg-type]  # wrong on purpose


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def small(folder: Path, **fields: Any) -> tuple[Path, Path]:
    docs = [
        {"id": f"a/{n}", "conv": "a", "time": "2024-05-01", "text": f"turn {n}"} for n in range(3)
    ]
    query = {"id": "a/q0", "conv": "a", "question": "Which?", "gold": ["a/0"], **fields}
    return write_lines(folder / "s.docs.jsonl", *docs), write_lines(folder / "s.queries", query)


def test_audit_gold_is_used_on_request(tmp_path: Path) -> None:
    files = small(tmp_path, audit_gold=["a/2"])
    assert jsonl.load(*files).questions[0].gold == ("a/0",)
    assert jsonl.load(*files, audit_gold=True).questions[0].gold == ("a/2",)


def test_paraphrases_become_questions(tmp_path: Path) -> None:
    files = small(tmp_path, paraphrases=["Which one?", "Which?", "Which one?", "What turn?"])
    questions = jsonl.load(*files, paraphrases=True).questions
    assert [(question.id, question.text) for question in questions] == [
        ("a/q0", "Which?"),
        ("a/q0/p1", "Which one?"),
        ("a/q0/p2", "What turn?"),
    ]
    assert {question.gold for question in questions} == {("a/0",)}


def published(folder: Path) -> Path:
    turns = [{"speaker": "Ida", "dia_id": f"D1:{n}", "text": f"turn {n}"} for n in (1, 2)]
    talk = {"session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": turns}
    questions = [{"question": "Which?", "evidence": ["D1:1"], "category": 4, "answer": 7}]
    sample = {"sample_id": "c", "conversation": talk, "qa": questions}
    path = folder / "locomo.json"
    path.write_text(json.dumps([sample]))
    return path


def test_corrections_table_changes_locomo_gold(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "audit.jsonl", {"id": "c/q0", "audit_gold": ["c/D1:2"]})
    dataset = locomo.load(published(tmp_path), audit=table)
    assert (dataset.questions[0].gold, dataset.questions[0].answer) == (("c/D1:2",), "7")
    assert dataset.notes[-1] == "1 questions have another gold by audit.jsonl"


def test_published_audit_changes_locomo_gold(tmp_path: Path) -> None:
    data = published(tmp_path)
    data.write_text(data.read_text().replace('"sample_id": "c"', '"sample_id": "conv-30"'))
    errors = tmp_path / "errors.json"
    error = {"question_id": "locomo_1_qa0", "correct_evidence": ["D1:2", "D1:1"]}
    errors.write_text(json.dumps([error, {**error, "question_id": "locomo_0_qa5"}]))
    dataset = locomo.load(data, audit=errors)
    assert dataset.questions[0].gold == ("conv-30/D1:2", "conv-30/D1:1")


@pytest.mark.parametrize("content", ["{", '[{"question_id": "q1"}]', '[{"correct_evidence": []}]'])
def test_audit_of_other_format_is_refused(tmp_path: Path, content: str) -> None:
    errors = tmp_path / "errors.json"
    errors.write_text(content)
    with pytest.raises(DatasetError, match=r"errors\.json"):
        locomo.load(published(tmp_path), audit=errors)


def test_correction_of_unknown_turn_is_refused(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "audit.jsonl", {"id": "c/q0", "audit_gold": ["c/D9:9"]})
    with pytest.raises(DatasetError, match="c/q0 names an unknown turn"):
        locomo.load(published(tmp_path), audit=table)


def test_fingerprint_identifies_set(tmp_path: Path) -> None:
    same = [jsonl.load(*small(tmp_path)).fingerprint() for _ in range(2)]
    changed = jsonl.load(*small(tmp_path, gold=["a/1"])).fingerprint()
    assert same[0] == same[1] != changed


@pytest.mark.parametrize("name", ["realtalk", "beam", "tmd"])
def test_json_lines_set_is_found_in_folder(name: str, tmp_path: Path) -> None:
    start = {"beam": "beam_100k"}.get(name, name)
    docs, queries = small(tmp_path)
    docs.rename(tmp_path / f"{start}.docs.jsonl")
    queries.rename(tmp_path / f"{start}.queries.jsonl")
    source = DatasetSource(name, data=tmp_path)  # type: ignore[arg-type]  # each is a name of a set
    assert source.load().name == start
    assert [path.name for path in source.files()] == [
        f"{start}.docs.jsonl",
        f"{start}.queries.jsonl",
    ]
