"""Evidence in a prompt, and short answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.metrics.evidence import Evidence, evidence, short_answer
from eval.systems.scopes import ScopeCache
from memory_service.core.settings import Settings
from memory_service.prompts.assembly import recalled_block

START = datetime(2024, 5, 1, 10, tzinfo=UTC)


def turn(number: int, text: str, conversation: str = "a") -> DatasetTurn:
    time = START + timedelta(minutes=number)
    return DatasetTurn(f"{conversation}/{number}", conversation, time, "Ida", "user", text)


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


def test_evidence_is_share_of_quoted_gold() -> None:
    question = asked("Which locker?", "a/0", "a/7", answer="8314")
    part = evidence(question, ["a/0"], "[…] My locker is 8314.")
    assert part == Evidence(gold=0.5, answer=1.0)


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
def test_short_answer_must_be_short_and_not_in_question(
    text: str, answer: str | None, answer_in: str | None, expected: str | None
) -> None:
    question = asked(text, "a/0", answer=answer, answer_in=answer_in)
    assert short_answer(question) == expected


def test_evidence_is_none_without_gold() -> None:
    part = evidence(asked("Thanks!", answer="red"), [], recalled_block([]))
    assert part == Evidence(gold=None, answer=None)


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def small(folder: Path, **fields: Any) -> tuple[Path, Path]:
    docs = [
        {"id": f"a/{n}", "conv": "a", "time": "2024-05-01", "text": f"turn {n}"} for n in range(3)
    ]
    query = {"id": "a/q0", "conv": "a", "question": "Which?", "gold": ["a/0"], **fields}
    return write_lines(folder / "s.docs.jsonl", *docs), write_lines(folder / "s.queries", query)
