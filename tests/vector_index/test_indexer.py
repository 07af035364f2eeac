"""The background indexer: collections, retries, failures of index and embedder, deletions."""

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
def small_settings(settings: Settings) -> Settings:
    """Return settings under which collections fill up soon and batches are small."""
    return settings.model_copy(update={"collection_vectors": CAPACITY, "index_batch": 4})


@pytest.fixture
def stopped_service(small_settings: Settings) -> Iterator[Service]:
    """Return a service on fakes whose indexer runs only when a test calls it."""
    with idle_service(small_settings) as service:
        yield service


def numbered_texts(count: int, word: str = "turn") -> list[str]:
    return [f"{word} number {number}" for number in range(count)]


def placement(service: Service, conversation_id: str, project: str = "local") -> Collection:
    """Return the collection of a conversation."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project_key(service, project), conversation_id)
        assert conversation is not None
        collection = snapshot.placements.of_conversation(conversation.key)
    assert collection is not None
    return collection


def index_counts(service: Service) -> Counter[int]:
    """Return how many vectors each collection of the index holds."""
    with service.log.read() as snapshot:
        collections = snapshot.collections.all()
    return Counter(
        {collection.key: len(service.index.keys(collection.key)) for collection in collections}
    )


def assert_consistent(service: Service) -> None:
    """Check that queue, log, index and the collections' counts agree."""
    assert service.index_status().lag == 0
    assert findings(service, with_index=True) == []
    with service.log.read() as snapshot:
        counts = {collection.key: collection.vectors for collection in snapshot.collections.all()}
    assert counts == index_counts(service)


def test_all_passages_are_indexed(service: Service) -> None:
    create(service, "c", *numbered_texts(30), "long " * 500)
    eventually(lambda: service.index_status().lag == 0)
    assert_consistent(service)
    assert index_counts(service).total() == 35


def test_drain_empties_queue_in_small_batches(stopped_service: Service) -> None:
    create(stopped_service, "c", *numbered_texts(11))
    assert stopped_service.index_status().lag == 11
    stopped_service.indexer.drain()
    assert_consistent(stopped_service)


def test_item_without_words_is_not_queued(stopped_service: Service) -> None:
    create(stopped_service, "c", "", "   ")
    assert stopped_service.index_status().lag == 0
    stopped_service.indexer.drain()
    assert findings(stopped_service, with_index=True) == []


def test_small_conversations_of_project_share_collection(stopped_service: Service) -> None:
    for number in range(3):
        create(stopped_service, f"c{number}", *numbered_texts(3))
    stopped_service.indexer.drain()
    assert len({placement(stopped_service, f"c{number}").key for number in range(3)}) == 1
    assert placement(stopped_service, "c0").conversation_key is None


def test_projects_have_separate_collections(stopped_service: Service) -> None:
    create(stopped_service, "c", *numbered_texts(3), project="mine")
    create(stopped_service, "c", *numbered_texts(3), project="theirs")
    stopped_service.indexer.drain()
    mine, theirs = (
        placement(stopped_service, "c", "mine"),
        placement(stopped_service, "c", "theirs"),
    )
    assert mine.key != theirs.key
    assert mine.project_key != theirs.project_key
    assert_consistent(stopped_service)


def test_conversations_of_user_share_collection_with_room(stopped_service: Service) -> None:
    create(stopped_service, "ana-1", *numbered_texts(8), user="ana")
    stopped_service.indexer.drain()
    create(stopped_service, "others", *numbered_texts(9), user="ben")
    create(stopped_service, "more", *numbered_texts(9), user="cleo")
    stopped_service.indexer.drain()
    create(stopped_service, "ben-2", "hello", user="ben")
    stopped_service.indexer.drain()
    assert placement(stopped_service, "ben-2").key == placement(stopped_service, "others").key
    assert_consistent(stopped_service)


def test_full_collection_gets_no_new_conversation(stopped_service: Service) -> None:
    for number in range(8):
        create(stopped_service, f"c{number}", *numbered_texts(6))
        stopped_service.indexer.drain()
    assert max(index_counts(stopped_service).values()) <= CAPACITY + 6
    assert len(index_counts(stopped_service)) >= 3
    assert_consistent(stopped_service)


