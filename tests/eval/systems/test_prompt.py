"""The prompt that a system fills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.datasets.models import Dataset
from eval.runs import records
from eval.systems.bm25 import BM25
from eval.systems.prompt import as_hits, fill
from eval.systems.scopes import ScopeCache
from eval.systems.system import whole
from memory_service.core.settings import Settings
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import open_offline_counter
from tests.support.evaluation_set import make_question, talk

TEXTS = st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    """Return what counts a prompt; opening it takes longer than a test."""
    return open_offline_counter()


@given(TEXTS, st.integers(60, 600))
def test_prompt_stays_within_budget_without_duplicates(
    counter: TokenCounter, texts: list[str], budget: int
) -> None:
    hits = [whole(retrieved, 1.0) for retrieved in talk(texts)]
    filled = fill(make_question("What was it?"), as_hits(hits), budget, counter)
    assert filled.tokens <= budget
    assert len(set(filled.turn_ids)) == len(filled.turn_ids)
    assert set(filled.turn_ids) <= {retrieved.turn.id for retrieved in hits}


def test_best_turns_fill_prompt_first(counter: TokenCounter) -> None:
    hits = [
        whole(retrieved, 1.0)
        for retrieved in talk([f"This is turn number {n}." for n in range(50)])
    ]
    filled = fill(make_question("Which?"), as_hits(hits), 250, counter)
    assert 0 < len(filled.turn_ids) < 50
    assert list(filled.turn_ids) == [f"a/{n}" for n in range(len(filled.turn_ids))]


def test_question_larger_than_budget_has_no_evidence(
    counter: TokenCounter,
) -> None:
    dataset = Dataset("small", {"a": talk(["My locker is 8314."])}, ())
    long = make_question("Which locker? " * 200, "a/0", answer="8314")
    system = BM25(ScopeCache(dataset, Settings()))
    line, _ = records.ask(dataset, system, long, counter)
    assert line["evidence"]["250"] == {"gold": 0.0, "answer": 0.0}
    assert line["evidence"]["4000"]["answer"] == 1.0
