"""Parts of recall can be left out, so that a measurement shows what each earns."""

from __future__ import annotations

import pytest

from memory_service.core.models import Hit
from memory_service.recall.ranking import ALL_PARTS, Part
from memory_service.recall.recaller import Query
from memory_service.service import Service
from tests.support.storing import create

SAID = (
    "I bought a red kayak on Friday.",
    {"role": "assistant", "content": "Where will you keep the kayak?"},
    "In the boathouse of my aunt Sunniva.",
    {"role": "assistant", "content": "A dry place, then."},
    "The bakery sells rye bread again.",
)


def hits(service: Service, without: Part, text: str = "Who keeps the kayak?") -> list[Hit]:
    recaller = service.new_recaller(ALL_PARTS - {without})
    query = Query(text, top_k=5, relevant_only=True)
    return list(recaller.in_conversation(service.local_project(), "c", query).hits)


@pytest.mark.parametrize("part", [Part.WORDS, Part.VECTORS, Part.SPEAKER])
def test_a_part_that_is_left_out_gives_no_points(service: Service, part: Part) -> None:
    create(service, "c", *SAID)
    other = Part.FLOOR
    assert {hit.channels.get(part.value, 0) for hit in hits(service, part)} == {0}
    assert {hit.channels.get(part.value, 0) for hit in hits(service, other)} != {0}


def test_without_its_weights_a_query_has_another_vector(service: Service) -> None:
    create(service, "c", *SAID)
    plain, weighted = hits(service, Part.QUERY_WEIGHTS), hits(service, Part.FLOOR)
    assert [hit.channels["vector"] for hit in plain] != [hit.channels["vector"] for hit in weighted]


def test_without_the_floor_small_talk_recalls_something(service: Service) -> None:
    create(service, "c", *SAID)
    assert hits(service, Part.WORDS, "Thanks!") == []
    assert hits(service, Part.FLOOR, "Thanks!") != []
