"""Ask upstreams for their lists of models in the background, to learn context windows.

No request waits for it. A local server may be started again with another window, or load a model at
its first request: it is asked for each model, and again after some time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import anyio.to_thread
from cachetools import TLRUCache

from memory_service.core.protocols import ListKind, ModelLists
from memory_service.tokens.context_window import ContextWindow
from memory_service.upstreams.listed_windows import listed_windows
from memory_service.upstreams.windows import ContextWindows, ModelKey

NEARBY_SECONDS: Final = 600.0
PUBLIC_SECONDS: Final = 86_400.0
"""How long an answer counts, also that there is none."""

_MAX_MODELS = 1_000


class WindowProbe:
    """Asks for lists of models in tasks of the running event loop. `lists` are by upstream."""

    def __init__(self, windows: ContextWindows, lists: Mapping[str, ModelLists]) -> None:
        self._windows = windows
        self._lists = lists
        self._asked: TLRUCache[ModelKey, float] = TLRUCache(
            _MAX_MODELS, ttu=lambda _, seconds, now: now + seconds
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def ask_soon(self, key: ModelKey) -> None:
        """Ask for the list with a model, unless that was done lately. Needs a running loop."""
        lists = self._lists.get(key.upstream)
        if lists is None:
            return
        subject = key if lists.is_nearby else key._replace(model="")
        if subject in self._asked:
            return
        self._asked[subject] = NEARBY_SECONDS if lists.is_nearby else PUBLIC_SECONDS
        task = asyncio.create_task(self._ask(key, lists))
        # The loop itself holds tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for everything that is being asked."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cancel what is being asked, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lists in self._lists.values():
            await lists.close()

    async def _ask(self, key: ModelKey, lists: ModelLists) -> None:
        """Ask for one list after the other, until one states the window of the model."""
        for kind in lists.kinds:
            content = await lists.fetch(kind)
            if content is not None and await anyio.to_thread.run_sync(
                self._learn, key, content, kind
            ):
                return

    def _learn(self, key: ModelKey, content: bytes, kind: ListKind) -> bool:
        return key.model in learn_listed(self._windows, key.upstream, content, kind)


def learn_listed(
    windows: ContextWindows, upstream: str, content: bytes, kind: ListKind = "openai"
) -> Mapping[str, int]:
    """Learn the windows that a list of models states, and return them."""
    listed = listed_windows(content, kind)
    for model, tokens in listed.items():
        windows.learn(ModelKey(upstream, model), ContextWindow(tokens, "list"))
    return listed
