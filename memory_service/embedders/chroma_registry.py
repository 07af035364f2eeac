"""Embedding functions of Chroma's registry, by name; what they return is checked as a server's is.

A function is made only when its name is asked for: some fetch a model when they are first used.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from memory_service.core.errors import EmbedderDown, StartupError
from memory_service.core.models import Vector
from memory_service.embedders.checks import (
    PROBE,
    Limits,
    batches,
    filled,
    token_counts,
    unit_vectors,
)

DEFAULT_MAX_INPUT_TOKENS = 512
"""For functions that say nothing of it. Many cut what is too long without a word."""

_MAX_CALLS = 8
"""Calls at a time. One that hangs keeps its place for ever: a thread cannot be stopped."""

_REACHED_BY = frozenset({"api_base", "api_key", "api_key_env_var", "api_url", "timeout", "url"})
"""What of a configuration says how a model is reached, and nothing of its vectors."""


class ChromaFunctionEmbedder:
    """One function of the registry, with the limits that a function does not have itself."""

    embeds_with_write = False

    def __init__(
        self,
        function: str,
        config: Mapping[str, Any],
        limits: Limits,
        *,
        dimension: int | None = None,
    ) -> None:
        """Make the function, and ask it once for its dimension if nobody knows that."""
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
        asked = filled(texts)
        counts = token_counts(asked, self._limits.counter, self._max_input_tokens)
        found: dict[int, Vector] = {}
        for batch in batches(counts, self._limits.batch):
            found |= self._embed({position: asked[position] for position in batch})
        return [found.get(position) for position in range(len(texts))]

    def embed_query(
        self,
        text: str,
        weights: Sequence[tuple[int, int, float]] = (),  # noqa: ARG002  # no access to tokens
    ) -> Vector | None:
        """Return the vector of a query, or None for a blank one; gives up early."""
        asked = filled([text])
        token_counts(asked, self._limits.counter, self._max_input_tokens)
        if not asked:
            return None
        # Some models embed a question in another way than a text that answers it.
        rows = self._call(
            lambda: self._function.embed_query(list(asked.values())),
            self._limits.query_timeout_seconds,
        )
        return unit_vectors(rows, list(asked), self._expected_dimension)[0]

    def word_vectors(self, words: Sequence[str]) -> None:
        """Return None: single words are not asked for."""

    def close(self) -> None:
        """Do nothing: functions have no end of their own."""

    def _probe(self) -> int:
        return len(self._embed({0: PROBE})[0])

    def _embed(self, texts: Mapping[int, str]) -> dict[int, Vector]:
        rows = self._call(
            lambda: self._function(list(texts.values())), self._limits.timeout_seconds
        )
        return unit_vectors(rows, list(texts), self._expected_dimension)

    def _call(self, ask: Callable[[], Any], seconds: float) -> list[Any]:
        """Return what a call of the function returns within a time limit."""
        if not self._places.acquire(timeout=seconds):
            raise EmbedderDown(f"{self._label} is busy with {_MAX_CALLS} calls that do not end.")
        result: Future[list[Any]] = Future()
        threading.Thread(
            target=self._answer, args=(ask, result), name="embedding-function", daemon=True
        ).start()
        try:
            return result.result(timeout=seconds)
        except TimeoutError as error:
            raise EmbedderDown(f"{self._label} did not answer within {seconds:.3g} s.") from error

    def _answer(self, ask: Callable[[], Any], result: Future[list[Any]]) -> None:
        try:
            result.set_result(list(ask()))
        except Exception as error:  # noqa: BLE001  # each vendor's function raises its own
            # Only the kind: a message may repeat the texts.
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
    # At the top it would take 29 MB of each process that has another embedder.
    from chromadb.utils.embedding_functions import (  # noqa: PLC0415
        known_embedding_functions,
    )

    known = known_embedding_functions.get(function)
    if known is None:
        raise StartupError(
            f"Chroma has no embedding function {function!r} (MEMORY_EMBEDDER=chroma:NAME); "
            f"it has {', '.join(sorted(known_embedding_functions))}."
        )
    try:
        return known.build_from_config(dict(config))
    except Exception as error:  # each vendor's function raises its own
        raise StartupError(
            f"The embedding function {function} cannot be made ({type(error).__name__}: {error}). "
            "Check MEMORY_EMBEDDER_CONFIG."
        ) from error


def _max_input_tokens(function: Any) -> int:
    own = getattr(function, "max_tokens", None)
    said = own() if callable(own) else None
    return said if isinstance(said, int) and said > 0 else DEFAULT_MAX_INPUT_TOKENS
