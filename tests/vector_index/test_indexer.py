"""The background indexer: everything arrives, packed by rule, whatever the index does meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pytest
import structlog

from memory_service.core.errors import EmbedderDown, VectorIndexDown
from memory_service.core.models import Collection, Matrix, Vector
from memory_service.core.settings import Settings
from memory_service.recall import vector_search
from memory_service.recall.query import Query
from memory_service.service import Service
from memory_service.testing import HashingEmbedder, MemoryIndex
from memory_service.vector_index.indexer import Indexer
from memory_service.vector_index.retry_policy import RetryPolicy
from tests.support.storing import append, create, eventually, findings, idle_service, project_key

CAPACITY = 20


@pytest.fixture
def small(settings: Settings) -> Settings:
    """Return settings under which collections fill up soon and batches are small."""
    return settings.model_copy(update={"collection_vectors": CAPACITY, "index_batch": 4})


@pytest.fixture
def idle(small: Settings) -> Iterator[Service]:
    """Return a service on fakes whose indexer works when it is told to."""
    with idle_service(small) as service:
        yield service


def said(count: int, word: str = "turn") -> list[str]:
    return [f"{word} number {number}" for number in range(count)]


def placement(service: Service, conversation_id: str, project: str = "local") -> Collection:
    """Return the collection that a conversation is in."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project_key(service, project), conversation_id)
        assert conversation is not None
        placed = snapshot.placements.of_conversation(conversation.key)
    assert placed is not None
    return placed


def indexed(service: Service) -> Counter[int]:
    """Return how many vectors each collection of the index holds."""
    with service.log.read() as snapshot:
        collections = snapshot.collections.all()
    return Counter({one.key: len(service.index.keys(one.key)) for one in collections})


def assert_level(service: Service) -> None:
    """Check that queue, log, index and the collections' counts agree."""
    assert service.index_status().lag == 0
    assert findings(service, with_index=True) == []
    with service.log.read() as snapshot:
        counts = {one.key: one.vectors for one in snapshot.collections.all()}
    assert counts == indexed(service)


def test_every_passage_ends_up_in_the_index(service: Service) -> None:
    create(service, "c", *said(30), "long " * 500)
    eventually(lambda: service.index_status().lag == 0)
    assert_level(service)
    assert indexed(service).total() == 35


def test_draining_works_the_whole_queue_off_in_small_batches(idle: Service) -> None:
    create(idle, "c", *said(11))
    assert idle.index_status().lag == 11
    idle.indexer.drain()
    assert_level(idle)


def test_an_item_without_words_has_nothing_to_index(idle: Service) -> None:
    create(idle, "c", "", "   ")
    assert idle.index_status().lag == 0
    idle.indexer.drain()
    assert findings(idle, with_index=True) == []


def test_small_conversations_of_one_project_share_a_collection(idle: Service) -> None:
    for number in range(3):
        create(idle, f"c{number}", *said(3))
    idle.indexer.drain()
    assert len({placement(idle, f"c{number}").key for number in range(3)}) == 1
    assert placement(idle, "c0").conversation_key is None


def test_two_projects_never_share_a_collection(idle: Service) -> None:
    create(idle, "c", *said(3), project="mine")
    create(idle, "c", *said(3), project="theirs")
    idle.indexer.drain()
    mine, theirs = placement(idle, "c", "mine"), placement(idle, "c", "theirs")
    assert mine.key != theirs.key
    assert mine.project_key != theirs.project_key
    assert_level(idle)


def test_a_users_conversations_are_together_while_there_is_room(idle: Service) -> None:
    create(idle, "ana-1", *said(8), user="ana")
    idle.indexer.drain()
    create(idle, "others", *said(9), user="ben")
    create(idle, "more", *said(9), user="cleo")
    idle.indexer.drain()
    create(idle, "ben-2", "hello", user="ben")
    idle.indexer.drain()
    assert placement(idle, "ben-2").key == placement(idle, "others").key
    assert_level(idle)


def test_a_full_collection_takes_no_new_conversation(idle: Service) -> None:
    for number in range(8):
        create(idle, f"c{number}", *said(6))
        idle.indexer.drain()
    assert max(indexed(idle).values()) <= CAPACITY + 6
    assert len(indexed(idle)) >= 3
    assert_level(idle)


