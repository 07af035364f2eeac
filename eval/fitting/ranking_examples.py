"""Examples for the ranking: a set's questions, with the candidates that the service ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from enum import StrEnum

import numpy as np
from rich.progress import Progress

from eval.datasets.models import ADVERSARIAL, Dataset
from eval.fitting.listwise import RankingExample
from eval.systems import dataset_store
from memory_service.core.settings import Settings
from memory_service.recall import ranking
from memory_service.recall.ranking import Candidate, Component, RankedCandidate, Weights

DEPTH = 10
CHANNELS = tuple(weight.name for weight in fields(Weights))


class WeightsProfile(StrEnum):
    """Which weights: those among people, or with an assistant."""

    PEOPLE = "people"
    ASSISTANT = "assistant"

    @property
    def shipped(self) -> Weights:
        """Return the weights that the service has."""
        return ranking.AMONG_PEOPLE if self is WeightsProfile.PEOPLE else ranking.WITH_ASSISTANT


@dataclass(frozen=True, slots=True)
class FitPlan:
    """What is fitted: the features that the profile weighs, on all but the skipped categories.

    `counts` is the weight of a set that counts more than once.
    """

    profile: WeightsProfile
    skipped: frozenset[str] = frozenset({ADVERSARIAL})
    seed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> list[str]:
        """Return the names of the features, in their order."""
        return [name for name in CHANNELS if getattr(self.profile.shipped, name)]


def collect_examples(
    dataset: Dataset, plan: FitPlan, settings: Settings, progress: Progress
) -> list[RankingExample]:
    """Store a set and ask its questions; return those that are ranked with the profile's weights.

    Questions without gold, and of skipped categories, are not asked.
    """
    asked = [
        question
        for question in dataset.questions
        if question.gold and question.category not in plan.skipped
    ]
    with dataset_store.stored(dataset, settings, progress) as service:
        ranker = _RecordingRanker()
        recaller = service.new_recaller(rank=ranker.rank)
        examples = []
        for question in progress.track(asked, description=f"ask {dataset.name}"):
            ranker.candidates = ()
            dataset_store.recall(service, question, DEPTH, recaller=recaller)
            if ranking.weights_for(ranker.candidates) is plan.profile.shipped:
                gold = dataset_store.turn_keys(service, question.gold)
                examples.append(_example(dataset.group(question), ranker.candidates, gold))
    return examples


class _RecordingRanker:
    """Ranks as the service does, and keeps the candidates that were ranked last."""

    def __init__(self) -> None:
        self.candidates: Sequence[Candidate] = ()

    def rank(
        self, candidates: Sequence[Candidate], components: frozenset[Component]
    ) -> list[RankedCandidate]:
        self.candidates = candidates
        return ranking.rank(candidates, components)


def _example(group: str, candidates: Sequence[Candidate], gold: AbstractSet[int]) -> RankingExample:
    """Return all features of candidates, in the order in which the ranking breaks ties."""
    ordered = sorted(
        candidates,
        key=lambda candidate: (candidate.segment, candidate.position, candidate.turn_key),
    )
    columns = ranking.feature_columns(ordered)
    table = np.stack([columns[name] for name in CHANNELS], axis=1)
    newest_first = sorted(
        range(len(ordered)),
        key=lambda index: (-ordered[index].created_at, -ordered[index].turn_key),
    )
    is_gold = np.array([candidate.turn_key in gold for candidate in ordered], dtype=np.bool_)
    return RankingExample(group, table[newest_first], is_gold[newest_first], len(gold))
