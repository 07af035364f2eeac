"""Embedders outside this process: what they send, what they accept, and how they fail."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import shake_128
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from chromadb.utils.embedding_functions import (
    DefaultEmbeddingFunction,
    known_embedding_functions,
    register_embedding_function,
)
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import EmbedderDown, EmbedderRefused, ServiceError, StartupError
from memory_service.core.protocols import Embedder
from memory_service.core.settings import Settings, load_settings
from memory_service.embedders.checks import Limits, batches, unit_vectors
from memory_service.embedders.chroma_registry import ChromaFunctionEmbedder
from memory_service.embedders.local import LocalEmbedder
from memory_service.embedders.openai import OpenAIEmbedder
from memory_service.embedders.opening import open_embedder
from tests.support import standin_embeddings as standins
from tests.support.standin_embeddings import Behaviour, Standin
from tests.support.storing import eventually

TEXTS = ["Ann: the locker is 8314", "Bob: thanks!", "Ann: see you at the lake"]
SHORT = 0.05
FUNCTION = "testing_hash"


class WordCounter:
    """Counts words, so that limits are easy to see."""

    name = "words"

    def count(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())


def limits(**changes: Any) -> Limits:
    return Limits(**{"counter": WordCounter(), **changes})


@pytest.fixture
def standin() -> Iterator[Standin]:
    """Return a running stand-in, on which all is well."""
    with standins.standin_embeddings() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Return the waits between tries, in seconds; none of them is waited."""
    return []


Open = Callable[..., OpenAIEmbedder]


@pytest.fixture
def opened(standin: Standin, waits: list[float]) -> Iterator[Open]:
    """Return what opens an embedder on the stand-in; a dimension saves the first request."""
    made: list[OpenAIEmbedder] = []

    def make(
        model: str = "small", *, max_batch_tokens: int = 1_000, **changes: Any
    ) -> OpenAIEmbedder:
        embedder = OpenAIEmbedder(
            model,
            limits(**changes),
            base_url=standin.base_url,
            api_key="sk-made-up",
            known_dimension=standins.DIMENSION,
            max_batch_tokens=max_batch_tokens,
            pause=waits.append,
        )
        made.append(embedder)
        return embedder

    yield make
    for embedder in made:
        embedder.close()


def unit(text: str, dimension: int = standins.DIMENSION) -> npt.NDArray[np.float64]:
    """Return the stand-in's vector of a text, of unit length."""
    vector = np.array(standins.vector_of(text, dimension))
    return np.asarray(vector / np.linalg.norm(vector))


def are_right(embedder: Embedder) -> bool:
    """Return whether all texts get their own vectors."""
    vectors = embedder.embed_documents(TEXTS)
    return all(
        vector is not None and np.allclose(vector, unit(text), atol=1e-6)
        for text, vector in zip(TEXTS, vectors, strict=True)
    )


class HashFunction:
    """A deterministic function for Chroma's registry, which fails as its configuration says."""

    released = threading.Event()

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def __call__(self, input: list[str]) -> list[Any]:  # noqa: A002  # Chroma names it
        """Return a vector for each text, or what the configuration says."""
        if self.config.get("fails"):
            raise LookupError(input[0])
        rows = [self._row(text) for text in input]
        return rows[self.config.get("drop", 0) :]

    def embed_query(self, input: list[str]) -> list[Any]:  # noqa: A002  # Chroma names it
        """Return the same as for documents, sooner or later."""
        if self.config.get("hangs"):
            self.released.wait()
        return self(input)

    def max_tokens(self) -> int:
        """Return the longest text in tokens."""
        return 50

    def _row(self, text: str) -> Any:
        length = self.config.get("length", 4)
        row = [byte - 127.5 for byte in shake_128(text.encode()).digest(length)]
        return [float(self.config["value"])] * length if "value" in self.config else row

    @staticmethod
    def name() -> str:
        """Return the name in the registry."""
        return FUNCTION

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> HashFunction:
        """Return the function."""
        if config.get("unmakeable"):
            raise ValueError("the package is not installed")
        return HashFunction(config)


