"""The baselines: recency, BM25, vectors."""

from __future__ import annotations

from collections.abc import Sequence

from eval.datasets.models import Dataset, DatasetTurn
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.recency import LAST_TURNS, FullHistory, LastTurns
from eval.systems.scopes import ScopeCache
from eval.systems.system import RetrievedTurn, best_first, whole
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder
from tests.support.evaluation_set import START, make_question, talk, turn


def scopes(
    *conversations: Sequence[DatasetTurn], users: dict[str, str] | None = None
) -> ScopeCache:
    dataset = Dataset(
        "small", {turns[0].conversation: turns for turns in conversations}, (), (), users or {}
    )
    return ScopeCache(dataset, Settings())


def ids(hits: Sequence[RetrievedTurn]) -> list[str]:
    return [hit.turn.id for hit in hits]


def test_ties_prefer_newer_turn_then_larger_id() -> None:
    now = [DatasetTurn(name, "a", START, "Ida", "user", "x") for name in ("a", "b")]
    later = turn(5, "x")
    hits = [whole(hit, 1.0) for hit in (*now, later)]
    assert ids(best_first(hits, 3)) == [later.id, "b", "a"]


def test_recency_systems_return_newest_first() -> None:
    cache = scopes(talk([f"turn {number}" for number in range(30)]))
    hits = ids(LastTurns(cache).search(make_question("what?"), 50))
    assert hits == [f"a/{number}" for number in range(29, 29 - LAST_TURNS, -1)]
    assert len(FullHistory(cache).search(make_question("what?"), 50)) == 30


def test_user_question_searches_all_conversations_of_user() -> None:
    users = {"a": "ida", "b": "ida", "c": "tor"}
    turns = [talk(["A red kayak."], name) for name in users]
    cache = scopes(*turns, users=users)
    hits = BM25(cache).search(make_question("Which kayak?", user="ida"), 10)
    assert set(ids(hits)) == {"a/0", "b/0"}


def test_bm25_matches_stems() -> None:
    cache = scopes(talk(["We sailed our boats.", "It rained all day.", "He paints houses."]))
    assert ids(BM25(cache).search(make_question("Who was sailing the boat?"), 10)) == ["a/0"]
    assert BM25(cache).search(make_question("zebra"), 10) == []


def test_dense_finds_synonym() -> None:
    cache = scopes(talk(["My doctor was kind.", "The train was late.", "We ate soup."]))
    hits = Dense(cache, LocalEmbedder(), "local").search(make_question("physician"), 3)
    assert ids(hits)[0] == "a/0"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_long_turn_counts_by_best_passage() -> None:
    long = " ".join([*["filler"] * 300, "kayak", *["filler"] * 300])
    cache = scopes(talk([long, "Nothing else."]))
    (hits,) = BM25(cache).search(make_question("kayak"), 5)
    assert "kayak" in hits.turn.text[hits.start : hits.end]
    assert hits.end - hits.start < len(long) / 3
