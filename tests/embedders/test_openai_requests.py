"""The openai embedder: its requests, and the vectors that it returns."""

from __future__ import annotations

import numpy as np
import pytest

from memory_service.core.errors import EmbedderRefused
from memory_service.embedders.openai import OpenAIEmbedder
from tests.support import standin_embeddings as standins
from tests.support.embedding import TEXTS, OpenEmbedder, has_expected_vectors, limits, unit_vector
from tests.support.standin_embeddings import Behaviour, Standin


def test_each_text_gets_its_own_unit_vector(open_embedder: OpenEmbedder) -> None:
    assert has_expected_vectors(open_embedder())


@pytest.mark.parametrize("behaviour", [standins.shuffled, standins.as_numbers])
def test_answers_in_another_order_or_format(
    standin: Standin, open_embedder: OpenEmbedder, behaviour: Behaviour
) -> None:
    standin.then(behaviour)
    assert has_expected_vectors(open_embedder())
    assert standin.requests[0].body["encoding_format"] == "base64"


def test_query_gets_the_vector_of_its_text(open_embedder: OpenEmbedder) -> None:
    vector = open_embedder().embed_query("which locker?", [(0, 5, 2.0)])
    assert vector is not None
    assert np.allclose(vector, unit_vector("which locker?"), atol=1e-6)


def test_unknown_dimension_takes_one_request_at_the_start(standin: Standin) -> None:
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url)
    assert (embedder.dimension, embedder.name) == (standins.DIMENSION, "openai/small@8")
    embedder.embed_documents(TEXTS)
    embedder.embed_documents(TEXTS)
    assert [len(request.texts) for request in standin.requests] == [1, 3, 3]
    embedder.close()


def test_configured_dimension_is_sent_in_each_request(standin: Standin) -> None:
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url, dimension=5)
    assert standin.requests == []
    vector = embedder.embed_query("hello")
    assert vector is not None
    assert np.allclose(vector, unit_vector("hello", 5), atol=1e-6)
    assert standin.requests[0].body["dimensions"] == 5
    embedder.close()


def test_known_dimension_is_not_sent(standin: Standin, open_embedder: OpenEmbedder) -> None:
    open_embedder().embed_query("hello")
    (request,) = standin.requests
    assert "dimensions" not in request.body
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sk-made-up"


def test_environment_variables_of_openais_client_are_not_sent(
    standin: Standin, open_embedder: OpenEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "meant-for-another")
    open_embedder().embed_query("hello")
    assert "meant-for-another" not in str(standin.requests)


def test_blank_texts_have_no_vector_and_are_not_sent(
    standin: Standin, open_embedder: OpenEmbedder
) -> None:
    embedder = open_embedder()
    vectors = embedder.embed_documents(["", "hello", " \n"])
    assert [vector is None for vector in vectors] == [True, False, True]
    assert [request.texts for request in standin.requests] == [["hello"]]
    assert embedder.embed_query(" ") is None
    assert embedder.embed_documents([]) == []


def test_lone_surrogate_does_not_fail_a_batch(open_embedder: OpenEmbedder) -> None:
    broken, whole = open_embedder().embed_documents(["half \ud83d", "whole"])
    assert broken is not None
    assert whole is not None


def test_batches_respect_the_limit_of_texts(standin: Standin, open_embedder: OpenEmbedder) -> None:
    open_embedder(batch=2).embed_documents(["a", "", "b", "c", "d", "e"])
    assert [request.texts for request in standin.requests] == [["a", "b"], ["c", "d"], ["e"]]


def test_batches_respect_the_limit_of_tokens(standin: Standin, open_embedder: OpenEmbedder) -> None:
    open_embedder(max_batch_tokens=4).embed_documents(["a a a", "b b", "c c", "d d d d", "e"])
    sent = [request.texts for request in standin.requests]
    assert sent == [["a a a"], ["b b", "c c"], ["d d d d"], ["e"]]


def test_text_over_the_limit_is_refused_and_not_sent(
    standin: Standin, open_embedder: OpenEmbedder
) -> None:
    embedder = open_embedder(max_input_tokens=16)
    with pytest.raises(EmbedderRefused, match="MEMORY_EMBEDDER_MAX_INPUT_TOKENS") as caught:
        embedder.embed_documents(["fits", "a " * 17, "fits", "a " * 18])
    assert caught.value.positions == (1, 3)
    with pytest.raises(EmbedderRefused):
        embedder.embed_query("a " * 17)
    assert standin.requests == []


@pytest.mark.parametrize(
    ("model", "limit"), [("text-embedding-3-small", 8_191), ("some-server-model", 512)]
)
def test_limit_of_a_models_text(open_embedder: OpenEmbedder, model: str, limit: int) -> None:
    embedder = open_embedder(model, max_batch_tokens=10_000)
    assert embedder.embed_query("a " * limit) is not None
    with pytest.raises(EmbedderRefused):
        embedder.embed_query("a " * (limit + 1))
