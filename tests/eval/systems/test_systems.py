"""The baselines: recency, BM25, vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.recency import LAST_TURNS, FullHistory, LastTurns
from eval.systems.scopes import ScopeCache
from eval.systems.system import RetrievedTurn, best_first, whole
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder

START = datetime(2024, 5, 1, 10, tzinfo=UTC)


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


def ids(found: Sequence[RetrievedTurn]) -> list[str]:
    return [one.turn.id for one in found]


def test_ties_prefer_newer_turn_then_larger_id() -> None:
    now = [DatasetTurn(name, "a", START, "Ida", "user", "x") for name in ("a", "b")]
    later = turn(5, "x")
    found = [whole(one, 1.0) for one in (*now, later)]
    assert ids(best_first(found, 3)) == [later.id, "b", "a"]


def test_recency_systems_return_newest_first() -> None:
    here = scopes(talk([f"turn {number}" for number in range(30)]))
    found = ids(LastTurns(here).search(asked("what?"), 50))
    assert found == [f"a/{number}" for number in range(29, 29 - LAST_TURNS, -1)]
    assert len(FullHistory(here).search(asked("what?"), 50)) == 30


def test_user_question_searches_all_conversations_of_user() -> None:
    users = {"a": "ida", "b": "ida", "c": "tor"}
    turns = [talk(["A red kayak."], name) for name in users]
    here = scopes(*turns, users=users)
    found = BM25(here).search(asked("Which kayak?", user="ida"), 10)
    assert set(ids(found)) == {"a/0", "b/0"}


def test_bm25_matches_stems() -> None:
    here = scopes(talk(["We sailed our boats.", "It rained all day.", "He paints houses."]))
    assert ids(BM25(here).search(asked("Who was sailing the boat?"), 10)) == ["a/0"]
    assert BM25(here).search(asked("zebra"), 10) == []


def test_dense_finds_synonym() -> None:
    here = scopes(talk(["My doctor was kind.", "The train was late.", "We ate soup."]))
    found = Dense(here, LocalEmbedder(), "local").search(asked("physician"), 3)
    assert ids(found)[0] == "a/0"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_long_turn_counts_by_best_passage() -> None:
    long = " ".join([*["filler"] * 300, "kayak", *["filler"] * 300])
    here = scopes(talk([long, "Nothing else."]))
    (found,) = BM25(here).search(asked("kayak"), 5)
    assert "kayak" in found.turn.text[found.start : found.end]
    assert found.end - found.start < len(long) / 3


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def small(folder: Path, **fields: Any) -> tuple[Path, Path]:
    docs = [
        {"id": f"a/{n}", "conv": "a", "time": "2024-05-01", "text": f"turn {n}"} for n in range(3)
    ]
    query = {"id": "a/q0", "conv": "a", "question": "Which?", "gold": ["a/0"], **fields}
    return write_lines(folder / "s.docs.jsonl", *docs), write_lines(folder / "s.queries", query)
