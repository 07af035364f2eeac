"""Contracts of vector indexes and embedders, tested on the fakes and on the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memory_service.chroma.index import ChromaIndex
from memory_service.core.errors import StartupError, VectorIndexDown
from memory_service.core.models import Matrix
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.embedders.local import LocalEmbedder
from memory_service.testing import HashingEmbedder, MemoryIndex

DIMENSION = 8
LEFT, RIGHT = 1, 2


Index = VectorIndex | ChromaIndex
"""`ChromaIndex` has no `reset`: the process around it removes the folder."""


@pytest.fixture(params=["memory", "chroma"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    """Return each vector index in turn, empty."""
    if request.param == "memory":
        yield MemoryIndex()
        return
    opened = open_chroma(tmp_path / "chroma")
    yield opened
    opened.close()


@pytest.fixture(params=[HashingEmbedder, LocalEmbedder], ids=["hashing", "local"], scope="module")
def embedder(request: pytest.FixtureRequest) -> Embedder:
    """Return each embedder in turn."""
    opened: Embedder = request.param()
    return opened


def open_chroma(folder: Path, embedder: str = "test", dimension: int = DIMENSION) -> ChromaIndex:
    return ChromaIndex(folder, embedder=embedder, dimension=dimension)


def unit_vectors(count: int, seed: int = 0) -> Matrix:
    """Return random vectors of unit length."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_query_returns_cosine_similarities(index: Index) -> None:
    vectors = unit_vectors(20)
    index.upsert(LEFT, range(20), [7] * 20, vectors)
    result = index.query(LEFT, vectors[3], None, 20)
    assert set(result) == set(range(20))
    for key, similarity in result.items():
        assert similarity == pytest.approx(float(vectors[key] @ vectors[3]), abs=1e-5)


def test_query_returns_the_nearest_first_up_to_the_limit(index: Index) -> None:
    vectors = unit_vectors(30)
    index.upsert(LEFT, range(30), [7] * 30, vectors)
    nearest = np.argsort(-(vectors @ vectors[5]))[:4]
    assert list(index.query(LEFT, vectors[5], None, 4)) == [int(key) for key in nearest]


@pytest.mark.parametrize("groups", [[1], [2], [1, 3], [1, 2, 3], [4], [4, 1]])
def test_query_searches_the_named_groups_only(index: Index, groups: list[int]) -> None:
    groups_of_keys = [key % 3 + 1 for key in range(30)]
    index.upsert(LEFT, range(30), groups_of_keys, unit_vectors(30))
    result = index.query(LEFT, unit_vectors(1)[0], groups, 100)
    assert set(result) == {key for key in range(30) if groups_of_keys[key] in groups}


def test_upsert_replaces_vector_and_group(index: Index) -> None:
    old, new = unit_vectors(2)
    index.upsert(LEFT, [1], [1], old[None])
    index.upsert(LEFT, [1], [2], new[None])
    assert index.query(LEFT, new, [1], 5) == {}
    assert index.query(LEFT, new, [2], 5)[1] == pytest.approx(1.0, abs=1e-5)


def test_more_vectors_than_fit_one_call(index: Index) -> None:
    count = 5_500
    index.upsert(LEFT, range(count), [1] * count, unit_vectors(count))
    assert index.keys(LEFT) == set(range(count))
    index.delete(LEFT, range(count))
    assert index.keys(LEFT) == set()


def test_deleted_vectors_are_not_found(index: Index) -> None:
    vectors = unit_vectors(10)
    index.upsert(LEFT, range(10), [1] * 10, vectors)
    index.delete(LEFT, [3, 4])
    assert index.keys(LEFT) == set(range(10)) - {3, 4}
    assert not {3, 4} & set(index.query(LEFT, vectors[3], None, 10))