def test_growing_conversation_moves_to_own_collection(stopped_service: Service) -> None:
    create(stopped_service, "neighbour", *numbered_texts(5))
    create(stopped_service, "big", *numbered_texts(5))
    stopped_service.indexer.drain()
    shared = placement(stopped_service, "big").key
    for _ in range(5):
        append(stopped_service, "big", *numbered_texts(4, "more"))
        stopped_service.indexer.drain()
    own = placement(stopped_service, "big")
    assert own.key != shared
    assert own.conversation_key is not None
    assert placement(stopped_service, "neighbour").key == shared
    assert index_counts(stopped_service) == {shared: 5, own.key: 25}
    assert_consistent(stopped_service)


def test_long_conversation_gets_own_collection(stopped_service: Service) -> None:
    create(stopped_service, "big", *numbered_texts(CAPACITY))
    stopped_service.indexer.drain()
    assert placement(stopped_service, "big").conversation_key is not None
    assert_consistent(stopped_service)


def test_own_collection_is_dropped_with_conversation(stopped_service: Service) -> None:
    create(stopped_service, "big", *numbered_texts(CAPACITY))
    stopped_service.indexer.drain()
    stopped_service.deletions.delete_conversation(project_key(stopped_service), "big")
    assert findings(stopped_service, with_index=True) == []
    stopped_service.indexer.drain()
    with stopped_service.log.read() as snapshot:
        assert snapshot.collections.all() == []
    assert_consistent(stopped_service)


@pytest.mark.parametrize("drain_first", [True, False])
@pytest.mark.parametrize("deleted", ["item", "conversation"])
def test_collection_count_is_correct_after_deletion(
    stopped_service: Service, deleted: str, *, drain_first: bool
) -> None:
    create(stopped_service, "kept", *numbered_texts(3))
    stopped_service.indexer.drain()
    create(stopped_service, "c", *numbered_texts(2))
    (last,) = append(stopped_service, "c", "last")
    stopped_service.indexer.step()
    append(stopped_service, "c", *numbered_texts(6))
    if drain_first:
        stopped_service.indexer.drain()
    if deleted == "item":
        stopped_service.deletions.delete_item(project_key(stopped_service), "c", last.id)
    else:
        stopped_service.deletions.delete_conversation(project_key(stopped_service), "c")
    stopped_service.indexer.drain()
    assert_consistent(stopped_service)


def test_failing_index_is_retried(small_settings: Settings) -> None:
    index = MemoryIndex(failures=2)
    with idle_service(small_settings, index) as service:
        service.indexer.stop()
        create(service, "c", *numbered_texts(3))
        service.indexer.drain()
        assert_consistent(service)


class _PickyIndex(MemoryIndex):
    """An index that refuses some keys."""

    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.refused = set(refused)

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if self.refused & set(keys):
            raise VectorIndexDown("A key is refused.")
        super().upsert(collection, keys, groups, vectors)


def test_failing_changes_are_parked_and_others_indexed(
    small_settings: Settings,
) -> None:
    with idle_service(small_settings, _PickyIndex(2, 7)) as service:
        service.indexer.stop()
        create(service, "first", *numbered_texts(4))
        create(service, "second", *numbered_texts(4))
        service.indexer.drain()
        status = service.index_status()
        assert (status.lag, status.parked) == (2, 2)
        assert status.error is not None
        assert index_counts(service).total() == 6
        assert findings(service, with_index=True) == []


def test_parked_change_is_retried_at_next_start(small_settings: Settings) -> None:
    index = _PickyIndex(2)
    with idle_service(small_settings, index) as service:
        service.indexer.stop()
        create(service, "c", *numbered_texts(4))
        service.indexer.drain()
        assert service.index_status().parked == 1
    index.refused.clear()
    with idle_service(small_settings, index) as service:
        service.indexer.start()
        eventually(lambda: service.index_status().lag == 0)
        assert_consistent(service)


def test_parked_change_is_retried_after_parked_seconds(small_settings: Settings) -> None:
    index = _PickyIndex(2)
    with idle_service(small_settings, index) as service:
        service.indexer = Indexer(
            service.log,
            index,
            service.embedder,
            batch=small_settings.index_batch,
            collection_vectors=CAPACITY,
            policy=RetryPolicy(max_attempts=1, parked_seconds=1, pause_seconds=0.01),
        )
        create(service, "c", *numbered_texts(4))
        service.indexer.start()
        eventually(lambda: service.index_status().parked == 1)
        index.refused.clear()
        eventually(lambda: service.index_status().lag == 0)
        assert_consistent(service)


