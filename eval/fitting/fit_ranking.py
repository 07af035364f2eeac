"""`python -m eval fit-ranking`: the ranking's weights, fitted to sets, beside the shipped ones.

A set is stored in the real service, and its questions are asked; what the ranking was given for
each is kept. The weights are fitted to the questions about the conversations that may be tuned on
(`eval.splits`), and rank those about the others, which they never saw. The table that
`memory_service/recall/ranking.py` holds was made so: print, round, paste, run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from eval.console import complain, input_file, output_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question, jsonl, own, splits
from eval.datasets.splits import SIDES
from eval.fitting import listwise
from eval.fitting.listwise import Column, Example
from eval.metrics import statistics
from eval.runs import provenance
from eval.runs.recall import ADVERSARIAL
from eval.systems import stored
from memory_service.commands.terminal import harmless, stdout
from memory_service.core import logs
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings, load_settings
from memory_service.recall import ranking
from memory_service.recall.ranking import Candidate, Component, RankedCandidate, Weights
from memory_service.service import Service

DEPTH = 10
CHANNELS = tuple(one.name for one in fields(Weights))

_PACKAGES = ("memory_service", "numpy", "wordllama")

Json = dict[str, Any]
Sets = Mapping[str, Sequence[Example]]
"""The examples of each set, by its name."""


class Profile(StrEnum):
    """Which weights: those among people, or with an assistant."""

    PEOPLE = "people"
    ASSISTANT = "assistant"

    @property
    def shipped(self) -> Weights:
        """Return the weights that the service has."""
        return ranking.AMONG_PEOPLE if self is Profile.PEOPLE else ranking.WITH_ASSISTANT


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fitted: the channels that the profile weighs, on all but skipped categories.

    `counts` says how often a set counts that counts more than once.
    """

    profile: Profile
    skipped: frozenset[str] = frozenset({ADVERSARIAL})
    seed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> list[str]:
        """Return the names of the channels, in their order."""
        return [name for name in CHANNELS if getattr(self.profile.shipped, name)]


def fit_ranking(
    profile: Annotated[Profile, typer.Option(help="The weights to fit.")],
    docs: Annotated[list[Path] | None, input_file("Turns; repeat it for more sets.")] = None,
    queries: Annotated[list[Path] | None, input_file("Its questions, in the same order.")] = None,
    bundled: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--own", help="The bundled set too; alone without --docs.")
    ] = False,
    skip_category: Annotated[
        list[str] | None, typer.Option(help="Leave its questions out; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' resamples.")] = 0,
    json_out: Annotated[Path | None, output_file("File for the result, as JSON.")] = None,
) -> None:
    """Fit the weights of the ranking and compare them with the shipped ones."""
    if len(docs or ()) != len(queries or ()):
        raise typer.BadParameter("each --docs needs a --queries")
    skipped = frozenset({ADVERSARIAL, *(skip_category or ())})
    try:
        settings = load_settings(log_level="warning")
        logs.configure(settings.log_format, settings.log_level)
        loaded = [jsonl.load(*files) for files in zip(docs or (), queries or (), strict=True)]
        if bundled or not loaded:
            loaded.append(own.load())
        plan = Plan(profile, skipped, seed, dict(Counter(one.name for one in loaded)))
        chosen = _by_name(loaded)
        with progress_bar() as progress:
            found = {name: examples(one, plan, settings, progress) for name, one in chosen.items()}
        result = measure(found, plan)
    except (DatasetError, stored.MeasurementError, ServiceError, OSError) as error:
        raise complain("fit-ranking", error) from error
    if json_out is not None:
        read = {name: one.fingerprint() for name, one in chosen.items()}
        provenance.write_json(
            json_out, {**result, "sha256": read, **provenance.provenance(_PACKAGES)}
        )
    show(result)


def _by_name(loaded: Sequence[Dataset]) -> dict[str, Dataset]:
    """Return each set once; raises DatasetError if two have one name."""
    found: dict[str, Dataset] = {}
    for one in loaded:
        if found.setdefault(one.name, one).fingerprint() != one.fingerprint():
            raise DatasetError(f"two sets are called {one.name}: rename the files of one")
    return found


def examples(dataset: Dataset, plan: Plan, settings: Settings, progress: Progress) -> list[Example]:
    """Ask a set's questions; return those whose candidates are ranked with the profile's weights.

    Questions without gold, and of skipped categories, are not asked.
    """
    asked = [one for one in dataset.questions if one.gold and one.category not in plan.skipped]
    with stored.stored(dataset, settings, progress) as service:
        watch = _Watch()
        recaller = service.new_recaller(rank=watch.rank)
        kept = []
        for question in progress.track(asked, description=f"ask {dataset.name}"):
            watch.candidates = ()
            stored.recall(recaller, service.local_project(), question, DEPTH)
            if ranking.weights_for(watch.candidates) is plan.profile.shipped:
                gold = _gold_keys(service, question)
                kept.append(example(dataset.group(question), watch.candidates, gold))
    return kept


class _Watch:
    """Ranks as the service does, and keeps what was ranked last."""

    def __init__(self) -> None:
        self.candidates: Sequence[Candidate] = ()

    def rank(
        self, candidates: Sequence[Candidate], components: frozenset[Component]
    ) -> list[RankedCandidate]:
        self.candidates = candidates
        return ranking.rank(candidates, components)