@pytest.mark.parametrize("keys", [[99], [1, 99], [1, 1], []])
def test_delete_ignores_unknown_and_repeated_keys(index: Index, keys: list[int]) -> None:
    index.upsert(LEFT, [1, 2], [1, 1], unit_vectors(2))
    index.delete(LEFT, keys)
    assert index.keys(LEFT) == {1, 2} - set(keys)


def test_unknown_collection_is_empty_and_can_be_dropped(index: Index) -> None:
    index.delete(RIGHT, [1])
    index.drop(RIGHT)
    assert index.keys(RIGHT) == set()
    assert index.query(RIGHT, unit_vectors(1)[0], None, 5) == {}


def test_query_of_an_emptied_collection(index: Index) -> None:
    index.upsert(LEFT, [1], [1], unit_vectors(1))
    index.delete(LEFT, [1])
    assert index.query(LEFT, unit_vectors(1)[0], None, 5) == {}


def test_drop_leaves_other_collections_and_allows_refilling(
    index: Index,
) -> None:
    index.upsert(LEFT, [1], [1], unit_vectors(1))
    index.upsert(RIGHT, [1, 2], [1, 1], unit_vectors(2))
    index.drop(LEFT)
    assert (index.keys(LEFT), index.keys(RIGHT)) == (set(), {1, 2})
    index.upsert(LEFT, [5], [1], unit_vectors(1))
    assert index.keys(LEFT) == {5}


def test_collections_are_listed_and_counted(index: Index) -> None:
    index.upsert(LEFT, range(3), [1] * 3, unit_vectors(3))
    index.upsert(RIGHT, [7], [1], unit_vectors(1))
    assert index.collections() == {LEFT, RIGHT}
    assert (index.count(LEFT), index.count(RIGHT), index.count(99)) == (3, 1, 0)
    index.drop(LEFT)
    assert index.collections() == {RIGHT}


def test_vectors_round_trip_without_unknown_keys(index: Index) -> None:
    vectors = unit_vectors(5)
    index.upsert(LEFT, range(5), [1] * 5, vectors)
    result = index.vectors(LEFT, [3, 99, 0])
    assert set(result) == {0, 3}
    assert np.allclose(result[3], vectors[3], atol=1e-5)
    assert index.vectors(RIGHT, [1]) == {}


def test_compact_changes_no_result(index: Index) -> None:
    vectors = unit_vectors(150)
    index.upsert(LEFT, range(150), [1] * 150, vectors)
    index.delete(LEFT, range(50))
    index.compact()
    assert index.keys(LEFT) == set(range(50, 150))
    assert next(iter(index.query(LEFT, vectors[77], None, 1))) == 77


def test_fake_index_fails_the_requested_number_of_times() -> None:
    index = MemoryIndex(failures=2)
    for _ in range(2):
        with pytest.raises(VectorIndexDown):
            index.upsert(LEFT, [1], [1], unit_vectors(1))
    assert index.keys(LEFT) == set()


def test_collections_are_written_after_a_hundred_changes(tmp_path: Path) -> None:
    index = open_chroma(tmp_path)
    index.upsert(LEFT, range(99), [1] * 99, unit_vectors(99))
    assert not list(tmp_path.glob("*/index_metadata.pickle"))
    index.upsert(LEFT, [99], [1], unit_vectors(1))
    assert list(tmp_path.glob("*/index_metadata.pickle"))
    index.close()


def test_drop_removes_the_files(tmp_path: Path) -> None:
    index = open_chroma(tmp_path)
    index.upsert(LEFT, range(150), [1] * 150, unit_vectors(150))
    index.upsert(RIGHT, range(150), [1] * 150, unit_vectors(150))
    index.drop(LEFT)
    assert len(list(tmp_path.glob("*/data_level0.bin"))) == 1
    index.close()


def test_vectors_persist_after_reopening(tmp_path: Path) -> None:
    vectors = unit_vectors(150)
    first = open_chroma(tmp_path)
    first.upsert(LEFT, range(150), [1] * 150, vectors)
    first.close()
    second = open_chroma(tmp_path)
    assert second.keys(LEFT) == set(range(150))
    assert next(iter(second.query(LEFT, vectors[9], [1], 1))) == 9
    second.close()


