"""The `openai` embedder: any server that speaks OpenAI's `/v1/embeddings`, by the official client.

Messages of the server are not passed on: some repeat the texts they were sent, and errors are
logged.
"""

from __future__ import annotations

import math
import threading
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from openai import APIConnectionError, APIStatusError, APITimeoutError, omit
from pydantic import BaseModel, ValidationError
from tenacity import sleep_using_event, stop_after_attempt, stop_any, stop_before_delay

from memory_service.core.errors import EmbedderDown, EmbedderRefused
from memory_service.core.models import Vector
from memory_service.embedders.checks import (
    PROBE,
    EmbedderLimits,
    batches,
    filled,
    token_counts,
    unit_vectors,
)
from memory_service.llm.openai_client import (
    address_of,
    codes,
    may_pass,
    plain_client,
    retry_after,
)
from memory_service.llm.retries import LONGEST_WAIT_SECONDS, Pause, retrying
from memory_service.tokens.model_table import max_input_tokens

DEFAULT_BASE_URL = "https://api.openai.com/v1"

MAX_BATCH_TOKENS = 200_000
"""Tokens of one request; OpenAI takes 300,000."""

_TRIES = 5
_QUERY_TRIES = 2
_LONGEST_REST_SECONDS = 120.0
"""A server that asks for a longer wait is asked again after this time."""

_SHORTEST_SECONDS = 0.001

_HINTS = {
    401: " Check MEMORY_EMBEDDER_API_KEY.",
    403: " Check MEMORY_EMBEDDER_API_KEY.",
    404: " Check MEMORY_EMBEDDER_MODEL and MEMORY_EMBEDDER_BASE_URL.",
}


@dataclass(frozen=True, slots=True)
class _Patience:
    """The limits of one call: its tries, `seconds` for one try, `total_seconds` for all."""

    tries: int
    seconds: float
    total_seconds: float


class _Row(BaseModel):
    index: int
    embedding: str | list[float]


class _Answer(BaseModel):
    data: list[_Row]