def test_index_that_is_down_parks_no_change(small_settings: Settings) -> None:
    index = MemoryIndex()
    with idle_service(small_settings, index) as service:
        service.indexer.stop()
        create(service, "c", *numbered_texts(9))
        service.indexer.step()
        index.failures = -1
        service.indexer.drain()
        status = service.index_status()
        assert (status.parked, status.lag) == (0, 5)
        assert status.error == "The vector index fails on request."
        index.failures = 0
        service.indexer.drain()
        assert service.index_status().error is None
        assert_consistent(service)


class _DyingIndex(MemoryIndex):
    """An index whose process ends right after a change, before it returns."""

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


def test_change_indexed_before_stop_is_indexed_again(small_settings: Settings) -> None:
    index = _DyingIndex()
    with idle_service(small_settings, index) as service:
        create(service, "c", *numbered_texts(10))
        with pytest.raises(KeyboardInterrupt):
            service.indexer.step()
        assert service.index_status().lag == 10
        assert findings(service, with_index=True) == []
    with idle_service(small_settings, index) as service:
        service.indexer.drain()
        assert_consistent(service)


def test_turn_deleted_after_such_stop_is_removed_from_index(small_settings: Settings) -> None:
    index = _DyingIndex()
    with idle_service(small_settings, index) as service:
        turns = create(service, "c", *numbered_texts(4))
        with pytest.raises(KeyboardInterrupt):
            service.indexer.step()
        service.deletions.delete_item(project_key(service), "c", turns[0].id)
        index.deaths = 1
        with pytest.raises(KeyboardInterrupt):
            service.indexer.drain()
        service.indexer.drain()
        assert_consistent(service)


class _SlowIndex(MemoryIndex):
    """An index that runs other actions during an upsert."""

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


@pytest.mark.parametrize("deleted", ["item", "conversation"])
def test_turn_deleted_during_upsert_is_removed_from_index(
    small_settings: Settings, deleted: str
) -> None:
    index = _SlowIndex()
    with idle_service(small_settings, index) as service:
        create(service, "other", "stays")
        turns = create(service, "c", *numbered_texts(3))
        project = project_key(service)
        index.meanwhile = [
            lambda: (
                service.deletions.delete_item(project, "c", turns[1].id)
                if deleted == "item"
                else service.deletions.delete_conversation(project, "c")
            )
        ]
        service.indexer.drain()
        assert index.meanwhile == []
        assert_consistent(service)


def test_recall_is_degraded_while_index_is_down(small_settings: Settings) -> None:
    index = MemoryIndex()
    with idle_service(small_settings.model_copy(update={"exact_scan_max": 0}), index) as service:
        create(service, "c", "the locker is 8314", "we had soup", "the train was late")
        service.indexer.drain()
        index.failures = -1
        with structlog.testing.capture_logs() as lines:
            result = service.recaller.in_conversation(
                project_key(service), "c", Query("which locker", top_k=3)
            )
        assert result.degraded == "vector_index"
        assert result.hits[0].turn.text == "the locker is 8314"
        assert [line["log_level"] for line in lines] == ["warning"]


def test_recall_finds_words_with_empty_index(small_settings: Settings) -> None:
    with idle_service(small_settings, MemoryIndex()) as service:
        create(service, "c", "the locker is 8314", "we had soup", "the train was late")
        service.indexer.drain()
    with idle_service(small_settings, MemoryIndex()) as service:
        result = service.recaller.in_conversation(
            project_key(service), "c", Query("which locker", top_k=1)
        )
        assert [hit.turn.text for hit in result.hits] == ["the locker is 8314"]


def test_recall_compares_vectors_that_are_not_indexed_yet(stopped_service: Service) -> None:
    create(stopped_service, "c", "the locker is 8314", "we had soup")
    result = stopped_service.recaller.in_conversation(
        project_key(stopped_service), "c", Query("a locker", top_k=1)
    )
    assert result.degraded is None
    assert result.hits[0].features["vector"] > 0