@pytest.fixture
def registered() -> Iterator[None]:
    """Have the function in Chroma's registry."""
    HashFunction.released.clear()
    register_embedding_function(HashFunction)  # type: ignore[no-untyped-call]  # it has no types
    yield
    HashFunction.released.set()
    del known_embedding_functions[FUNCTION]


def function(config: Mapping[str, Any] | None = None, **changes: Any) -> ChromaFunctionEmbedder:
    return ChromaFunctionEmbedder(FUNCTION, config or {}, limits(**changes), dimension=4)


# What is sent, and what comes back.


def test_every_text_gets_its_own_vector_of_unit_length(opened: Open) -> None:
    assert are_right(opened())


@pytest.mark.parametrize("behaviour", [standins.shuffled, standins.as_numbers])
def test_answers_in_another_order_or_format_are_understood(
    standin: Standin, opened: Open, behaviour: Behaviour
) -> None:
    standin.then(behaviour)
    assert are_right(opened())
    assert standin.requests[0].body["encoding_format"] == "base64"


def test_a_query_gets_the_vector_of_its_text(opened: Open) -> None:
    vector = opened().embed_query("which locker?", [(0, 5, 2.0)])
    assert vector is not None
    assert np.allclose(vector, unit("which locker?"), atol=1e-6)


def test_the_dimension_is_asked_once_at_the_start(standin: Standin) -> None:
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url)
    assert (embedder.dimension, embedder.name) == (standins.DIMENSION, "openai/small@8")
    embedder.embed_documents(TEXTS)
    embedder.embed_documents(TEXTS)
    assert [len(request.texts) for request in standin.requests] == [1, 3, 3]
    embedder.close()


def test_a_dimension_that_is_set_is_asked_of_the_server_in_each_request(standin: Standin) -> None:
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url, dimension=5)
    assert standin.requests == []
    vector = embedder.embed_query("hello")
    assert vector is not None
    assert np.allclose(vector, unit("hello", 5), atol=1e-6)
    assert standin.requests[0].body["dimensions"] == 5
    embedder.close()


def test_a_known_dimension_is_not_asked_of_the_server(standin: Standin, opened: Open) -> None:
    opened().embed_query("hello")
    (request,) = standin.requests
    assert "dimensions" not in request.body
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sk-made-up"


def test_variables_of_openais_client_reach_no_server(
    standin: Standin, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "meant-for-another")
    opened().embed_query("hello")
    assert "meant-for-another" not in str(standin.requests)


def test_blank_texts_have_no_vector_and_are_not_sent(standin: Standin, opened: Open) -> None:
    embedder = opened()
    found = embedder.embed_documents(["", "hello", " \n"])
    assert [vector is None for vector in found] == [True, False, True]
    assert [request.texts for request in standin.requests] == [["hello"]]
    assert embedder.embed_query(" ") is None
    assert embedder.embed_documents([]) == []


def test_half_a_surrogate_pair_does_not_stop_a_batch(opened: Open) -> None:
    broken, whole = opened().embed_documents(["half \ud83d", "whole"])
    assert broken is not None
    assert whole is not None


def test_batches_hold_no_more_texts_than_is_set(standin: Standin, opened: Open) -> None:
    opened(batch=2).embed_documents(["a", "", "b", "c", "d", "e"])
    assert [request.texts for request in standin.requests] == [["a", "b"], ["c", "d"], ["e"]]


def test_batches_hold_no_more_tokens_than_a_request_may(standin: Standin, opened: Open) -> None:
    opened(max_batch_tokens=4).embed_documents(["a a a", "b b", "c c", "d d d d", "e"])
    sent = [request.texts for request in standin.requests]
    assert sent == [["a a a"], ["b b", "c c"], ["d d d d"], ["e"]]


@given(
    counts=st.dictionaries(st.integers(0, 99), st.integers(1, 20)),
    max_texts=st.integers(1, 5),
    max_tokens=st.integers(20, 50),
)
def test_batches_keep_all_texts_in_order_within_both_limits(
    counts: dict[int, int], max_texts: int, max_tokens: int
) -> None:
    made = list(batches(counts, max_texts, max_tokens))
    assert [position for batch in made for position in batch] == list(counts)
    assert all(1 <= len(batch) <= max_texts for batch in made)
    assert all(sum(counts[position] for position in batch) <= max_tokens for batch in made)


