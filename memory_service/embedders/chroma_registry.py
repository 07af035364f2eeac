"""The `chroma:NAME` embedders: embedding functions of Chroma's registry, by name.

Their vectors are checked as a server's are. A function is made only when its name is asked for:
some download a model when they are first used.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from memory_service.core.errors import EmbedderDown, StartupError
from memory_service.core.models import Vector
from memory_service.embedders.checks import (
    PROBE,
    EmbedderLimits,
    batches,
    filled,
    token_counts,
    unit_vectors,
)
from memory_service.tokens.model_table import DEFAULT_MAX_INPUT_TOKENS

_MAX_CALLS = 8
"""Calls at a time. A call that hangs counts for ever: a thread cannot be stopped."""

_REACHED_BY = frozenset({"api_base", "api_key", "api_key_env_var", "api_url", "timeout", "url"})
"""Fields of a configuration that say how a model is reached and do not change its vectors."""


class ChromaFunctionEmbedder:
    """One function of the registry, with time limits and limits of size."""

    embeds_with_write = False

    def __init__(
        self,
        function: str,
        config: Mapping[str, Any],
        limits: EmbedderLimits,
        *,
        dimension: int | None = None,
    ) -> None:
        """Make the function; without `dimension` it embeds one text to find it."""
        self._label = function
        self._function = _build(function, config)
        self._limits = limits
        self._max_input_tokens = limits.max_input_tokens or _max_input_tokens(self._function)
        self._places = threading.BoundedSemaphore(_MAX_CALLS)
        self._expected_dimension = dimension
        self._expected_dimension = self.dimension = dimension or self._probe()
        self.name = f"{name_of(function, config)}@{self.dimension}"

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return a vector for each text, or None for a blank one."""
        sent = filled(texts)
        counts = token_counts(sent, self._limits.counter, self._max_input_tokens)
        vectors: dict[int, Vector] = {}
        for batch in batches(counts, self._limits.batch):
            vectors |= self._embed({position: sent[position] for position in batch})
        return [vectors.get(position) for position in range(len(texts))]

    def embed_query(
        self,
        text: str,
        weights: Sequence[tuple[int, int, float]] = (),  # noqa: ARG002  # no access to tokens
    ) -> Vector | None:
        """Return the vector of a query, or None for a blank one, within its shorter time limit."""
        sent = filled([text])
        token_counts(sent, self._limits.counter, self._max_input_tokens)
        if not sent:
            return None
        # Some models embed a question in another way than a text that answers it.
        rows = self._call(
            lambda: self._function.embed_query(list(sent.values())),
            self._limits.query_timeout_seconds,
        )
        return unit_vectors(rows, list(sent), self._expected_dimension)[0]

    def word_vectors(self, words: Sequence[str]) -> None:
        """Return None: a function is not asked for single words."""

    def close(self) -> None:
        """Do nothing: functions cannot be closed."""

    def _probe(self) -> int:
        return len(self._embed({0: PROBE})[0])

    def _embed(self, texts: Mapping[int, str]) -> dict[int, Vector]:
        rows = self._call(
            lambda: self._function(list(texts.values())), self._limits.timeout_seconds
        )
        return unit_vectors(rows, list(texts), self._expected_dimension)

    def _call(self, ask: Callable[[], Any], seconds: float) -> list[Any]:
        """Return what a call of the function returns, within `seconds` in all."""
        give_up_at = time.monotonic() + seconds
        if not self._places.acquire(timeout=seconds):
            raise EmbedderDown(f"{self._label} is busy with {_MAX_CALLS} calls that do not end.")
        result: Future[list[Any]] = Future()
        threading.Thread(
            target=self._answer, args=(ask, result), name="embedding-function", daemon=True
        ).start()
        try:
            return result.result(timeout=max(0.0, give_up_at - time.monotonic()))
        except TimeoutError as error:
            raise EmbedderDown(f"{self._label} did not answer within {seconds:.3g} s.") from error

    def _answer(self, ask: Callable[[], Any], result: Future[list[Any]]) -> None:
        try:
            result.set_result(list(ask()))
        except Exception as error:  # noqa: BLE001  # each vendor's function raises its own
            # Only the type: a message may repeat the texts.
            failed = EmbedderDown(f"{self._label} failed with {type(error).__name__}.")
            failed.__cause__ = error
            result.set_exception(failed)
        finally:
            self._places.release()


def name_of(function: str, config: Mapping[str, Any]) -> str:
    """Return the embedder's name without its dimension.

    It changes with every part of the configuration that may change a vector.
    """
    shaping = {key: value for key, value in config.items() if key not in _REACHED_BY}
    if not shaping:
        return f"chroma/{function}"
    text = json.dumps(shaping, sort_keys=True, separators=(",", ":"))
    return f"chroma/{function}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _build(function: str, config: Mapping[str, Any]) -> Any:
    # Imported here: it takes 29 MB, which processes with another embedder do not need.
    from chromadb.utils.embedding_functions import (  # noqa: PLC0415
        known_embedding_functions,
    )

    function_class = known_embedding_functions.get(function)
    if function_class is None:
        raise StartupError(
            f"Chroma has no embedding function {function!r} (MEMORY_EMBEDDER=chroma:NAME); "
            f"it has {', '.join(sorted(known_embedding_functions))}."
        )
    try:
        return function_class.build_from_config(dict(config))
    except Exception as error:  # each vendor's function raises its own
        raise StartupError(
            f"The embedding function {function} cannot be made ({type(error).__name__}: {error}). "
            "Check MEMORY_EMBEDDER_CONFIG."
        ) from error


def _max_input_tokens(function: Any) -> int:
    max_tokens = getattr(function, "max_tokens", None)
    limit = max_tokens() if callable(max_tokens) else None
    # Many functions that have no limit of their own cut longer texts without an error.
    return limit if isinstance(limit, int) and limit > 0 else DEFAULT_MAX_INPUT_TOKENS
