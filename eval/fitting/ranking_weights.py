"""Weights fitted to examples, and their recall compared with that of the shipped ones. Pure.

The weights are fitted to the questions about tuned-on conversations (`eval.datasets.splits`), and
measured on those about held-back ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from eval.datasets.splits import SIDES, Side, side
from eval.errors import DatasetError
from eval.fitting import listwise
from eval.fitting.listwise import Column, RankingExample
from eval.fitting.ranking_examples import CHANNELS, DEPTH, FitPlan
from eval.json_files import Json
from eval.metrics import statistics

ExampleSets = Mapping[str, Sequence[RankingExample]]
"""The examples of each set, by its name."""


def fit_and_compare(sets: ExampleSets, plan: FitPlan) -> Json:
    """Return the weights, their recall, and the loss without each of the features.

    Raises DatasetError where no question is about a conversation that may be tuned on.
    """
    asked = {name: examples for name, examples in sets.items() if examples}
    if not asked:
        raise DatasetError(f"no question is ranked with the weights of {plan.profile}")
    chosen = _with_features(asked, plan.channels)
    weights = fit(chosen, plan)
    shipped = np.array([getattr(plan.profile.shipped, name) for name in plan.channels])
    return {
        "profile": plan.profile.value,
        "plan": asdict(plan) | {"skipped": sorted(plan.skipped)},
        "weights": dict(zip(plan.channels, weights.tolist(), strict=True)),
        "recall@10": {
            name: {
                of_side: _recall(_of_side(examples, of_side), weights, shipped, plan.seed)
                for of_side in SIDES
            }
            for name, examples in chosen.items()
        },
        "without": {
            feature: _recall_without(asked, plan, feature, weights) for feature in plan.channels
        },
    }


def fit(sets: ExampleSets, plan: FitPlan) -> Column:
    """Return the weights fitted to the tuned-on examples of the sets, each as often as it counts.

    Raises DatasetError if there are none.
    """
    tuned_on = {name: _of_side(examples, "tuned_on") for name, examples in sets.items()}
    if not any(tuned_on.values()):
        raise DatasetError("no question is about a conversation that may be tuned on")
    return listwise.fit(
        [examples for name, examples in tuned_on.items() for _ in range(plan.counts.get(name, 1))]
    )


def _of_side(examples: Sequence[RankingExample], of_side: Side) -> list[RankingExample]:
    """Return the examples about the conversations of one side."""
    return [example for example in examples if side(example.group) == of_side]


def _with_features(sets: ExampleSets, features: Sequence[str]) -> ExampleSets:
    """Return the examples with these features only."""
    columns = [CHANNELS.index(name) for name in features]
    return {
        name: [replace(example, features=example.features[:, columns]) for example in examples]
        for name, examples in sets.items()
    }


def _recall(
    examples: Sequence[RankingExample], weights: Column, shipped: Column, seed: int
) -> Json:
    """Return the number of questions and, if there are any, the recall of both sets of weights."""
    if not examples:
        return {"questions": 0}
    values = {
        "fitted": [example.recall(weights, DEPTH) for example in examples],
        "shipped": [example.recall(shipped, DEPTH) for example in examples],
    }
    intervals = statistics.intervals(values, [example.group for example in examples], seed=seed)
    numbers = {name: asdict(interval) for name, interval in intervals.items()}
    return {"questions": len(examples)} | numbers


def _recall_without(sets: ExampleSets, plan: FitPlan, feature: str, weights: Column) -> Json:
    """Return, by set, the change of held-back recall if fitted without a feature."""
    complete = _with_features(sets, plan.channels)
    reduced = _with_features(sets, [name for name in plan.channels if name != feature])
    reduced_weights = fit(reduced, plan)
    changes = {}
    for name in sets:
        before, after = _of_side(complete[name], "held_back"), _of_side(reduced[name], "held_back")
        if before:
            difference = statistics.difference(
                [example.recall(reduced_weights, DEPTH) for example in after],
                [example.recall(weights, DEPTH) for example in before],
                [example.group for example in before],
                seed=plan.seed,
            )
            changes[name] = asdict(difference)
    return changes
