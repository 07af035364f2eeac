"""The product: the real service's recall, whole or with a part left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.datasets import Dataset, Question, Turn
from eval.systems import PRODUCT, Found, stored
from memory_service.recall.ranking import ALL_COMPONENTS, Component
from memory_service.service import Service


class Product:
    """What `/v1/search` finds, and what a prompt is offered: that passes the floor of relevance."""

    def __init__(
        self, dataset: Dataset, service: Service, without: Component | None = None
    ) -> None:
        self.name = PRODUCT if without is None else name_without(without)
        self._project = service.local_project()
        components = ALL_COMPONENTS if without is None else ALL_COMPONENTS - {without}
        self._recaller = service.new_recaller(components)
        self._turns: Mapping[str, Turn] = {
            turn.id: turn for turns in dataset.conversations.values() for turn in turns
        }

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return the turns that the recall ranks first."""
        return self._found(question, depth, relevant_only=False)

    def for_prompt(self, question: Question, depth: int) -> Sequence[Found]:
        """Return nothing for a message that calls for no memory, else what a search finds."""
        return self._found(question, depth, relevant_only=True)

    def _found(self, question: Question, depth: int, *, relevant_only: bool) -> Sequence[Found]:
        recall = stored.recall(
            self._recaller, self._project, question, depth, relevant_only=relevant_only
        )
        return [
            Found(self._turns[stored.own_id(hit.turn.id)], hit.score, hit.start, hit.end)
            for hit in recall.hits
        ]


def name_without(part: Component) -> str:
    """Return the name of the product without a part."""
    return f"{PRODUCT}-without-{part.value}"
