"""Components of recall can be left out, to measure the effect of each."""

from __future__ import annotations

import pytest

from memory_service.core.models import Hit
from memory_service.recall.query import Query
from memory_service.recall.ranking import ALL_COMPONENTS, Component
from memory_service.service import Service
from tests.support.storing import create

TURNS = (
    "I bought a red kayak on Friday.",
    {"role": "assistant", "content": "Where will you keep the kayak?"},
    "In the boathouse of my aunt Sunniva.",
    {"role": "assistant", "content": "A dry place, then."},
    "The bakery sells rye bread again.",
)


def hits(service: Service, without: Component, text: str = "Who keeps the kayak?") -> list[Hit]:
    recaller = service.new_recaller(ALL_COMPONENTS - {without})
    query = Query(text, top_k=5, relevant_only=True)
    return list(recaller.in_conversation(service.local_project(), "c", query).hits)


@pytest.mark.parametrize("component", [Component.WORDS, Component.VECTOR, Component.SPEAKER])
def test_component_left_out_adds_nothing_to_scores(service: Service, component: Component) -> None:
    create(service, "c", *TURNS)
    kept_component = Component.RELEVANCE_FLOOR
    assert {hit.features.get(component.value, 0) for hit in hits(service, component)} == {0}
    assert {hit.features.get(component.value, 0) for hit in hits(service, kept_component)} != {0}


def test_query_vector_differs_without_query_weights(service: Service) -> None:
    create(service, "c", *TURNS)
    plain = hits(service, Component.QUERY_WEIGHTS)
    weighted = hits(service, Component.RELEVANCE_FLOOR)
    assert [hit.features["vector"] for hit in plain] != [hit.features["vector"] for hit in weighted]


def test_small_talk_recalls_turns_without_relevance_floor(service: Service) -> None:
    create(service, "c", *TURNS)
    assert hits(service, Component.WORDS, "Thanks!") == []
    assert hits(service, Component.RELEVANCE_FLOOR, "Thanks!") != []
