"""Embedding functions of Chroma's registry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memory_service.core.errors import EmbedderDown, EmbedderRefused
from memory_service.embedders.chroma_registry import ChromaFunctionEmbedder
from tests.support.embedding import SHORT, TEXTS, limits
from tests.support.embedding_function import FUNCTION, HashFunction, function


@pytest.mark.usefixtures("registered")
def test_function_embeds_in_batches() -> None:
    embedder = function(batch=2)
    vectors = embedder.embed_documents([*TEXTS, ""])
    expected = [*HashFunction({})(TEXTS), None]
    for vector, row in zip(vectors[:3], expected[:3], strict=True):
        assert vector is not None
        assert np.allclose(vector, np.array(row) / np.linalg.norm(row), atol=1e-6)
    assert vectors[3] is None
    assert embedder.embed_query(" ") is None


@pytest.mark.usefixtures("registered")
def test_dimension_of_a_function() -> None:
    embedder = ChromaFunctionEmbedder(FUNCTION, {"length": 6}, limits())
    assert embedder.dimension == 6
    assert embedder.name.endswith("@6")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "config", [{"fails": True}, {"drop": 1}, {"value": "nan"}, {"value": "inf"}, {"value": 0}]
)
def test_function_that_fails_or_returns_invalid_vectors_is_down(config: dict[str, Any]) -> None:
    embedder = function(config)
    with pytest.raises(EmbedderDown) as caught:
        embedder.embed_documents(TEXTS)
    assert "8314" not in caught.value.message
    with pytest.raises(EmbedderDown):
        embedder.embed_query(TEXTS[0])


@pytest.mark.usefixtures("registered")
def test_function_of_another_dimension_is_refused() -> None:
    with pytest.raises(EmbedderRefused):
        function({"length": 5}).embed_documents(TEXTS)


@pytest.mark.usefixtures("registered")
def test_query_timeout_of_a_function_that_hangs() -> None:
    with pytest.raises(EmbedderDown, match="did not answer within"):
        function({"hangs": True}, query_timeout_seconds=SHORT).embed_query("hello")


@pytest.mark.usefixtures("registered")
def test_text_over_a_functions_own_limit_is_refused() -> None:
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
def test_name_changes_with_fields_that_may_change_vectors(
    config: dict[str, Any], *, same: bool
) -> None:
    first = function({"model_name": "a", "url": "http://one"})
    assert (function(config).name == first.name) is same