def _gold_keys(service: Service, question: Question) -> set[int]:
    """Return the keys of the gold turns."""
    with service.log.read() as snapshot:
        turns = snapshot.turns.by_ids(service.local_project(), map(stored.legal_id, question.gold))
    return {turn.key for turn in turns.values()}


def example(group: str, candidates: Sequence[Candidate], gold: AbstractSet[int]) -> Example:
    """Return all channels of candidates, in the order in which the ranking breaks ties."""
    ordered = sorted(candidates, key=lambda one: (one.segment, one.position, one.turn_key))
    columns = ranking.feature_columns(ordered)
    table = np.stack([columns[name] for name in CHANNELS], axis=1)
    newest = sorted(
        range(len(ordered)), key=lambda at: (-ordered[at].created_at, -ordered[at].turn_key)
    )
    is_gold = np.array([one.turn_key in gold for one in ordered], dtype=np.bool_)
    return Example(group, table[newest], is_gold[newest], len(gold))


def measure(found: Sets, plan: Plan) -> Json:
    """Return the weights, what they reach, and what is lost without each of the channels.

    Raises DatasetError where no question is about a conversation that may be tuned on.
    """
    asked = {name: some for name, some in found.items() if some}
    if not asked:
        raise DatasetError(f"no question is ranked with the weights of {plan.profile}")
    chosen = _only(asked, plan.channels)
    weights = fit(chosen, plan)
    shipped = np.array([getattr(plan.profile.shipped, name) for name in plan.channels])
    return {
        "profile": plan.profile.value,
        "plan": asdict(plan) | {"skipped": sorted(plan.skipped)},
        "weights": dict(zip(plan.channels, weights.tolist(), strict=True)),
        "recall@10": {
            name: {one: _recall(of_side(some, one), weights, shipped, plan.seed) for one in SIDES}
            for name, some in chosen.items()
        },
        "without": {one: _without(asked, plan, one, weights) for one in plan.channels},
    }


def of_side(some: Sequence[Example], side: splits.Side) -> list[Example]:
    """Return the examples about the conversations of one side."""
    return [one for one in some if splits.side(one.group) == side]


def _only(sets: Sets, channels: Sequence[str]) -> Sets:
    """Return the examples with these channels as their features."""
    places = [CHANNELS.index(name) for name in channels]
    return {
        name: [replace(one, features=one.features[:, places]) for one in some]
        for name, some in sets.items()
    }


def _recall(some: Sequence[Example], weights: Column, shipped: Column, seed: int) -> Json:
    """Return the number of questions and, if there are any, the intervals of two ways to weigh."""
    if not some:
        return {"questions": 0}
    values = {
        "fitted": [one.recall(weights, DEPTH) for one in some],
        "shipped": [one.recall(shipped, DEPTH) for one in some],
    }
    spread = statistics.intervals(values, [one.group for one in some], seed=seed)
    return {"questions": len(some)} | {key: asdict(one) for key, one in spread.items()}


def _without(sets: Sets, plan: Plan, channel: str, weights: Column) -> Json:
    """Return by set what fitting without a channel adds to the recall of what is held back."""
    whole = _only(sets, plan.channels)
    others = _only(sets, [name for name in plan.channels if name != channel])
    fewer = fit(others, plan)
    found = {}
    for name in sets:
        before, after = of_side(whole[name], "held_back"), of_side(others[name], "held_back")
        if before:
            difference = statistics.difference(
                [one.recall(fewer, DEPTH) for one in after],
                [one.recall(weights, DEPTH) for one in before],
                [one.group for one in before],
                seed=plan.seed,
            )
            found[name] = asdict(difference)
    return found


def fit(sets: Sets, plan: Plan) -> Column:
    """Return the weights of what may be tuned on in the sets, each as often as it counts.

    Raises DatasetError if there is nothing of that kind.
    """
    tuned_on = {name: of_side(some, "tuned_on") for name, some in sets.items()}
    if not any(tuned_on.values()):
        raise DatasetError("no question is about a conversation that may be tuned on")
    return listwise.fit(
        [some for name, some in tuned_on.items() for _ in range(plan.counts.get(name, 1))]
    )


def show(result: Json) -> None:
    """Print the weights, what they reach, and what is lost without a channel."""
    shipped = Profile(result["profile"]).shipped
    weights = Table("channel", title=f"Weights: {result['profile']}")
    without = Table("channel", title="Change of recall@10, held back, if fitted without")
    recall = Table("set", "side", title="recall@10", caption="fitted to what is tuned_on alone")
    _add_numbers(weights, "fitted", "shipped")
    sets = [name for name, part in result["recall@10"].items() if part["held_back"]["questions"]]
    _add_numbers(without, *map(harmless, sets))
    _add_numbers(recall, "questions", "fitted", "shipped")
    for name, weight in result["weights"].items():
        weights.add_row(name, f"{weight:.2f}", f"{getattr(shipped, name):.2f}")
    for name, found in result["without"].items():
        without.add_row(name, *(_with_interval(found[one], "+") for one in sets))
    for name, sides in result["recall@10"].items():
        for side, part in sides.items():
            numbers = [_with_interval(part[key]) for key in ("fitted", "shipped") if key in part]
            recall.add_row(harmless(name), side, f"{part['questions']:,}", *numbers)
    stdout().print(weights, recall, *([without] if sets else []))


def _add_numbers(table: Table, *names: str | Text) -> None:
    for name in names:
        table.add_column(name, justify="right")


def _with_interval(part: Json, sign: str = "") -> str:
    mean, low, high = (format(part[name], f"{sign}.3f") for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
