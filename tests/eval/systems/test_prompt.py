"""The prompt that a system fills."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.runs import records
from eval.systems.bm25 import BM25
from eval.systems.prompt import as_hits, fill
from eval.systems.scopes import ScopeCache
from eval.systems.system import whole
from memory_service.core.settings import Settings
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import open_offline_counter

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
TEXTS = st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    """Return what counts a prompt; opening it takes longer than a test."""
    return open_offline_counter()


def turn(number: int, text: str, conversation: str = "a") -> DatasetTurn:
    time = START + timedelta(minutes=number)
    return DatasetTurn(f"{conversation}/{number}", conversation, time, "Ida", "user", text)


def talk(texts: Sequence[str], conversation: str = "a") -> list[DatasetTurn]:
    return [turn(number, text, conversation) for number, text in enumerate(texts)]


def asked(text: str, *gold: str, **fields: Any) -> Question:
    place = {"conversation": "a"} if "user" not in fields else {"conversation": None}
    values: dict[str, Any] = {"id": "q", "category": "x", "gold": gold, "now": START, **place}
    return Question(text=text, **{**values, **fields})


def scopes(
    *conversations: Sequence[DatasetTurn], users: dict[str, str] | None = None
) -> ScopeCache:
    dataset = Dataset(
        "small", {turns[0].conversation: turns for turns in conversations}, (), (), users or {}
    )
    return ScopeCache(dataset, Settings())


@given(TEXTS, st.integers(60, 600))
def test_prompt_stays_within_budget_without_duplicates(
    counter: TokenCounter, texts: list[str], budget: int
) -> None:
    found = [whole(one, 1.0) for one in talk(texts)]
    filled = fill(asked("What was it?"), as_hits(found), budget, counter)
    assert filled.tokens <= budget
    assert len(set(filled.turn_ids)) == len(filled.turn_ids)
    assert set(filled.turn_ids) <= {one.turn.id for one in found}


def test_best_turns_fill_prompt_first(counter: TokenCounter) -> None:
    found = [whole(one, 1.0) for one in talk([f"This is turn number {n}." for n in range(50)])]
    filled = fill(asked("Which?"), as_hits(found), 250, counter)
    assert 0 < len(filled.turn_ids) < 50
    assert list(filled.turn_ids) == [f"a/{n}" for n in range(len(filled.turn_ids))]


def test_question_larger_than_budget_has_no_evidence(
    counter: TokenCounter,
) -> None:
    dataset = Dataset("small", {"a": talk(["My locker is 8314."])}, ())
    long = asked("Which locker? " * 200, "a/0", answer="8314")
    system = BM25(ScopeCache(dataset, Settings()))
    line, _ = records.ask(dataset, system, long, counter)
    assert line["evidence"]["250"] == {"gold": 0.0, "answer": 0.0}
    assert line["evidence"]["4000"]["answer"] == 1.0


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def small(folder: Path, **fields: Any) -> tuple[Path, Path]:
    docs = [
        {"id": f"a/{n}", "conv": "a", "time": "2024-05-01", "text": f"turn {n}"} for n in range(3)
    ]
    query = {"id": "a/q0", "conv": "a", "question": "Which?", "gold": ["a/0"], **fields}
    return write_lines(folder / "s.docs.jsonl", *docs), write_lines(folder / "s.queries", query)