class OpenAIEmbedder:
    """One model behind one base URL; safe for several threads."""

    embeds_with_write = False

    def __init__(
        self,
        model: str,
        limits: EmbedderLimits,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        known_dimension: int | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        pause: Pause | None = None,
    ) -> None:
        """Open the embedder, with one request if its dimension is not known.

        `dimension` is sent in each request: models of several sizes shorten their vectors to it,
        others refuse. `known_dimension` is only checked. `pause` waits between two tries.
        """
        self._url = base_url or DEFAULT_BASE_URL
        self._where = address_of(self._url, "MEMORY_EMBEDDER_BASE_URL")
        self._model = model
        self._asked_dimension = dimension
        self._client = plain_client(self._url, api_key)
        self._documents = _Patience(_TRIES, limits.timeout_seconds, math.inf)
        self._query = _Patience(
            _QUERY_TRIES, limits.query_timeout_seconds, limits.query_timeout_seconds
        )
        self._batch = limits.batch
        self._max_batch_tokens = max_batch_tokens
        self._counter = limits.counter
        self._max_input_tokens = limits.max_input_tokens or max_input_tokens(model)
        self._closing = threading.Event()
        self._pause: Pause = pause or sleep_using_event(self._closing)
        self._not_before = 0.0
        self._expected_dimension = dimension or known_dimension
        self._expected_dimension = self.dimension = self._expected_dimension or self._probe()
        self.name = f"{name_of(model)}@{self.dimension}"

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return a vector for each text, or None for a blank one."""
        sent = filled(texts)
        counts = token_counts(sent, self._counter, self._max_input_tokens)
        vectors: dict[int, Vector] = {}
        for batch in batches(counts, self._batch, self._max_batch_tokens):
            vectors |= self._embed(
                {position: sent[position] for position in batch}, self._documents
            )
        return [vectors.get(position) for position in range(len(texts))]

    def embed_query(
        self,
        text: str,
        weights: Sequence[tuple[int, int, float]] = (),  # noqa: ARG002  # no access to tokens
    ) -> Vector | None:
        """Return the vector of a query, or None for a blank one, within its shorter time limit."""
        sent = filled([text])
        token_counts(sent, self._counter, self._max_input_tokens)
        return self._embed(sent, self._query)[0] if sent else None

    def word_vectors(self, words: Sequence[str]) -> None:
        """Return None: a server is not asked for single words."""

    def close(self) -> None:
        """End waits between tries with EmbedderDown and release connections."""
        self._closing.set()
        self._client.close()

    def _probe(self) -> int:
        """Return the length of a vector; a failed start closes what it opened."""
        seconds = self._documents.seconds
        try:
            return len(self._embed({0: PROBE}, _Patience(_TRIES, seconds, seconds))[0])
        except (EmbedderDown, EmbedderRefused):
            self.close()
            raise

    def _embed(self, texts: Mapping[int, str], patience: _Patience) -> dict[int, Vector]:
        """Return the vectors of some texts, trying again within the limits of `patience`."""
        self._wait_as_requested(patience)
        out_of_patience = stop_any(
            stop_after_attempt(patience.tries),
            stop_before_delay(patience.total_seconds),
        )
        retries = retrying(EmbedderDown, out_of_patience, pause=self._pause, closing=self._closing)
        give_up_at = time.monotonic() + patience.total_seconds

        def ask() -> dict[int, Vector]:
            left = give_up_at - time.monotonic()
            rows = self._rows(texts, min(patience.seconds, max(left, _SHORTEST_SECONDS)))
            return unit_vectors(rows, list(texts), self._expected_dimension)

        return retries(ask)

    def _wait_as_requested(self, patience: _Patience) -> None:
        """Wait as the server asked for; raises EmbedderDown if the wait is long or for a query."""
        left = self._not_before - time.monotonic()
        if left <= 0:
            return
        if patience is self._query or left > LONGEST_WAIT_SECONDS:
            raise EmbedderDown(
                f"{self._where} asks for a pause of another {left:.0f} s.",
                retry_after_seconds=left,
            )
        self._pause(left)

    def _rows(self, texts: Mapping[int, str], seconds: float) -> list[npt.ArrayLike]:
        """Send one request; return its vectors in the order of the texts."""
        try:
            answer = self._client.embeddings.with_raw_response.create(
                input=list(texts.values()),
                model=self._model,
                dimensions=self._asked_dimension or omit,
                timeout=seconds,
            )
        except APIStatusError as error:
            raise self._failure(error, list(texts)) from error
        except APITimeoutError as error:
            raise EmbedderDown(f"{self._where} did not answer within {seconds:.3g} s.") from error
        except APIConnectionError as error:
            raise EmbedderDown(f"{self._where} cannot be reached.") from error
        except RuntimeError as error:
            # The HTTP client raises it if another thread has closed it.
            raise EmbedderDown("The embedder is closed.") from error
        self._not_before = 0.0
        return _read(answer.content, len(texts))

    def _failure(
        self, error: APIStatusError, positions: Sequence[int]
    ) -> EmbedderDown | EmbedderRefused:
        """Return the error for a status: a failure that may pass, or a refusal."""
        status = error.status_code
        message = f"{self._where} answered {status}{codes(error)}."
        if may_pass(error):
            wait = retry_after(error.response.headers)
            if wait is not None:
                self._not_before = time.monotonic() + min(wait, _LONGEST_REST_SECONDS)
            return EmbedderDown(message, retry_after_seconds=wait)
        if status in _HINTS:
            return EmbedderRefused(message + _HINTS[status])
        # The server does not say which one of several texts it refuses.
        return EmbedderRefused(message, positions=positions if len(positions) == 1 else ())


def name_of(model: str) -> str:
    """Return the embedder's name without its dimension."""
    return f"openai/{model}"


def _read(content: bytes, count: int) -> list[npt.ArrayLike]:
    """Return the vectors of an answer in the order of their `index`."""
    try:
        data = _Answer.model_validate_json(content).data
        rows = {row.index: _numbers(row.embedding) for row in data}
    except (ValidationError, ValueError) as error:
        raise EmbedderDown("The answer is not a list of vectors.") from error
    if len(data) != count or rows.keys() != set(range(count)):
        raise EmbedderDown(
            f"The answer has {len(data)} vectors for {count} texts, or not one for each."
        )
    return [rows[index] for index in range(count)]


def _numbers(embedding: str | list[float]) -> npt.ArrayLike:
    """Return a vector that was sent as numbers or, as the client asks for, as base64."""
    if isinstance(embedding, str):
        return np.frombuffer(b64decode(embedding, validate=True), dtype="<f4")
    return embedding
