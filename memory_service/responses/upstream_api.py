"""Which upstreams have the Responses API: learned by asking them, and remembered for a while."""

from __future__ import annotations

import threading
from typing import Literal

from cachetools import TTLCache

from memory_service.core.protocols import UpstreamAnswer

ApiSetting = Literal["auto", "responses", "chat"]

_REMEMBERED_SECONDS = 600.0
_MAX_REMEMBERED = 10_000
_NO_ROUTE = frozenset({404, 405, 501})


class UpstreamApis:
    """Remembers servers that have only chat completions, by the server's name and the model."""

    def __init__(self, setting: ApiSetting) -> None:
        self._setting = setting
        self._lock = threading.Lock()
        self._chat_only: TTLCache[tuple[str, str | None], bool] = TTLCache(
            _MAX_REMEMBERED, _REMEMBERED_SECONDS
        )

    def may_have_responses(self, upstream: str, model: str | None) -> bool:
        """Return whether to ask a server for a response."""
        if self._setting != "auto":
            return self._setting == "responses"
        with self._lock:
            return (upstream, model) not in self._chat_only

    def refuses_route(
        self, answer: UpstreamAnswer, content: bytes, upstream: str, model: str | None
    ) -> bool:
        """Return whether an answer says that the server has no responses, and remember it.

        A 404 that names the model is about the model. Some servers answer unknown routes with 200
        and an error.
        """
        names_model = bool(model) and str(model).encode() in content
        is_refusal = answer.status in _NO_ROUTE and not names_model
        is_error = answer.status < 400 and b'"error"' in content and b'"output"' not in content
        if self._setting != "auto" or not (is_refusal or is_error):
            return False
        with self._lock:
            self._chat_only[upstream, model] = True
        return True
