"""Erasure: soon after a deletion, no file holds bytes of the deleted data."""

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
from tests.chroma.test_damage import is_consistent
from tests.support.environment import LONG
from tests.support.file_search import vectors_left, words_left
from tests.support.storing import append, create, eventually, findings, idle_service, project_key

DELETED = 300 if LONG else 40
KEPT = "the kettle whistles every morning"


def rare_word(number: int) -> str:
    """Return a rare word with an English ending, so that it has a stem of its own."""
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
        return [
            passage.vector
            for passage in snapshot.passages.of_turns(turns)
            if passage.vector is not None
        ]


def is_erased(service: Service) -> bool:
    """Return whether the erasure is complete and the index queue is empty."""
    status = service.index_status()
    return not status.erasure_is_pending and status.lag == 0


def fill(service: Service, conversation_id: str, words: list[str], user: str = "ana") -> list[str]:
    """Store a turn for each word, between other turns; return the ids of the former."""
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


def test_deletions_are_erased_while_service_runs(
    shared: Settings,
) -> None:
    words = [rare_word(number) for number in range(DELETED)]
    with Service.open(shared, purpose="tests") as service:
        ids = fill(service, "c", words)
        deleted_vectors = vectors_of(service, "c")[1::2][:DELETED]
        assert len(words_left(shared.data_dir, words)) >= 2 * DELETED
        assert vectors_left(shared.data_dir, deleted_vectors[:5]) == 5
        for item_id in ids:
            service.deletions.delete_item(project_key(service), "c", item_id)
        eventually(lambda: is_erased(service), 60)
        assert words_left(shared.data_dir, words) == set()
        assert vectors_left(shared.data_dir, deleted_vectors[:5]) == 0
        assert is_consistent(service)
        assert words_left(shared.data_dir, ["kettle"])


def _item(service: Service, ids: list[str]) -> None:
    service.deletions.delete_item(project_key(service), "deleted", ids[0])


def _conversation(service: Service, _ids: list[str]) -> None:
    service.deletions.delete_conversation(project_key(service), "deleted")


def _user(service: Service, _ids: list[str]) -> None:
    service.deletions.delete_user(project_key(service), "ben")


@pytest.mark.parametrize(
    ("delete", "size"),
    [(_item, "shared"), (_item, "own"), (_conversation, "own"), (_user, "shared")],
)
def test_deletion_just_before_stop_is_erased(
    settings: Settings, delete: Callable[[Service, list[str]], None], size: str
) -> None:
    chosen = settings.model_copy(update={"collection_vectors": 1_000 if size == "shared" else 100})
    words = [rare_word(number) for number in range(55)]
    with Service.open(chosen, purpose="tests") as service:
        create(service, "kept", KEPT, user="ana")
        ids = fill(service, "deleted", words, user="ben")
        deleted_vectors = vectors_of(service, "deleted")[1:2]
        assert vectors_left(chosen.data_dir, deleted_vectors) == 1
        delete(service, ids)
    assert words_left(chosen.data_dir, words[:1]) == set()
    assert vectors_left(chosen.data_dir, deleted_vectors) == 0


def test_deletion_before_crash_is_erased_after_next_start(
    settings: Settings,
) -> None:
    with Service.open(settings, purpose="tests") as service:
        ids = fill(service, "c", ["quokkaberries"])
        deleted_vectors = vectors_of(service, "c")[1:2]
    with idle_service(settings) as crashed:
        crashed.deletions.delete_item(project_key(crashed), "c", ids[0])
        assert crashed.index_status().erasure_is_pending
    assert vectors_left(settings.data_dir, deleted_vectors) == 1
    with Service.open(settings, purpose="tests") as service:
        eventually(lambda: is_erased(service))
        assert words_left(settings.data_dir, ["quokkaberries"]) == set()
        assert vectors_left(settings.data_dir, deleted_vectors) == 0
        assert is_consistent(service)


def test_moved_conversation_is_erased_from_old_collection(
    settings: Settings,
) -> None:
    chosen = settings.model_copy(update={"collection_vectors": 300})
    with Service.open(chosen, purpose="tests") as service:
        create(service, "neighbour", *([KEPT] * 100))
        ids = fill(service, "moving", ["quokkaberries"])
        append(service, "moving", *(f"turn {number}" for number in range(200)))
        eventually(lambda: service.index_status().lag == 0)
        deleted_vectors = vectors_of(service, "moving")[1:2]
        service.deletions.delete_item(project_key(service), "moving", ids[0])
        eventually(lambda: is_erased(service))
        assert vectors_left(chosen.data_dir, deleted_vectors) == 0
        assert is_consistent(service)


STEPS = ("append", "delete item", "delete conversation", "index", "erase", "erase", "erase")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=40), st.data())
@hypothesis_settings(max_examples=200 if LONG else 25)
def test_index_agrees_with_log_after_any_steps_during_erasure(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    data: st.DataObject,
) -> None:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), collection_vectors=20, index_batch=3
    )
    with idle_service(settings) as service:
        erasure, project = service.indexer.erasure, project_key(service)
        for count, (step, number) in enumerate(steps):
            conversation_id = f"c{number}"
            with service.log.read() as snapshot:
                conversation = snapshot.conversations.get(project, conversation_id)
                turns = [] if conversation is None else list(snapshot.turns.all(conversation.key))
            if step == "append" and conversation is None:
                create(service, conversation_id, *(f"turn {count}" for _ in range(4)))
            elif step == "append":
                append(service, conversation_id, *(f"more {count}" for _ in range(4)))
            elif step == "delete item" and turns:
                service.deletions.delete_item(
                    project, conversation_id, data.draw(st.sampled_from(turns)).id
                )
            elif step == "delete conversation" and conversation is not None:
                service.deletions.delete_conversation(project, conversation_id)
            elif step == "index":
                service.indexer.step()
            elif step == "erase":
                erasure.step(hurry=True)
        service.indexer.drain()
        while erasure.is_pending:
            erasure.step(hurry=True)
            service.indexer.drain()
        assert findings(service, with_index=True) == []
