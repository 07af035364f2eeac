"""The openai embedder: temporary failures, waits and time limits."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from memory_service.core.errors import EmbedderDown
from memory_service.embedders.openai import OpenAIEmbedder
from tests.support import standin_embeddings as standins
from tests.support.embedding import SHORT, TEXTS, OpenEmbedder, has_expected_vectors, limits
from tests.support.standin_embeddings import Behaviour, Standin
from tests.support.storing import eventually

UNUSABLE = {
    "NaN": standins.with_values(float("nan")),
    "one NaN": standins.with_values(1.0, float("nan")),
    "infinity": standins.with_values(1.0, float("inf")),
    "zeros": standins.with_values(0.0),
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
def test_temporary_status_is_retried(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float], status: int
) -> None:
    standin.then(standins.error(status), standins.error(status))
    assert has_expected_vectors(open_embedder())
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("behaviour", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_answer_is_retried(
    standin: Standin, open_embedder: OpenEmbedder, behaviour: Behaviour
) -> None:
    standin.then(behaviour)
    assert has_expected_vectors(open_embedder())
    assert len(standin.requests) == 2


@pytest.mark.parametrize("behaviour", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_answer_that_stays_unusable_is_an_error(
    standin: Standin, open_embedder: OpenEmbedder, behaviour: Behaviour
) -> None:
    standin.then(*[behaviour] * 5)
    with pytest.raises(EmbedderDown):
        open_embedder().embed_documents(TEXTS)
    assert len(standin.requests) == 5


def test_error_names_the_texts_with_unusable_vectors(
    standin: Standin, open_embedder: OpenEmbedder
) -> None:
    standin.then(*[standins.with_values(float("nan"))] * 5)
    with pytest.raises(EmbedderDown) as caught:
        open_embedder().embed_documents(["", "good", "bad"])
    assert caught.value.positions == (2,)


def test_number_of_tries_and_waits(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float]
) -> None:
    standin.then(*[standins.error(500)] * 9)
    with pytest.raises(EmbedderDown, match="answered 500"):
        open_embedder().embed_documents(TEXTS)
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
def test_wait_that_the_server_asks_for(
    standin: Standin,
    open_embedder: OpenEmbedder,
    waits: list[float],
    headers: dict[str, str],
    seconds: float,
) -> None:
    standin.then(standins.error(429, **headers))
    assert has_expected_vectors(open_embedder())
    assert waits == [seconds]


def test_wait_until_a_date_that_the_server_names(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float]
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    standin.then(standins.error(503, retry_after=until))
    assert has_expected_vectors(open_embedder())
    assert 0.0 <= waits[0] <= 9.0


def test_server_that_asks_for_a_long_wait_is_not_asked_again(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float]
) -> None:
    standin.then(standins.error(429, retry_after="600"))
    embedder = open_embedder()
    with pytest.raises(EmbedderDown) as caught:
        embedder.embed_documents(TEXTS)
    assert caught.value.retry_after_seconds == 600.0
    for ask in (lambda: embedder.embed_documents(TEXTS), lambda: embedder.embed_query("hello")):
        with pytest.raises(EmbedderDown, match="asks for a pause of another"):
            ask()
    assert len(standin.requests) == 1
    assert waits == []


def test_server_that_answers_again_is_asked_at_once(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float]
) -> None:
    standin.then(standins.error(429, retry_after="7"))
    embedder = open_embedder()
    assert has_expected_vectors(embedder)
    assert embedder.embed_query("hello") is not None
    assert waits == [7.0]


def test_query_is_tried_twice_at_most(standin: Standin, open_embedder: OpenEmbedder) -> None:
    standin.then(*[standins.error(500)] * 9)
    with pytest.raises(EmbedderDown):
        open_embedder().embed_query("hello")
    assert len(standin.requests) == 2


def test_query_does_not_wait_longer_than_its_time_limit(
    standin: Standin, open_embedder: OpenEmbedder, waits: list[float]
) -> None:
    standin.then(standins.error(503, retry_after="4"))
    with pytest.raises(EmbedderDown):
        open_embedder(query_timeout_seconds=3.0).embed_query("hello")
    assert waits == []


def test_query_timeout(standin: Standin, open_embedder: OpenEmbedder) -> None:
    standin.then(*[standin.slow] * 9)
    with pytest.raises(EmbedderDown, match="did not answer within"):
        open_embedder(query_timeout_seconds=SHORT).embed_query("hello")


def test_documents_are_retried_after_a_timeout(
    standin: Standin, open_embedder: OpenEmbedder
) -> None:
    standin.then(standin.slow, standin.slow)
    assert has_expected_vectors(open_embedder(timeout_seconds=SHORT * 6))
    assert len(standin.requests) >= 3


def test_unreachable_server_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        unused_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        embedder = OpenAIEmbedder(
            "small", limits(), base_url=unused_url, known_dimension=8, pause=lambda _: None
        )
        with pytest.raises(EmbedderDown, match="cannot be reached"):
            embedder.embed_documents(TEXTS)
        embedder.close()


def test_close_ends_a_wait(standin: Standin) -> None:
    standin.then(standins.error(503, retry_after="10"))
    embedder = OpenAIEmbedder("small", limits(), base_url=standin.base_url, known_dimension=8)
    with ThreadPoolExecutor() as threads:
        future = threads.submit(embedder.embed_documents, TEXTS)
        eventually(lambda: len(standin.requests) == 1)
        embedder.close()
        assert isinstance(future.exception(timeout=8), EmbedderDown)


def test_closed_embedder_is_down(open_embedder: OpenEmbedder) -> None:
    embedder = open_embedder()
    embedder.close()
    with pytest.raises(EmbedderDown, match="closed"):
        embedder.embed_documents(TEXTS)
