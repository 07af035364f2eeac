"""Recall with caches: equal results, no deleted turns, no turns of other projects."""

from __future__ import annotations

import pytest

from memory_service.core.models import Hit
from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.storing import append, create, idle_service, project_key

TURNS = (
    "I bought a red kayak on Friday.",
    {"role": "assistant", "content": "Where will you keep the kayak?"},
    "In the boathouse of my aunt Sunniva.",
    "The bakery sells rye bread again.",
)


def hits(service: Service, *, fresh: bool = False, project: str = "one") -> list[Hit]:
    recaller = service.new_recaller() if fresh else service.recaller
    key = project_key(service, project)
    return list(recaller.in_conversation(key, f"c-{project}", Query("red kayak", 5)).hits)


def test_warm_caches_return_same_hits_as_new_recaller(settings: Settings) -> None:
    with idle_service(settings) as service:
        create(service, "c-one", *TURNS, project="one")
        assert hits(service) == hits(service) == hits(service, fresh=True) != []
        append(service, "c-one", "My kayak is red, and so is the paddle.", project="one")
        assert hits(service) == hits(service, fresh=True)


def test_deleted_turn_is_not_recalled_from_cache(settings: Settings) -> None:
    with idle_service(settings) as service:
        create(service, "c-one", *TURNS, project="one")
        best = hits(service)[0].turn
        service.deletions.delete_item(project_key(service, "one"), "c-one", best.id)
        after = hits(service)
        assert after == hits(service, fresh=True)
        assert best.id not in [hit.turn.id for hit in after]


def test_equal_text_in_two_projects_recalls_own_turns(settings: Settings) -> None:
    with idle_service(settings) as service:
        for project in ("one", "two"):
            create(service, f"c-{project}", *TURNS, project=project)
        first, second = hits(service), hits(service, project="two")
        assert {hit.turn.key for hit in first}.isdisjoint(hit.turn.key for hit in second)
        assert [hit.score for hit in first] == [hit.score for hit in second]


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 901])
def test_turns_by_keys_with_any_number_of_keys(settings: Settings, count: int) -> None:
    with idle_service(settings) as service:
        stored = create(service, "c-one", *map(str, range(count + 1)), project="one")[:count]
        with service.log.read() as snapshot:
            turns = snapshot.turns.by_keys(
                project_key(service, "one"), [turn.key for turn in stored]
            )
            assert turns == {turn.key: turn for turn in stored}
            assert snapshot.turns.by_keys(0, turns) == {}
