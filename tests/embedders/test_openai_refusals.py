"""The openai embedder: permanent failures, which are not retried."""

from __future__ import annotations

import pytest

from memory_service.core.errors import EmbedderRefused, ServiceError
from tests.support import standin_embeddings as standins
from tests.support.embedding import TEXTS, OpenEmbedder
from tests.support.standin_embeddings import Standin


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_refusal_is_not_retried(standin: Standin, open_embedder: OpenEmbedder, status: int) -> None:
    standin.then(standins.error(status, code="some_code"))
    with pytest.raises(EmbedderRefused, match=rf"answered {status} \(some_code\)"):
        open_embedder().embed_documents(TEXTS)
    assert len(standin.requests) == 1


@pytest.mark.parametrize(
    ("status", "texts", "positions"),
    [(400, ["", "one"], (1,)), (413, ["one"], (0,)), (400, ["one", "two"], ()), (401, ["one"], ())],
)
def test_refusal_names_the_text_if_there_is_one_only(
    standin: Standin,
    open_embedder: OpenEmbedder,
    status: int,
    texts: list[str],
    positions: tuple[int, ...],
) -> None:
    standin.then(standins.error(status))
    with pytest.raises(EmbedderRefused) as caught:
        open_embedder().embed_documents(texts)
    assert caught.value.positions == positions


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_messages_contain_neither_texts_nor_the_key(
    standin: Standin, open_embedder: OpenEmbedder, status: int
) -> None:
    standin.then(*[standins.repeating_request(status)] * 5)
    with pytest.raises(ServiceError) as caught:
        open_embedder().embed_documents(TEXTS)
    assert "8314" not in caught.value.message
    assert "sk-made-up" not in caught.value.message


def test_vectors_of_another_dimension_are_refused(
    standin: Standin, open_embedder: OpenEmbedder
) -> None:
    standin.then(standins.of_dimension(16))
    with pytest.raises(EmbedderRefused, match="vectors of 16 numbers instead of 8"):
        open_embedder().embed_documents(TEXTS)
