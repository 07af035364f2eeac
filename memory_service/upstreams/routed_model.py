"""The chat model of several upstreams: each model is asked where the table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memory_service.core.errors import ChatModelRefused
from memory_service.core.models import ModelAnswer
from memory_service.core.protocols import ChatModel
from memory_service.upstreams.table import UpstreamTable


class RoutedChatModel:
    """Asks the upstream of a model; `models` are the upstreams that may be asked, by name."""

    def __init__(self, table: UpstreamTable, models: Mapping[str, ChatModel]) -> None:
        self._table = table
        self._models = models

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Return the model's answer; raises ChatModelRefused if no upstream may be asked for it."""
        route = self._table.remembered_route(model)
        chosen = None if route is None else self._models.get(route.upstream.name)
        if route is None or chosen is None:
            raise ChatModelRefused(
                "No upstream that may be asked has the model. Name it in MEMORY_UPSTREAMS, and give"
                " the upstream a key."
            )
        return chosen.answer(messages, model=route.model or model, max_tokens=max_tokens)

    def close(self) -> None:
        """Close the models of all upstreams."""
        for model in self._models.values():
            model.close()
