"""The format jsonl: ids, times, roles, captions, gold, and its errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import jsonl
from eval.datasets.models import Dataset
from eval.errors import DatasetError


def doc(name: str = "a/1", **fields: Any) -> dict[str, Any]:
    """Return a line of a turn."""
    line = {"id": name, "conv": "a", "time": "2024-05-01T10:00:00", "text": "Hello."}
    return {**line, **fields}


def query(name: str = "a/q1", **fields: Any) -> dict[str, Any]:
    """Return a line of a question."""
    return {"id": name, "conv": "a", "question": "Who?", "category": "x", "gold": [], **fields}


def load(folder: Path, docs: list[dict[str, Any]], *queries: dict[str, Any]) -> Dataset:
    """Write both files and read them."""
    for name, lines in (("small.docs", docs), ("small.queries", queries)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return jsonl.load(folder / "small.docs.jsonl", folder / "small.queries.jsonl")


def test_dataset_name_is_turn_file_name(tmp_path: Path) -> None:
    assert load(tmp_path, [doc()]).name == "small"


def test_turns_keep_file_order_per_conversation(tmp_path: Path) -> None:
    docs = [doc("a/2"), doc("b/1", conv="b"), doc("a/1")]
    conversations = load(tmp_path, docs).conversations
    assert {name: [turn.id for turn in turns] for name, turns in conversations.items()} == {
        "a": ["a/2", "a/1"],
        "b": ["b/1"],
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2023-05-08T13:56:00", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("2023-05-08T13:56:00+02:00", datetime(2023, 5, 8, 11, 56, tzinfo=UTC)),
        ("March-15-2024", datetime(2024, 3, 15, tzinfo=UTC)),
    ],
)
def test_time_without_zone_is_utc(tmp_path: Path, written: str, expected: datetime) -> None:
    (turn,) = load(tmp_path, [doc(time=written)]).conversations["a"]
    assert (turn.time, turn.time.tzinfo) == (expected, UTC)


@pytest.mark.parametrize(("fields", "role"), [({}, "user"), ({"role": "assistant"}, "assistant")])
def test_role_defaults_to_user(tmp_path: Path, fields: dict[str, str], role: str) -> None:
    (turn,) = load(tmp_path, [doc(speaker="Ida", **fields)]).conversations["a"]
    assert (turn.speaker, turn.role) == ("Ida", role)


@pytest.mark.parametrize(
    ("text", "caption", "expected"),
    [
        ("Look!", "a red kayak", "Look! [shares a red kayak]"),
        ("", "a red kayak", "[shares a red kayak]"),
        ("Look!", None, "Look!"),
        ("Look!", "", "Look!"),
    ],
)
def test_caption_is_appended_to_text(
    tmp_path: Path, text: str, caption: str | None, expected: str
) -> None:
    (turn,) = load(tmp_path, [doc(text=text, caption=caption)]).conversations["a"]
    assert turn.text == expected


def test_now_is_time_of_last_turn(tmp_path: Path) -> None:
    docs = [doc(), doc("a/2", time="2024-06-01"), doc("b/1", conv="b", time="2025-01-01")]
    (question,) = load(tmp_path, docs, query()).questions
    assert question.now == datetime(2024, 6, 1, tzinfo=UTC)


def test_duplicate_gold_is_removed(tmp_path: Path) -> None:
    (question,) = load(tmp_path, [doc()], query(gold=["a/1", "a/1"])).questions
    assert question.gold == ("a/1",)


def test_gold_of_other_conversation_is_kept_and_noted(tmp_path: Path) -> None:
    docs = [doc(), doc("b/1", conv="b")]
    dataset = load(tmp_path, docs, query(gold=["a/1", "b/1"]))
    assert dataset.questions[0].gold == ("a/1", "b/1")
    (note,) = dataset.notes
    assert "a/q1" in note
    assert "'b/1'" in note


@pytest.mark.parametrize(
    ("docs", "queries", "complaint"),
    [
        ([doc(), doc()], [], "'a/1' occurs twice"),
        ([doc()], [query(), query()], "'a/q1' occurs twice"),
        ([doc("a 1")], [], "'a 1' is empty or has blanks"),
        ([doc("")], [], "'' is empty or has blanks"),
        ([doc(), doc("a/2", time="soon")], [], "small.docs.jsonl:2: 'soon' is not a time"),
        ([doc(text=None)], [], "small.docs.jsonl:1: 'text' is not a string"),
        ([doc()], [query(conv="b")], "small.queries.jsonl:1: no turn is of the conversation 'b'"),
        ([doc()], [query(gold="a/1")], "small.queries.jsonl:1: 'gold' is not a list"),
    ],
)
def test_error_names_file_and_line(
    tmp_path: Path, docs: list[dict[str, Any]], queries: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load(tmp_path, docs, *queries)


@pytest.mark.parametrize("line", ["{", "[1]"])
def test_line_that_is_not_an_object_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "small.docs.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(DatasetError, match=r"small\.docs\.jsonl:2: not"):
        jsonl.load(path, path)