# What may pass.

UNUSABLE = {
    "NaN": standins.spoiled(float("nan")),
    "one NaN": standins.spoiled(1.0, float("nan")),
    "infinity": standins.spoiled(1.0, float("inf")),
    "zeros": standins.spoiled(0.0),
    "too few": standins.too_few,
    "too many": standins.too_many,
    "one index twice": standins.twice_the_first,
    "one index more than once": standins.once_more_the_first,
    "no vectors": standins.raw(b'{"object": "list", "data": []}'),
    "no list": standins.raw(b'{"error": "loading"}'),
    "nulls": standins.raw(b'{"data": [{"index": 0, "embedding": [null, 1.0]}]}'),
    "broken base64": standins.raw(b'{"data": [{"index": 0, "embedding": "AAAA*"}]}'),
    "half a number": standins.raw(b'{"data": [{"index": 0, "embedding": "AAA="}]}'),
    "a page": standins.raw(b"<html>welcome</html>"),
    "nothing": standins.raw(b""),
}
STATUSES = (408, 409, 429, 500, 502, 503, 529)


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_that_passes_is_tried_again(
    standin: Standin, opened: Open, waits: list[float], status: int
) -> None:
    standin.then(standins.error(status), standins.error(status))
    assert are_right(opened())
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("behaviour", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_answer_is_tried_again(
    standin: Standin, opened: Open, behaviour: Behaviour
) -> None:
    standin.then(behaviour)
    assert are_right(opened())
    assert len(standin.requests) == 2


@pytest.mark.parametrize("behaviour", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_answer_that_stays_unusable_is_an_error(
    standin: Standin, opened: Open, behaviour: Behaviour
) -> None:
    standin.then(*[behaviour] * 5)
    with pytest.raises(EmbedderDown):
        opened().embed_documents(TEXTS)
    assert len(standin.requests) == 5


def test_an_error_names_the_texts_whose_vectors_are_unusable(
    standin: Standin, opened: Open
) -> None:
    standin.then(*[standins.spoiled(float("nan"))] * 5)
    with pytest.raises(EmbedderDown) as caught:
        opened().embed_documents(["", "good", "bad"])
    assert caught.value.positions == (2,)


def test_tries_end(standin: Standin, opened: Open, waits: list[float]) -> None:
    standin.then(*[standins.error(500)] * 9)
    with pytest.raises(EmbedderDown, match="answered 500"):
        opened().embed_documents(TEXTS)
    assert len(standin.requests) == 5
    assert waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": "nan"}, 0.5),
        ({"retry_after": "-3"}, 0.5),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_the_server_says_how_long_to_wait(
    standin: Standin, opened: Open, waits: list[float], headers: dict[str, str], seconds: float
) -> None:
    standin.then(standins.error(429, **headers))
    assert are_right(opened())
    assert waits == [seconds]


def test_the_server_may_say_until_when_to_wait(
    standin: Standin, opened: Open, waits: list[float]
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    standin.then(standins.error(503, retry_after=until))
    assert are_right(opened())
    assert 0.0 <= waits[0] <= 9.0


def test_a_server_that_asks_for_a_long_wait_is_down_and_left_alone(
    standin: Standin, opened: Open, waits: list[float]
) -> None:
    standin.then(standins.error(429, retry_after="600"))
    embedder = opened()
    with pytest.raises(EmbedderDown) as caught:
        embedder.embed_documents(TEXTS)
    assert caught.value.retry_after_seconds == 600.0
    for ask in (lambda: embedder.embed_documents(TEXTS), lambda: embedder.embed_query("hello")):
        with pytest.raises(EmbedderDown, match="not to be asked for another"):
            ask()
    assert len(standin.requests) == 1
    assert waits == []


def test_a_server_that_answers_again_is_asked_at_once(
    standin: Standin, opened: Open, waits: list[float]
) -> None:
    standin.then(standins.error(429, retry_after="7"))
    embedder = opened()
    assert are_right(embedder)
    assert embedder.embed_query("hello") is not None
    assert waits == [7.0]


def test_a_query_is_tried_twice_at_most(standin: Standin, opened: Open) -> None:
    standin.then(*[standins.error(500)] * 9)
    with pytest.raises(EmbedderDown):
        opened().embed_query("hello")
    assert len(standin.requests) == 2


def test_a_query_does_not_wait_longer_than_its_time_limit(
    standin: Standin, opened: Open, waits: list[float]
) -> None:
    standin.then(standins.error(503, retry_after="4"))
    with pytest.raises(EmbedderDown):
        opened(query_timeout_seconds=3.0).embed_query("hello")
    assert waits == []


def test_a_query_that_gets_no_answer_in_time_fails(standin: Standin, opened: Open) -> None:
    standin.then(*[standin.slow] * 9)
    with pytest.raises(EmbedderDown, match="did not answer within"):
        opened(query_timeout_seconds=SHORT).embed_query("hello")


def test_documents_that_get_no_answer_in_time_are_tried_again(
    standin: Standin, opened: Open
) -> None:
    standin.then(standin.slow, standin.slow)
    assert are_right(opened(timeout_seconds=SHORT * 6))
    assert len(standin.requests) >= 3


def test_a_server_that_is_not_there_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        embedder = OpenAIEmbedder(
            "small", limits(), base_url=nobody, known_dimension=8, pause=lambda _: None
        )
        with pytest.raises(EmbedderDown, match="cannot be reached"):
            embedder.embed_documents(TEXTS)
        embedder.close()


def test_closing_ends_a_wait(standin: Standin) -> None:
    standin.then(standins.error(503, retry_after="10"))
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url, known_dimension=8)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(embedder.embed_documents, TEXTS)
        eventually(lambda: len(standin.requests) == 1)
        embedder.close()
        assert isinstance(asked.exception(timeout=8), EmbedderDown)


def test_a_closed_embedder_is_down(opened: Open) -> None:
    embedder = opened()
    embedder.close()
    with pytest.raises(EmbedderDown, match="closed"):
        embedder.embed_documents(TEXTS)


# What does not pass.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_not_tried_again(standin: Standin, opened: Open, status: int) -> None:
    standin.then(standins.error(status, code="some_code"))
    with pytest.raises(EmbedderRefused, match=rf"answered {status} \(some_code\)"):
        opened().embed_documents(TEXTS)
    assert len(standin.requests) == 1


@pytest.mark.parametrize(
    ("status", "texts", "positions"),
    [(400, ["", "one"], (1,)), (413, ["one"], (0,)), (400, ["one", "two"], ()), (401, ["one"], ())],
)
def test_a_refusal_names_the_text_where_it_can_only_be_that_one(
    standin: Standin, opened: Open, status: int, texts: list[str], positions: tuple[int, ...]
) -> None:
    standin.then(standins.error(status))
    with pytest.raises(EmbedderRefused) as caught:
        opened().embed_documents(texts)
    assert caught.value.positions == positions


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_no_message_repeats_a_text_or_the_key(standin: Standin, opened: Open, status: int) -> None:
    standin.then(*[standins.echoing(status)] * 5)
    with pytest.raises(ServiceError) as caught:
        opened().embed_documents(TEXTS)
    assert "8314" not in caught.value.message
    assert "sk-made-up" not in caught.value.message


def test_vectors_of_another_dimension_are_refused(standin: Standin, opened: Open) -> None:
    standin.then(standins.of_dimension(16))
    with pytest.raises(EmbedderRefused, match="Vectors of 16 numbers came where 8 are expected"):
        opened().embed_documents(TEXTS)


def test_a_text_over_the_limit_is_refused_whole_and_nothing_is_sent(
    standin: Standin, opened: Open
) -> None:
    embedder = opened(max_input_tokens=16)
    with pytest.raises(EmbedderRefused, match="MEMORY_EMBEDDER_MAX_INPUT_TOKENS") as caught:
        embedder.embed_documents(["fits", "a " * 17, "fits", "a " * 18])
    assert caught.value.positions == (1, 3)
    with pytest.raises(EmbedderRefused):
        embedder.embed_query("a " * 17)
    assert standin.requests == []


@pytest.mark.parametrize(
    ("model", "limit"), [("text-embedding-3-small", 8_191), ("some-server-model", 512)]
)
def test_a_model_has_a_limit_of_its_own(opened: Open, model: str, limit: int) -> None:
    embedder = opened(model, max_batch_tokens=10_000)
    assert embedder.embed_query("a " * limit) is not None
    with pytest.raises(EmbedderRefused):
        embedder.embed_query("a " * (limit + 1))


# The checks.


@given(
    rows=st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3).filter(any),
        min_size=1,
        max_size=4,
    )
)
def test_every_finite_row_becomes_a_vector_of_unit_length(rows: list[tuple[float, ...]]) -> None:
    found = unit_vectors(rows, range(len(rows)), 3)
    assert list(found) == list(range(len(rows)))
    for vector in found.values():
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "rows", [[[1.0], [1.0, 2.0]], [["a"], ["b"]], [[], []], [1.0, 2.0], [None, None], [[[1.0]]] * 2]
)
def test_rows_that_are_no_vectors_are_an_error(rows: list[Any]) -> None:
    with pytest.raises(EmbedderDown):
        unit_vectors(rows, [0, 1], None)