@pytest.mark.parametrize(("embedder", "dimension"), [("other", DIMENSION), ("test", 16)])
def test_index_of_another_embedder_is_refused(
    tmp_path: Path, embedder: str, dimension: int
) -> None:
    first = open_chroma(tmp_path)
    first.upsert(LEFT, [1], [1], unit_vectors(1))
    first.close()
    index = open_chroma(tmp_path, embedder, dimension)
    with pytest.raises(StartupError, match="was made with test"):
        index.keys(LEFT)
    index.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.upsert(LEFT, [9], [1], unit_vectors(1)),
        lambda index: index.upsert(RIGHT, [9], [1], unit_vectors(1)),
        lambda index: index.delete(LEFT, [1]),
        lambda index: index.drop(LEFT),
        lambda index: index.query(LEFT, unit_vectors(1)[0], None, 5),
        lambda index: index.query(LEFT, unit_vectors(1)[0], [1], 5),
        lambda index: index.keys(LEFT),
    ],
    ids=["upsert", "upsert-new", "delete", "drop", "query", "query-group", "keys"],
)
def test_chromas_errors_become_vector_index_down(tmp_path: Path, call: object) -> None:
    index = open_chroma(tmp_path)
    index.upsert(LEFT, [1], [1], unit_vectors(1))
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database at all" * 1_000)
    assert callable(call)
    with pytest.raises(VectorIndexDown, match="vector index cannot be used"):
        call(index)
    index.close()


def test_folder_without_a_chroma_database_is_vector_index_down(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database at all" * 1_000)
    with pytest.raises(VectorIndexDown, match="vector index cannot be used"):
        open_chroma(tmp_path)


TEXTS = ["the cat sat on the mat", "x", "Привет, мир", "猫が好きです", "a\ud800b", "word " * 500]


def test_vectors_are_finite_unit_vectors_of_the_dimension(embedder: Embedder) -> None:
    for vector in embedder.embed_documents(TEXTS):
        assert vector is not None
        assert vector.shape == (embedder.dimension,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_text_without_words_has_no_vector(embedder: Embedder) -> None:
    first, empty, last = embedder.embed_documents(["cat", "", "dog"])
    assert empty is None
    assert first is not None
    assert last is not None
    assert embedder.embed_documents(["", ""]) == [None, None]
    assert embedder.embed_documents([]) == []
    assert embedder.embed_query("") is None


def test_vector_does_not_depend_on_other_texts(embedder: Embedder) -> None:
    together = embedder.embed_documents(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        (alone,) = embedder.embed_documents([text])
        assert alone is not None
        assert vector is not None
        assert np.allclose(alone, vector, atol=1e-6)


def test_query_is_nearest_to_the_text_with_its_words(embedder: Embedder) -> None:
    texts = ["my sister adopted a grey kitten", "the invoice is due on Friday"]
    query = embedder.embed_query("grey kitten")
    kitten, invoice = embedder.embed_documents(texts)
    assert query is not None
    assert kitten is not None
    assert invoice is not None
    assert query @ kitten > query @ invoice


def test_query_weights_leave_out_spans(embedder: Embedder) -> None:
    weighted = embedder.embed_query("kitten invoice", [(0, 6, 1.0), (7, 14, 0.0)])
    kitten = embedder.embed_query("kitten")
    assert weighted is not None
    assert kitten is not None
    assert weighted @ kitten == pytest.approx(1.0, abs=1e-5)


def test_query_without_weighted_words_has_no_vector(embedder: Embedder) -> None:
    assert embedder.embed_query("kitten invoice", [(0, 14, 0.0)]) is None


def test_embedders_have_distinct_names() -> None:
    assert HashingEmbedder.name != LocalEmbedder.name
