"""Lists of models: what each upstream returns for `GET /models`, read and remembered.

A list that was read with a caller's own key is not remembered: it may hold that caller's models.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anyio
import structlog
from cachetools import TTLCache

from memory_service.core.errors import UpstreamDown
from memory_service.core.models import NO_CALLER_KEY, CallerKey
from memory_service.core.protocols import Upstream

logger = structlog.get_logger(__name__)

KEPT_SECONDS = 300.0
"""How long a list is used for finding the upstream of a model."""

FAILURE_KEPT_SECONDS = 15.0
"""How long an upstream whose list failed is not asked again for it."""

TIMEOUT_SECONDS = 5.0
"""How long an upstream may take for its list: a merged list waits for the slowest."""

_WITHOUT_A_LIST = frozenset({404, 405, 501})
_MAX_UPSTREAMS = 1_000


class ModelList(NamedTuple):
    """The models of an upstream as it lists them, or why there is no list."""

    models: Sequence[Mapping[str, Any]] = ()
    failure: str | None = None

    def has(self, model: str) -> bool:
        """Return whether a model is listed, also where the list has a longer name for it."""
        # Gemini lists `models/gemini-…`, Ollama `llama3.2:latest`.
        names = {model, f"models/{model}", f"{model}:latest"}
        return any(listed["id"] in names for listed in self.models)


class ModelListCache:
    """The lists of several upstreams, by the upstream's name.

    They are read in one event loop; other threads may use what is remembered.
    """

    def __init__(self) -> None:
        self._lists: TTLCache[str, ModelList] = TTLCache(_MAX_UPSTREAMS, KEPT_SECONDS)
        self._failures: TTLCache[str, ModelList] = TTLCache(_MAX_UPSTREAMS, FAILURE_KEPT_SECONDS)
        self._lock = threading.Lock()
        self._reading = anyio.Lock()

    def remembered(self, upstream: Upstream) -> ModelList | None:
        """Return the list that was read last, or its failure; None if neither is recent."""
        with self._lock:
            return self._lists.get(upstream.name) or self._failures.get(upstream.name)

    async def refresh(self, upstreams: Sequence[Upstream]) -> None:
        """Read the lists that are not remembered."""
        async with self._reading:
            missing = [upstream for upstream in upstreams if self.remembered(upstream) is None]
            if missing:
                await self.read(missing, NO_CALLER_KEY, {})

    async def read(
        self, upstreams: Sequence[Upstream], caller: CallerKey, headers: Mapping[str, str]
    ) -> Sequence[ModelList]:
        """Ask all upstreams at the same time and return their lists."""
        lists = [ModelList()] * len(upstreams)

        async def read_one(position: int, upstream: Upstream) -> None:
            lists[position] = await _read(upstream, caller, headers)

        async with anyio.create_task_group() as group:
            for position, upstream in enumerate(upstreams):
                group.start_soon(read_one, position, upstream)
        for upstream, model_list in zip(upstreams, lists, strict=True):
            if not upstream.uses_key_of(caller):
                self._remember(upstream, model_list)
        return lists

    def _remember(self, upstream: Upstream, model_list: ModelList) -> None:
        with self._lock:
            if model_list.failure is None:
                self._lists[upstream.name] = model_list
                self._failures.pop(upstream.name, None)
            else:
                # An upstream that is down for a moment keeps the models that it had.
                self._failures[upstream.name] = model_list


async def _read(upstream: Upstream, caller: CallerKey, headers: Mapping[str, str]) -> ModelList:
    with anyio.move_on_after(TIMEOUT_SECONDS):
        try:
            answer = await upstream.models(caller, headers)
            try:
                return _parsed(answer.status, await answer.read())
            finally:
                await answer.close()
        except UpstreamDown as error:
            logger.warning(
                "an upstream returned no list of models",
                upstream=upstream.name,
                error=error.message,
                code=error.code,
            )
            return ModelList(failure=error.code)
    return ModelList(failure="timeout")


def _parsed(status: int, content: bytes) -> ModelList:
    if status in _WITHOUT_A_LIST:
        return ModelList()
    if status != 200:
        return ModelList(failure=f"status {status}")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ModelList(failure="unreadable")
    data = body.get("data") if isinstance(body, dict) else body
    if not isinstance(data, list):
        return ModelList(failure="unreadable")
    return ModelList(
        [model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]
    )
