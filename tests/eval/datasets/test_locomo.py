"""The format locomo: sessions, categories, and evidence that has to be repaired."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import jsonl, locomo
from eval.datasets.models import Dataset
from eval.errors import DatasetError
from tests.support.environment import BENCHMARK_DATA

PUBLISHED = BENCHMARK_DATA / "raw" / "locomo_dev.json"
KNOWN = frozenset({"D1:1", "D1:2", "D2:1", "D11:26", "D30:5"})


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


def question_entry(category: int = 4, *evidence: str) -> dict[str, Any]:
    """Return a question in LoCoMo's format."""
    return {"question": "What is red?", "evidence": list(evidence), "category": category}


def test_sessions_are_ordered_by_number(tmp_path: Path) -> None:
    turns = load_published(tmp_path, sample([])).conversations["talk-1"]
    assert [(turn.id, turn.speaker, turn.text) for turn in turns] == [
        ("talk-1/D2:1", "Ida", "Look! [shares a red kayak]"),
        ("talk-1/D2:2", "Tor", "Lovely."),
        ("talk-1/D10:1", "Tor", "Happy new year!"),
    ]


def test_turns_have_time_of_session(tmp_path: Path) -> None:
    turns = load_published(tmp_path, sample([])).conversations["talk-1"]
    assert [turn.time.isoformat() for turn in turns] == [
        "2023-05-08T13:56:00+00:00",
        "2023-05-08T13:56:00+00:00",
        "2024-01-01T00:05:00+00:00",
    ]


def test_categories_are_named(tmp_path: Path) -> None:
    dataset = load_published(tmp_path, sample([question_entry(number) for number in range(1, 6)]))
    assert [(question.id, question.category) for question in dataset.questions] == [
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
def test_read_evidence_repairs_unambiguous_names(
    written: str, read: list[str], left_out: list[str]
) -> None:
    assert locomo.read_evidence(written, KNOWN) == (read, left_out)


def test_repaired_and_skipped_evidence_is_noted(tmp_path: Path) -> None:
    dataset = load_published(
        tmp_path, sample([question_entry(4, "D2:1"), question_entry(1, "D2:1; D:10:1", "D")])
    )
    assert [question.gold for question in dataset.questions] == [
        ("talk-1/D2:1",),
        ("talk-1/D2:1", "talk-1/D10:1"),
    ]
    assert dataset.notes == (
        "talk-1/q1: evidence 'D2:1; D:10:1': read as D2:1, D10:1",
        "talk-1/q1: evidence 'D': left out D",
    )


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[{}]",
        json.dumps([sample([question_entry(6)])]),
        json.dumps([sample([], session_2_date_time="noon")]),
        json.dumps([sample([]), sample([])]),
    ],
)
def test_error_names_file_of_other_format(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"other\.json"):
        locomo.load(path)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not there: see BENCHMARK_DATA")
def test_published_file_equals_json_lines() -> None:
    published = locomo.load(PUBLISHED)
    folder = BENCHMARK_DATA / "benchmarks"
    lines = jsonl.load(folder / "locomo.docs.jsonl", folder / "locomo.queries.jsonl")
    assert published.conversations == {
        name: list(turns) for name, turns in lines.conversations.items()
    }
    assert list(published.questions) == list(lines.questions)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not there: see BENCHMARK_DATA")
def test_published_file_has_four_notes() -> None:
    assert len(locomo.load(PUBLISHED).notes) == 4
