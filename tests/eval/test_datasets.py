"""Data sets as they are read: ids, times, speakers, captions, gold, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import Dataset, DatasetError, jsonl, locomo
from tests.support.environment import BENCHMARK_DATA

PUBLISHED = BENCHMARK_DATA / "raw" / "locomo_dev.json"
KNOWN = frozenset({"D1:1", "D1:2", "D2:1", "D11:26", "D30:5"})


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


def sample(qa: list[dict[str, Any]], **conversation: Any) -> dict[str, Any]:
    """Return a conversation in LoCoMo's format: two sessions with turns and one without."""
    spoken = {
        "speaker_a": "Ida",
        "speaker_b": "Tor",
        "session_10_date_time": "12:05 am on 1 January, 2024",
        "session_10": [{"speaker": "Tor", "dia_id": "D10:1", "text": "Happy new year!"}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            {"speaker": "Ida", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kayak"},
            {"speaker": "Tor", "dia_id": "D2:2", "text": "Lovely."},
        ],
        "session_3_date_time": "9:00 am on 9 May, 2023",
    }
    return {"sample_id": "talk-1", "conversation": {**spoken, **conversation}, "qa": qa}


def load_published(folder: Path, *samples: Mapping[str, Any]) -> Dataset:
    """Write LoCoMo's file and read it."""
    path = folder / "locomo.json"
    path.write_text(json.dumps(samples))
    return locomo.load(path)


def asked(category: int = 4, *evidence: str) -> dict[str, Any]:
    """Return a question in LoCoMo's format."""
    return {"question": "What is red?", "evidence": list(evidence), "category": category}


def test_a_set_is_called_what_its_file_of_turns_is_called(tmp_path: Path) -> None:
    assert load(tmp_path, [doc()]).name == "small"


def test_the_turns_of_each_conversation_keep_their_order(tmp_path: Path) -> None:
    docs = [doc("a/2"), doc("b/1", conv="b"), doc("a/1")]
    found = load(tmp_path, docs).conversations
    assert {name: [turn.id for turn in turns] for name, turns in found.items()} == {
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
def test_a_time_without_a_zone_is_utc(tmp_path: Path, written: str, expected: datetime) -> None:
    (turn,) = load(tmp_path, [doc(time=written)]).conversations["a"]
    assert (turn.time, turn.time.tzinfo) == (expected, UTC)


@pytest.mark.parametrize(("given", "role"), [({}, "user"), ({"role": "assistant"}, "assistant")])
def test_a_turn_is_a_users_where_the_set_has_no_roles(
    tmp_path: Path, given: dict[str, str], role: str
) -> None:
    (turn,) = load(tmp_path, [doc(speaker="Ida", **given)]).conversations["a"]
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
def test_a_turn_ends_with_what_it_shares(
    tmp_path: Path, text: str, caption: str | None, expected: str
) -> None:
    (turn,) = load(tmp_path, [doc(text=text, caption=caption)]).conversations["a"]
    assert turn.text == expected


def test_a_question_is_asked_at_the_end_of_its_conversation(tmp_path: Path) -> None:
    docs = [doc(), doc("a/2", time="2024-06-01"), doc("b/1", conv="b", time="2025-01-01")]
    (question,) = load(tmp_path, docs, query()).questions
    assert question.now == datetime(2024, 6, 1, tzinfo=UTC)


def test_gold_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    (question,) = load(tmp_path, [doc()], query(gold=["a/1", "a/1"])).questions
    assert question.gold == ("a/1",)


def test_gold_that_is_not_in_the_conversation_stays_and_is_noted(tmp_path: Path) -> None:
    docs = [doc(), doc("b/1", conv="b")]
    found = load(tmp_path, docs, query(gold=["a/1", "b/1"]))
    assert found.questions[0].gold == ("a/1", "b/1")
    assert [note for note in found.notes if "a/q1" in note and "'b/1'" in note] == list(found.notes)
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("docs", "queries", "complaint"),
    [
        ([doc(), doc()], [], "'a/1' stands for two things"),
        ([doc()], [query(), query()], "'a/q1' stands for two things"),
        ([doc("a 1")], [], "'a 1' is empty or has blanks"),
        ([doc("")], [], "'' is empty or has blanks"),
        ([doc(), doc("a/2", time="soon")], [], "small.docs.jsonl:2: 'soon' is not a time"),
        ([doc(text=None)], [], "small.docs.jsonl:1: 'text' is not a string"),
        ([doc()], [query(conv="b")], "small.queries.jsonl:1: no turn is of the conversation 'b'"),
        ([doc()], [query(gold="a/1")], "small.queries.jsonl:1: 'gold' is not a list"),
    ],
)
def test_a_complaint_names_the_place(
    tmp_path: Path, docs: list[dict[str, Any]], queries: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load(tmp_path, docs, *queries)


@pytest.mark.parametrize("line", ["{", "[1]"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "small.docs.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(DatasetError, match=r"small\.docs\.jsonl:2: not"):
        jsonl.load(path, path)


def test_published_sessions_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    turns = load_published(tmp_path, sample([])).conversations["talk-1"]
    assert [(turn.id, turn.speaker, turn.text) for turn in turns] == [
        ("talk-1/D2:1", "Ida", "Look! [shares a red kayak]"),
        ("talk-1/D2:2", "Tor", "Lovely."),
        ("talk-1/D10:1", "Tor", "Happy new year!"),
    ]


def test_a_published_session_says_when_its_turns_were_said(tmp_path: Path) -> None:
    turns = load_published(tmp_path, sample([])).conversations["talk-1"]
    assert [turn.time.isoformat() for turn in turns] == [
        "2023-05-08T13:56:00+00:00",
        "2023-05-08T13:56:00+00:00",
        "2024-01-01T00:05:00+00:00",
    ]


def test_published_categories_get_their_names(tmp_path: Path) -> None:
    found = load_published(tmp_path, sample([asked(number) for number in range(1, 6)]))
    assert [(question.id, question.category) for question in found.questions] == [
        ("talk-1/q0", "multi_hop"),
        ("talk-1/q1", "temporal"),
        ("talk-1/q2", "open_domain"),
        ("talk-1/q3", "single_hop"),
        ("talk-1/q4", "adversarial"),
    ]


@pytest.mark.parametrize(
    ("written", "read", "left_out"),
    [
        ("D1:1", ["D1:1"], []),
        ("D1:1; D2:1", ["D1:1", "D2:1"], []),
        ("D1:1 D1:2,D2:1", ["D1:1", "D1:2", "D2:1"], []),
        ("D:11:26", ["D11:26"], []),
        ("D30:05", ["D30:5"], []),
        ("D", [], ["D"]),
        ("", [], []),
        ("D1:9", [], ["D1:9"]),
        ("D1:1 D1:9 ?", ["D1:1"], ["?", "D1:9"]),
        ("1:1", [], ["1:1"]),
    ],
)
def test_evidence_is_repaired_where_it_can_be_read_in_one_way_only(
    written: str, read: list[str], left_out: list[str]
) -> None:
    assert locomo.read_evidence(written, KNOWN) == (read, left_out)


def test_what_was_made_of_evidence_is_noted(tmp_path: Path) -> None:
    found = load_published(tmp_path, sample([asked(4, "D2:1"), asked(1, "D2:1; D:10:1", "D")]))
    assert [question.gold for question in found.questions] == [
        ("talk-1/D2:1",),
        ("talk-1/D2:1", "talk-1/D10:1"),
    ]
    assert found.notes == (
        "talk-1/q1: evidence 'D2:1; D:10:1': read as D2:1, D10:1",
        "talk-1/q1: evidence 'D': left out D",
    )


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[{}]",
        json.dumps([sample([asked(6)])]),
        json.dumps([sample([], session_2_date_time="noon")]),
        json.dumps([sample([]), sample([])]),
    ],
)
def test_a_file_of_another_format_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"other\.json"):
        locomo.load(path)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not there: see BENCHMARK_DATA")
def test_both_formats_of_locomo_are_the_same_set() -> None:
    published = locomo.load(PUBLISHED)
    folder = BENCHMARK_DATA / "benchmarks"
    lines = jsonl.load(folder / "locomo.docs.jsonl", folder / "locomo.queries.jsonl")
    assert published.conversations == {
        name: list(turns) for name, turns in lines.conversations.items()
    }
    assert list(published.questions) == list(lines.questions)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not there: see BENCHMARK_DATA")
def test_the_four_errors_of_the_published_evidence_are_noted() -> None:
    assert len(locomo.load(PUBLISHED).notes) == 4