def test_a_conversation_that_outgrows_its_share_gets_its_own_collection(idle: Service) -> None:
    create(idle, "neighbour", *said(5))
    create(idle, "big", *said(5))
    idle.indexer.drain()
    shared = placement(idle, "big").key
    for _ in range(5):
        append(idle, "big", *said(4, "more"))
        idle.indexer.drain()
    own = placement(idle, "big")
    assert own.key != shared
    assert own.conversation_key is not None
    assert placement(idle, "neighbour").key == shared
    assert indexed(idle) == {shared: 5, own.key: 25}
    assert_level(idle)


def test_a_long_conversation_that_comes_at_once_gets_its_own_collection(idle: Service) -> None:
    create(idle, "big", *said(CAPACITY))
    idle.indexer.drain()
    assert placement(idle, "big").conversation_key is not None
    assert_level(idle)


def test_an_own_collection_is_dropped_with_its_conversation(idle: Service) -> None:
    create(idle, "big", *said(CAPACITY))
    idle.indexer.drain()
    idle.deletions.conversation(project_key(idle), "big")
    assert findings(idle, with_index=True) == []
    idle.indexer.drain()
    with idle.log.read() as snapshot:
        assert snapshot.collections.all() == []
    assert_level(idle)


@pytest.mark.parametrize("drain_first", [True, False])
@pytest.mark.parametrize("what", ["item", "conversation"])
def test_a_collections_count_stays_right_whatever_is_deleted_when(
    idle: Service, what: str, *, drain_first: bool
) -> None:
    create(idle, "kept", *said(3))
    idle.indexer.drain()
    create(idle, "c", *said(2))
    (last,) = append(idle, "c", "last")
    idle.indexer.step()
    append(idle, "c", *said(6))
    if drain_first:
        idle.indexer.drain()
    if what == "item":
        idle.deletions.item(project_key(idle), "c", last.id)
    else:
        idle.deletions.conversation(project_key(idle), "c")
    idle.indexer.drain()
    assert_level(idle)


def test_a_failing_index_is_tried_again(small: Settings) -> None:
    index = MemoryIndex(failures=2)
    with idle_service(small, index) as service:
        service.indexer.stop()
        create(service, "c", *said(3))
        service.indexer.drain()
        assert_level(service)


class _PickyIndex(MemoryIndex):
    """An index that takes everything but some keys."""

    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.refused = set(refused)

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if self.refused & set(keys):
            raise VectorIndexDown("One of these is not to its taste.")
        super().upsert(collection, keys, groups, vectors)


def test_only_what_keeps_failing_is_parked_and_shown_and_the_others_go_on(
    small: Settings,
) -> None:
    with idle_service(small, _PickyIndex(2, 7)) as service:
        service.indexer.stop()
        create(service, "first", *said(4))
        create(service, "second", *said(4))
        service.indexer.drain()
        status = service.index_status()
        assert (status.lag, status.parked) == (2, 2)
        assert status.error is not None
        assert indexed(service).total() == 6
        assert findings(service, with_index=True) == []


def test_what_was_parked_is_tried_again_at_the_next_start(small: Settings) -> None:
    index = _PickyIndex(2)
    with idle_service(small, index) as service:
        service.indexer.stop()
        create(service, "c", *said(4))
        service.indexer.drain()
        assert service.index_status().parked == 1
    index.refused.clear()
    with idle_service(small, index) as service:
        service.indexer.start()
        eventually(lambda: service.index_status().lag == 0)
        assert_level(service)


def test_parked_change_is_retried_after_parked_seconds(small: Settings) -> None:
    index = _PickyIndex(2)
    with idle_service(small, index) as service:
        service.indexer = Indexer(
            service.log,
            index,
            service.embedder,
            batch=small.index_batch,
            collection_vectors=CAPACITY,
            policy=RetryPolicy(max_attempts=1, parked_seconds=1, pause_seconds=0.01),
        )
        create(service, "c", *said(4))
        service.indexer.start()
        eventually(lambda: service.index_status().parked == 1)
        index.refused.clear()
        eventually(lambda: service.index_status().lag == 0)
        assert_level(service)


def test_an_index_that_takes_nothing_parks_nothing_and_is_waited_for(small: Settings) -> None:
    index = MemoryIndex()
    with idle_service(small, index) as service:
        service.indexer.stop()
        create(service, "c", *said(9))
        service.indexer.step()
        index.failures = -1
        service.indexer.drain()
        status = service.index_status()
        assert (status.parked, status.lag) == (0, 5)
        assert status.error == "The vector index fails on request."
        index.failures = 0
        service.indexer.drain()
        assert service.index_status().error is None
        assert_level(service)


