"""What recall keeps in memory changes no result, outlives no deletion, and crosses no project."""

from __future__ import annotations

import pytest

from memory_service.core.models import Hit
from memory_service.core.settings import Settings
from memory_service.recall.recaller import Query
from memory_service.service import Service
from tests.support.storing import append, create, idle_service, project_key

SAID = (
    "I bought a red kayak on Friday.",
    {"role": "assistant", "content": "Where will you keep the kayak?"},
    "In the boathouse of my aunt Sunniva.",
    "The bakery sells rye bread again.",
)


def hits(service: Service, *, fresh: bool = False, project: str = "one") -> list[Hit]:
    recaller = service.new_recaller() if fresh else service.recaller
    key = project_key(service, project)
    return list(recaller.in_conversation(key, f"c-{project}", Query("red kayak", 5)).hits)


def test_what_was_recalled_before_changes_nothing(settings: Settings) -> None:
    with idle_service(settings) as service:
        create(service, "c-one", *SAID, project="one")
        assert hits(service) == hits(service) == hits(service, fresh=True) != []
        append(service, "c-one", "My kayak is red, and so is the paddle.", project="one")
        assert hits(service) == hits(service, fresh=True)


def test_a_deleted_turn_is_not_recalled_from_memory(settings: Settings) -> None:
    with idle_service(settings) as service:
        create(service, "c-one", *SAID, project="one")
        best = hits(service)[0].turn
        service.deletions.item(project_key(service, "one"), "c-one", best.id)
        after = hits(service)
        assert after == hits(service, fresh=True)
        assert best.id not in [hit.turn.id for hit in after]


def test_the_same_words_in_another_project_are_that_projects(settings: Settings) -> None:
    with idle_service(settings) as service:
        for project in ("one", "two"):
            create(service, f"c-{project}", *SAID, project=project)
        first, second = hits(service), hits(service, project="two")
        assert {hit.turn.key for hit in first}.isdisjoint(hit.turn.key for hit in second)
        assert [hit.score for hit in first] == [hit.score for hit in second]


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 901])
def test_turns_are_found_by_any_number_of_keys(settings: Settings, count: int) -> None:
    with idle_service(settings) as service:
        stored = create(service, "c-one", *map(str, range(count + 1)), project="one")[:count]
        with service.log.read() as snapshot:
            found = snapshot.turns.by_keys(
                project_key(service, "one"), [turn.key for turn in stored]
            )
            assert found == {turn.key: turn for turn in stored}
            assert snapshot.turns.by_keys(0, found) == {}