def test_recall_is_degraded_above_max_unindexed(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_search, "MAX_UNINDEXED", 3)
    with idle_service(small_settings.model_copy(update={"exact_scan_max": 0})) as service:
        create(service, "c", *numbered_texts(5))
        result = service.recaller.in_conversation(
            project_key(service), "c", Query("a turn", top_k=1)
        )
        assert result.degraded == "vector_index"
        service.indexer.drain()
        result = service.recaller.in_conversation(
            project_key(service), "c", Query("a turn", top_k=1)
        )
        assert result.degraded is None


class _FlakyEmbedder(HashingEmbedder):
    """A remote embedder that fails or returns invalid vectors a few times."""

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
    raise EmbedderDown("The embedder does not answer.", retry_after_seconds=0.01)


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
    """Drain the queue as far as possible, and return whether it is empty."""
    service.indexer.drain()
    return service.index_status().lag == 0


@pytest.mark.parametrize("flaw", FLAWS)
def test_invalid_vectors_are_requested_again(small_settings: Settings, flaw: str) -> None:
    with idle_service(small_settings, embedder=_FlakyEmbedder(FLAWS[flaw])) as service:
        service.indexer.stop()
        create(service, "c", *numbered_texts(9))
        eventually(partial(is_drained, service))
        assert index_counts(service).total() == 9
        assert_consistent(service)


def test_changes_without_embedding_continue_while_embedder_is_down(
    small_settings: Settings,
) -> None:
    embedder = _FlakyEmbedder(_fail)
    embedder.flaws = 0
    with idle_service(small_settings, embedder=embedder) as service:
        turns = create(service, "c", *numbered_texts(3))
        service.indexer.drain()
        embedder.flaws = 1_000
        append(service, "c", *numbered_texts(5, "more"))
        service.deletions.delete_item(project_key(service), "c", turns[0].id)
        service.indexer.drain()
        assert index_counts(service).total() == 2
        assert service.index_status().error == "The embedder does not answer."


def test_damaged_vector_in_log_is_recomputed(stopped_service: Service) -> None:
    create(stopped_service, "c", *numbered_texts(3))
    with stopped_service.log.write() as transaction:
        transaction.passages.store_vectors({1: np.full(64, np.inf, dtype=np.float32)})
        transaction.passages.store_vectors({2: np.ones(3, dtype=np.float32)})
    assert [finding for finding in findings(stopped_service) if "not usable" in finding]
    stopped_service.indexer.drain()
    assert_consistent(stopped_service)


class _BuggyIndex(MemoryIndex):
    """An index that raises an unexpected error for one key."""

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if 2 in keys:
            raise ZeroDivisionError
        super().upsert(collection, keys, groups, vectors)


class _StuckIndex(MemoryIndex):
    """An index whose folder cannot be removed while it has failures left."""

    def reset(self) -> None:
        if self.failures:
            raise VectorIndexDown("The folder cannot be removed.")
        super().reset()


def test_failed_restoration_is_retried(small_settings: Settings) -> None:
    index = _StuckIndex()
    with idle_service(small_settings, index) as service:
        create(service, "c", *numbered_texts(9))
        service.indexer.drain()
        index.drop(placement(service, "c").key)
    index.failures = -1
    with idle_service(small_settings, index) as service:
        service.indexer.start()
        assert service.index_status().error == "The folder cannot be removed."
        index.failures = 0
        eventually(lambda: index_counts(service).total() == 9)
        # The last vector is in the index a moment before its change leaves the queue.
        eventually(lambda: service.index_status().lag == 0)
        eventually(lambda: service.index_status().error is None)
        assert_consistent(service)


def test_unexpected_error_parks_one_change_and_thread_continues(small_settings: Settings) -> None:
    with idle_service(small_settings, _BuggyIndex()) as service:
        create(service, "c", *numbered_texts(9))
        service.indexer.start()
        eventually(lambda: service.index_status().lag == 1)
        eventually(lambda: service.index_status().parked == 1)
        assert service.indexer.is_running
        assert "ZeroDivisionError" in (service.index_status().error or "")
        append(service, "c", "a later turn")
        eventually(lambda: (index_counts(service).total(), service.index_status().lag) == (9, 1))