class _DyingIndex(MemoryIndex):
    """An index whose process ends right after a change, before anybody hears of it."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths = 1

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        super().upsert(collection, keys, groups, vectors)
        self._die()

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        super().delete(collection, keys)
        self._die()

    def _die(self) -> None:
        if self.deaths:
            self.deaths -= 1
            raise KeyboardInterrupt


def test_a_stop_between_the_index_and_the_queue_is_made_good(small: Settings) -> None:
    index = _DyingIndex()
    with idle_service(small, index) as service:
        create(service, "c", *said(10))
        with pytest.raises(KeyboardInterrupt):
            service.indexer.step()
        assert service.index_status().lag == 10
        assert findings(service, with_index=True) == []
    with idle_service(small, index) as service:
        service.indexer.drain()
        assert_level(service)


def test_what_is_deleted_after_such_a_stop_leaves_the_index_too(small: Settings) -> None:
    index = _DyingIndex()
    with idle_service(small, index) as service:
        turns = create(service, "c", *said(4))
        with pytest.raises(KeyboardInterrupt):
            service.indexer.step()
        service.deletions.item(project_key(service), "c", turns[0].id)
        index.deaths = 1
        with pytest.raises(KeyboardInterrupt):
            service.indexer.drain()
        service.indexer.drain()
        assert_level(service)


class _SlowIndex(MemoryIndex):
    """An index during whose upsert somebody else does something."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[object] = []

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        super().upsert(collection, keys, groups, vectors)
        while self.meanwhile:
            action = self.meanwhile.pop()
            assert callable(action)
            action()


@pytest.mark.parametrize("what", ["item", "conversation"])
def test_what_is_deleted_while_its_vector_is_written_leaves_the_index_again(
    small: Settings, what: str
) -> None:
    index = _SlowIndex()
    with idle_service(small, index) as service:
        create(service, "other", "stays")
        turns = create(service, "c", *said(3))
        project = project_key(service)
        index.meanwhile = [
            lambda: (
                service.deletions.item(project, "c", turns[1].id)
                if what == "item"
                else service.deletions.conversation(project, "c")
            )
        ]
        service.indexer.drain()
        assert index.meanwhile == []
        assert_level(service)


def test_recall_answers_from_words_and_says_so_while_the_index_is_down(small: Settings) -> None:
    index = MemoryIndex()
    with idle_service(small.model_copy(update={"exact_scan_max": 0}), index) as service:
        create(service, "c", "the locker is 8314", "we had soup", "the train was late")
        service.indexer.drain()
        index.failures = -1
        with structlog.testing.capture_logs() as lines:
            found = service.recaller.in_conversation(
                project_key(service), "c", Query("which locker", top_k=3)
            )
        assert found.degraded == "vector_index"
        assert found.hits[0].turn.text == "the locker is 8314"
        assert [line["log_level"] for line in lines] == ["warning"]


def test_recall_answers_from_words_when_the_index_is_empty(small: Settings) -> None:
    with idle_service(small, MemoryIndex()) as service:
        create(service, "c", "the locker is 8314", "we had soup", "the train was late")
        service.indexer.drain()
    with idle_service(small, MemoryIndex()) as service:
        found = service.recaller.in_conversation(
            project_key(service), "c", Query("which locker", top_k=1)
        )
        assert [hit.turn.text for hit in found.hits] == ["the locker is 8314"]


def test_recall_finds_what_the_index_has_not_taken_in_yet(idle: Service) -> None:
    create(idle, "c", "the locker is 8314", "we had soup")
    found = idle.recaller.in_conversation(project_key(idle), "c", Query("a locker", top_k=1))
    assert found.degraded is None
    assert found.hits[0].features["vector"] > 0


def test_recall_says_so_when_more_is_waiting_than_it_compares(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_search, "MAX_UNINDEXED", 3)
    with idle_service(small.model_copy(update={"exact_scan_max": 0})) as service:
        create(service, "c", *said(5))
        found = service.recaller.in_conversation(
            project_key(service), "c", Query("a turn", top_k=1)
        )
        assert found.degraded == "vector_index"
        service.indexer.drain()
        found = service.recaller.in_conversation(
            project_key(service), "c", Query("a turn", top_k=1)
        )
        assert found.degraded is None


