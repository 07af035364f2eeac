"""Recall in five languages: a question finds turns in the same language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_service.embedded import Memory
from tests.support.own_set import QUESTIONS, stored_memory

PLAIN = [question for question in QUESTIONS if question["wording"] == "plain"]


@pytest.fixture(scope="module", params=[0, 150_000], ids=["index", "scan"])
def memory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Memory]:
    """Return the own set, stored, in both modes of `exact_scan_max`."""
    folder = tmp_path_factory.mktemp("own") / "data"
    with stored_memory(folder, exact_scan_max=request.param) as opened:
        yield opened


@pytest.mark.parametrize("language", ["en", "de", "es", "zh", "ru"])
def test_eight_of_ten_questions_find_answer_in_top_five(memory: Memory, language: str) -> None:
    questions = [question for question in PLAIN if question["language"] == language]
    assert len(questions) == 10
    missed = []
    for question in questions:
        hits = memory.search(question["question"], conversation=question["conv"], top_k=5)
        if {hit.turn.id for hit in hits}.isdisjoint(question["gold"]):
            missed.append(question["id"])
    assert len(missed) <= 2, missed