# Chroma's registry.


@pytest.mark.usefixtures("registered")
def test_a_function_of_chromas_registry_embeds_in_batches() -> None:
    embedder = function(batch=2)
    vectors = embedder.embed_documents([*TEXTS, ""])
    expected = [*HashFunction({})(TEXTS), None]
    for vector, row in zip(vectors[:3], expected[:3], strict=True):
        assert vector is not None
        assert np.allclose(vector, np.array(row) / np.linalg.norm(row), atol=1e-6)
    assert vectors[3] is None
    assert embedder.embed_query(" ") is None


@pytest.mark.usefixtures("registered")
def test_a_function_is_asked_for_its_dimension_once() -> None:
    embedder = ChromaFunctionEmbedder(FUNCTION, {"length": 6}, limits())
    assert embedder.dimension == 6
    assert embedder.name.endswith("@6")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "config", [{"fails": True}, {"drop": 1}, {"value": "nan"}, {"value": "inf"}, {"value": 0}]
)
def test_a_function_that_fails_or_returns_junk_is_down(config: dict[str, Any]) -> None:
    embedder = function(config)
    with pytest.raises(EmbedderDown) as caught:
        embedder.embed_documents(TEXTS)
    assert "8314" not in caught.value.message
    with pytest.raises(EmbedderDown):
        embedder.embed_query(TEXTS[0])