class _FlakyEmbedder(HashingEmbedder):
    """An embedder elsewhere, which does something else for a while."""

    embeds_with_write = False

    def __init__(self, instead: Callable[[list[Vector | None]], list[Vector | None]]) -> None:
        super().__init__()
        self.instead = instead
        self.flaws = 2

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        vectors = super().embed_documents(texts)
        if not self.flaws:
            return vectors
        self.flaws -= 1
        return self.instead(vectors)


def _fail(_vectors: list[Vector | None]) -> list[Vector | None]:
    raise EmbedderDown("Nobody answers.", retry_after_seconds=0.01)


def _nan(vectors: list[Vector | None]) -> list[Vector | None]:
    return [np.full(64, np.nan, dtype=np.float32), *vectors[1:]]


def _other_dimension(vectors: list[Vector | None]) -> list[Vector | None]:
    return [np.ones(8, dtype=np.float32), *vectors[1:]]


FLAWS = {
    "fails": _fail,
    "nan": _nan,
    "too-few": lambda vectors: vectors[:-1],
    "none": lambda _vectors: [],
    "other-dimension": _other_dimension,
}


def is_drained(service: Service) -> bool:
    """Work the queue off as far as it goes, and return whether that was all of it."""
    service.indexer.drain()
    return service.index_status().lag == 0


@pytest.mark.parametrize("flaw", FLAWS)
def test_vectors_that_are_not_usable_are_asked_for_again_and_nothing_is_lost(
    small: Settings, flaw: str
) -> None:
    with idle_service(small, embedder=_FlakyEmbedder(FLAWS[flaw])) as service:
        service.indexer.stop()
        create(service, "c", *said(9))
        eventually(partial(is_drained, service))
        assert indexed(service).total() == 9
        assert_level(service)


def test_what_needs_no_embedder_goes_on_while_it_is_down(small: Settings) -> None:
    embedder = _FlakyEmbedder(_fail)
    embedder.flaws = 0
    with idle_service(small, embedder=embedder) as service:
        turns = create(service, "c", *said(3))
        service.indexer.drain()
        embedder.flaws = 1_000
        append(service, "c", *said(5, "more"))
        service.deletions.item(project_key(service), "c", turns[0].id)
        service.indexer.drain()
        assert indexed(service).total() == 2
        assert service.index_status().error == "Nobody answers."


def test_a_damaged_vector_in_the_log_is_made_again_before_it_is_indexed(idle: Service) -> None:
    create(idle, "c", *said(3))
    with idle.log.write() as transaction:
        transaction.passages.store_vectors({1: np.full(64, np.inf, dtype=np.float32)})
        transaction.passages.store_vectors({2: np.ones(3, dtype=np.float32)})
    assert [one for one in findings(idle) if "not usable" in one]
    idle.indexer.drain()
    assert_level(idle)


class _BuggyIndex(MemoryIndex):
    """An index that stumbles over one key in a way nobody has thought of."""

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if 2 in keys:
            raise ZeroDivisionError
        super().upsert(collection, keys, groups, vectors)


class _StuckIndex(MemoryIndex):
    """An index whose folder can neither be read nor removed for a while."""

    def reset(self) -> None:
        if self.failures:
            raise VectorIndexDown("The folder cannot be removed.")
        super().reset()


def test_a_restoration_that_fails_at_the_start_is_tried_again(small: Settings) -> None:
    index = _StuckIndex()
    with idle_service(small, index) as service:
        create(service, "c", *said(9))
        service.indexer.drain()
        index.drop(placement(service, "c").key)
    index.failures = -1
    with idle_service(small, index) as service:
        service.indexer.start()
        assert service.index_status().error == "The folder cannot be removed."
        index.failures = 0
        eventually(lambda: indexed(service).total() == 9)
        eventually(lambda: service.index_status().error is None)
        assert_level(service)


def test_a_bug_costs_one_change_and_not_the_thread(small: Settings) -> None:
    with idle_service(small, _BuggyIndex()) as service:
        create(service, "c", *said(9))
        service.indexer.start()
        eventually(lambda: service.index_status().lag == 1)
        eventually(lambda: service.index_status().parked == 1)
        assert service.indexer.is_running
        assert "ZeroDivisionError" in (service.index_status().error or "")
        append(service, "c", "and it goes on")
        eventually(lambda: (indexed(service).total(), service.index_status().lag) == (9, 1))
