"""Recaller: the stages of a recall, and recalls that end early."""

from __future__ import annotations

import pytest

from memory_service.core.errors import NotFound
from memory_service.core.models import RecalledSpan
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.storing import create

TURNS = ("I bought a red kayak on Friday.", "The bakery sells rye bread again.")


@pytest.mark.parametrize(
    ("query", "stages"),
    [
        (Query("red kayak", 5), ["scope", "time", "words", "embed", "vectors", "rank", "read"]),
        (Query("Thanks!", 5, relevant_only=True), ["scope", "time", "words"]),
        (Query("red kayak", 0), ["scope"]),
    ],
    ids=["all stages", "not relevant", "no hits wanted"],
)
def test_stages_that_are_timed(service: Service, query: Query, stages: list[str]) -> None:
    create(service, "c", *TURNS)
    recall = service.recaller.in_conversation(service.local_project(), "c", query)
    assert list(recall.stages_ms) == stages
    assert all(time >= 0 for time in recall.stages_ms.values())


def test_restored_hits_equal_earlier_ones(service: Service) -> None:
    create(service, "c", *TURNS)
    project = service.local_project()
    hits = service.recaller.in_conversation(project, "c", Query("red kayak", 5)).hits
    assert service.recaller.restore(project, [RecalledSpan.of(hit) for hit in hits]).hits == hits


def test_unknown_conversation_and_user_are_not_found(service: Service) -> None:
    with pytest.raises(NotFound):
        service.recaller.in_conversation(service.local_project(), "unknown", Query("kayak", 5))
    with pytest.raises(NotFound):
        service.recaller.of_user(service.local_project(), "unknown", Query("kayak", 5))