@pytest.mark.usefixtures("registered")
def test_a_function_of_another_dimension_is_refused() -> None:
    with pytest.raises(EmbedderRefused):
        function({"length": 5}).embed_documents(TEXTS)


@pytest.mark.usefixtures("registered")
def test_a_function_that_hangs_does_not_hold_a_query() -> None:
    with pytest.raises(EmbedderDown, match="did not answer within"):
        function({"hangs": True}, query_timeout_seconds=SHORT).embed_query("hello")


@pytest.mark.usefixtures("registered")
def test_a_function_gets_no_text_over_its_own_limit() -> None:
    with pytest.raises(EmbedderRefused) as caught:
        function({"fails": True}).embed_documents(["fits", "a " * 51])
    assert caught.value.positions == (1,)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("config", "same"),
    [
        ({"model_name": "a", "url": "http://other", "timeout": 9}, True),
        ({"model_name": "b", "url": "http://one"}, False),
        ({"model_name": "a", "url": "http://one", "task": "x"}, False),
    ],
)
def test_the_name_changes_with_what_may_change_a_vector(
    config: dict[str, Any], *, same: bool
) -> None:
    first = function({"model_name": "a", "url": "http://one"})
    assert (function(config).name == first.name) is same


# Choosing one.


@pytest.mark.usefixtures("registered")
def test_an_embedder_is_chosen_by_name(standin: Standin) -> None:
    made = [
        open_embedder("local", limits()),
        open_embedder("openai", limits(), model="small", base_url=standin.base_url),
        open_embedder(f"chroma:{FUNCTION}", limits(), config={}),
    ]
    assert [embedder.name for embedder in made] == [
        LocalEmbedder.name,
        "openai/small@8",
        f"chroma/{FUNCTION}@4",
    ]
    assert [embedder.embeds_with_write for embedder in made] == [True, False, False]
    for embedder in made:
        embedder.close()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("other", {}, "MEMORY_EMBEDDER is local, openai or chroma:NAME"),
        ("chroma:", {}, "MEMORY_EMBEDDER is local, openai or chroma:NAME"),
        ("chroma:other", {}, f"it has .*{FUNCTION}"),
        (f"chroma:{FUNCTION}", {"config": {"unmakeable": True}}, "MEMORY_EMBEDDER_CONFIG"),
        (f"chroma:{FUNCTION}", {"config": {"fails": True}}, "failed with LookupError"),
        ("openai", {"base_url": "http://127.0.0.1:9/v1"}, "MEMORY_EMBEDDER_MODEL"),
        ("openai", {"model": "small"}, "MEMORY_EMBEDDER_API_KEY"),
        ("openai", {"model": "small", "base_url": "127.0.0.1:9"}, "MEMORY_EMBEDDER_BASE_URL"),
        ("openai", {"model": "small", "base_url": "http://[x"}, "MEMORY_EMBEDDER_BASE_URL"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(
    kind: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(StartupError, match=says):
        open_embedder(kind, limits(), **options)


@pytest.mark.parametrize(
    ("status", "says"), [(401, "MEMORY_EMBEDDER_API_KEY"), (404, "MEMORY_EMBEDDER_MODEL")]
)
def test_a_refusal_at_the_start_says_what_to_check(
    standin: Standin, status: int, says: str
) -> None:
    standin.then(standins.error(status))
    with pytest.raises(StartupError, match=says):
        open_embedder("openai", limits(), model="small", base_url=standin.base_url)


def test_data_made_with_an_embedder_lets_it_open_while_it_is_down(standin: Standin) -> None:
    embedder = open_embedder(
        "openai", limits(), model="small", base_url=standin.base_url, made_with="openai/small@8"
    )
    assert (embedder.name, standin.requests) == ("openai/small@8", [])
    embedder.close()


def test_data_made_with_another_embedder_tells_no_dimension(standin: Standin) -> None:
    embedder = open_embedder(
        "openai", limits(), model="small", base_url=standin.base_url, made_with="openai/large@9"
    )
    assert embedder.dimension == standins.DIMENSION
    embedder.close()


def test_choosing_never_makes_the_function_that_downloads_a_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(_: object) -> None:
        raise AssertionError("made without being asked for")

    monkeypatch.setattr(DefaultEmbeddingFunction, "__init__", made)
    open_embedder("local", limits()).close()
    with pytest.raises(StartupError):
        open_embedder("chroma:other", limits())


# Settings.


def test_the_key_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_API_KEY", "sk-made-up")
    settings = load_settings()
    assert settings.embedder_api_key is not None
    assert settings.embedder_api_key.get_secret_value() == "sk-made-up"
    assert "sk-made-up" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_the_configuration_of_a_function_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_CONFIG", json.dumps({"model_name": "a", "depth": {"x": 1}}))
    assert load_settings().embedder_config == {"model_name": "a", "depth": {"x": 1}}
    assert Settings().embedder_config == load_settings().embedder_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMBEDDER", "chroma"),
        ("EMBEDDER_CONFIG", "{"),
        ("EMBEDDER_CONFIG", "[1]"),
        ("EMBEDDER_BATCH", "0"),
        ("EMBEDDER_TIMEOUT_SECONDS", "inf"),
        ("EMBEDDER_QUERY_TIMEOUT_SECONDS", "0"),
        ("EMBEDDER_DIMENSION", "0"),
        ("EMBEDDER_MAX_INPUT_TOKENS", "1"),
    ],
)
def test_impossible_settings_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MEMORY_{name}", value)
    with pytest.raises(StartupError, match=f"MEMORY_{name}"):
        load_settings()
