"""The system `product`: the real service's recall, complete or without one part of its ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.systems import dataset_store
from eval.systems.ids import dataset_id
from eval.systems.system import PRODUCT, WITHOUT, RetrievedTurn
from memory_service.recall.ranking import ALL_COMPONENTS, Component
from memory_service.service import Service


class Product:
    """The turns that `/v1/search` finds; a prompt is offered those above the relevance floor."""

    def __init__(
        self, dataset: Dataset, service: Service, without: Component | None = None
    ) -> None:
        self.name = PRODUCT if without is None else name_without(without)
        self._service = service
        parts = ALL_COMPONENTS if without is None else ALL_COMPONENTS - {without}
        self._recaller = service.new_recaller(parts)
        self._turns: Mapping[str, DatasetTurn] = {
            turn.id: turn for turns in dataset.conversations.values() for turn in turns
        }

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the turns that the recall ranks first."""
        return self._recall(question, depth, relevant_only=False)

    def for_prompt(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the relevant turns; none for a message that calls for no memory."""
        return self._recall(question, depth, relevant_only=True)

    def _recall(
        self, question: Question, depth: int, *, relevant_only: bool
    ) -> Sequence[RetrievedTurn]:
        recall = dataset_store.recall(
            self._service, question, depth, recaller=self._recaller, relevant_only=relevant_only
        )
        return [
            RetrievedTurn(self._turns[dataset_id(hit.turn.id)], hit.score, hit.start, hit.end)
            for hit in recall.hits
        ]


def name_without(part: Component) -> str:
    """Return the name of the product without a part."""
    return f"{WITHOUT}{part.value}"
