"""Forgetting reaches the files: soon after a deletion no byte of any file holds what is gone."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from memory_service.core.models import Vector
from memory_service.core.settings import Settings
from memory_service.service import Service
from tests.chroma.test_damage import is_whole
from tests.support.environment import LONG
from tests.support.remnants import vectors_left, words_left
from tests.support.storing import append, create, eventually, findings, idle_service, project_key

DELETED = 300 if LONG else 40
KEPT = "the kettle whistles every morning"


def rare_word(number: int) -> str:
    """Return a word that ends as English words do, so that it has a stem of its own."""
    chance = random.Random(number)
    return (
        "".join(chance.choice("bdfgklmnprtvz") + chance.choice("aiou") for _ in range(5)) + "kings"
    )


def vectors_of(service: Service, conversation_id: str) -> list[Vector]:
    """Return the vectors of a conversation's turns."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project_key(service), conversation_id)
        assert conversation is not None
        turns = [turn.key for turn in snapshot.turns.all(conversation.key)]
        return [one.vector for one in snapshot.passages.of_turns(turns) if one.vector is not None]


def is_scrubbed(service: Service) -> bool:
    """Return whether nothing is left to take out of the files, or to bring into the index."""
    status = service.index_status()
    return not status.erasure_is_pending and status.lag == 0


def fill(service: Service, conversation_id: str, words: list[str], user: str = "ana") -> list[str]:
    """Store a turn for each word between others, and return their ids."""
    create(service, conversation_id, KEPT, user=user)
    ids = []
    for word in words:
        turn, _ = append(service, conversation_id, f"we spoke of {word} at length", KEPT)
        ids.append(turn.id)
    eventually(lambda: service.index_status().lag == 0)
    return ids


@pytest.fixture
def shared(settings: Settings) -> Settings:
    """Return settings under which the conversations of these tests share a collection."""
    return settings.model_copy(update={"exact_scan_max": 0})


def test_many_small_deletions_leave_nothing_in_any_file_of_a_running_service(
    shared: Settings,
) -> None:
    words = [rare_word(number) for number in range(DELETED)]
    with Service.open(shared, purpose="tests") as service:
        ids = fill(service, "c", words)
        doomed = vectors_of(service, "c")[1::2][:DELETED]
        assert len(words_left(shared.data_dir, words)) >= 2 * DELETED
        assert vectors_left(shared.data_dir, doomed[:5]) == 5
        for item_id in ids:
            service.deletions.item(project_key(service), "c", item_id)
        eventually(lambda: is_scrubbed(service), 60)
        assert words_left(shared.data_dir, words) == set()
        assert vectors_left(shared.data_dir, doomed[:5]) == 0
        assert is_whole(service)
        assert words_left(shared.data_dir, ["kettle"])


def _item(service: Service, ids: list[str]) -> None:
    service.deletions.item(project_key(service), "doomed", ids[0])


def _conversation(service: Service, _ids: list[str]) -> None:
    service.deletions.conversation(project_key(service), "doomed")


def _user(service: Service, _ids: list[str]) -> None:
    service.deletions.user(project_key(service), "ben")


@pytest.mark.parametrize(
    ("forget", "size"),
    [(_item, "shared"), (_item, "own"), (_conversation, "own"), (_user, "shared")],
)
def test_what_is_deleted_just_before_a_stop_is_in_no_file_after_it(
    settings: Settings, forget: Callable[[Service, list[str]], None], size: str
) -> None:
    chosen = settings.model_copy(update={"collection_vectors": 1_000 if size == "shared" else 100})
    words = [rare_word(number) for number in range(55)]
    with Service.open(chosen, purpose="tests") as service:
        create(service, "kept", KEPT, user="ana")
        ids = fill(service, "doomed", words, user="ben")
        doomed = vectors_of(service, "doomed")[1:2]
        assert vectors_left(chosen.data_dir, doomed) == 1
        forget(service, ids)
    assert words_left(chosen.data_dir, words[:1]) == set()
    assert vectors_left(chosen.data_dir, doomed) == 0


def test_what_was_deleted_before_a_crash_is_scrubbed_after_the_next_start(
    settings: Settings,
) -> None:
    with Service.open(settings, purpose="tests") as service:
        ids = fill(service, "c", ["quokkaberries"])
        doomed = vectors_of(service, "c")[1:2]
    with idle_service(settings) as crashed:
        crashed.deletions.item(project_key(crashed), "c", ids[0])
        assert crashed.index_status().erasure_is_pending
    assert vectors_left(settings.data_dir, doomed) == 1
    with Service.open(settings, purpose="tests") as service:
        eventually(lambda: is_scrubbed(service))
        assert words_left(settings.data_dir, ["quokkaberries"]) == set()
        assert vectors_left(settings.data_dir, doomed) == 0
        assert is_whole(service)


def test_a_conversation_that_once_moved_leaves_nothing_in_its_old_collection(
    settings: Settings,
) -> None:
    chosen = settings.model_copy(update={"collection_vectors": 300})
    with Service.open(chosen, purpose="tests") as service:
        create(service, "neighbour", *([KEPT] * 100))
        ids = fill(service, "moving", ["quokkaberries"])
        append(service, "moving", *(f"turn {number}" for number in range(200)))
        eventually(lambda: service.index_status().lag == 0)
        doomed = vectors_of(service, "moving")[1:2]
        service.deletions.item(project_key(service), "moving", ids[0])
        eventually(lambda: is_scrubbed(service))
        assert vectors_left(chosen.data_dir, doomed) == 0
        assert is_whole(service)


STEPS = ("append", "delete item", "delete conversation", "index", "scrub", "scrub", "scrub")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=40), st.data())
@hypothesis_settings(max_examples=200 if LONG else 25)
def test_whatever_happens_during_a_scrub_the_index_is_level_after_it(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    data: st.DataObject,
) -> None:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), collection_vectors=20, index_batch=3
    )
    with idle_service(settings) as service:
        scrubber, project = service.indexer.erasure, project_key(service)
        for number, (step, which) in enumerate(steps):
            conversation_id = f"c{which}"
            with service.log.read() as snapshot:
                found = snapshot.conversations.get(project, conversation_id)
                turns = [] if found is None else list(snapshot.turns.all(found.key))
            if step == "append" and found is None:
                create(service, conversation_id, *(f"turn {number}" for _ in range(4)))
            elif step == "append":
                append(service, conversation_id, *(f"more {number}" for _ in range(4)))
            elif step == "delete item" and turns:
                service.deletions.item(
                    project, conversation_id, data.draw(st.sampled_from(turns)).id
                )
            elif step == "delete conversation" and found is not None:
                service.deletions.conversation(project, conversation_id)
            elif step == "index":
                service.indexer.step()
            elif step == "scrub":
                scrubber.step(hurry=True)
        service.indexer.drain()
        while scrubber.is_pending:
            scrubber.step(hurry=True)
            service.indexer.drain()
        assert findings(service, with_index=True) == []
