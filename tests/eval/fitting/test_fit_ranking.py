"""`python -m eval fit-ranking`: the weights fit the sets, and no held-back question is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from eval.datasets import own
from eval.datasets.models import Dataset
from eval.datasets.splits import SIDES
from eval.errors import DatasetError
from eval.fitting import listwise
from eval.fitting.listwise import RankingExample
from eval.fitting.ranking_examples import (
    CHANNELS,
    FitPlan,
    WeightsProfile,
    collect_examples,
)
from eval.fitting.ranking_weights import fit, fit_and_compare
from eval.retrieval import recall
from memory_service.core.settings import load_settings
from tests.support.evaluation_set import checked, evaluate, write

PLAN = FitPlan(WeightsProfile.ASSISTANT)


def random_examples(seed: int, group: str, questions: int = 30) -> list[RankingExample]:
    """Return questions whose gold turn mostly has the largest first of three features."""
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(questions, 12, 3))
    best = np.argmax(tables[:, :, 0] + 0.5 * rng.normal(size=(questions, 12)), axis=1)
    return [
        RankingExample(group, table, np.arange(12) == at, 1)
        for table, at in zip(tables, best.tolist(), strict=True)
    ]


def mean_recall(
    examples: Sequence[RankingExample], weights: Sequence[float], depth: int = 1
) -> float:
    return float(np.mean([example.recall(np.array(weights), depth) for example in examples]))


@given(st.integers(0, 2**32))
def test_informative_feature_gets_weight(seed: int) -> None:
    # With 30 questions, another feature fits as well in one of 1,500 draws.
    examples = random_examples(seed, "a", questions=200)
    weights = listwise.fit([examples])
    assert weights[0] > 3 * abs(weights[1:]).max()
    assert mean_recall(examples, weights.tolist()) > mean_recall(examples, [0.0, 0.0, 0.0])


def test_large_features_are_fitted() -> None:
    examples = [
        replace(example, features=100 * example.features) for example in random_examples(0, "a")
    ]
    assert mean_recall(examples, listwise.fit([examples]).tolist()) > 0.5


def test_sets_count_equally() -> None:
    few, many = random_examples(1, "a", 20), random_examples(2, "b", 20)
    many = [replace(example, features=-example.features) for example in many] * 20
    assert abs(listwise.fit([few, many])[0]) < 0.5


def test_fit_needs_gold() -> None:
    lost = [
        replace(example, gold=np.zeros(12, dtype=np.bool_)) for example in random_examples(0, "a")
    ]
    with pytest.raises(DatasetError, match="no question has a gold turn"):
        listwise.fit([lost])


def test_held_back_examples_are_not_fitted() -> None:
    tuned_on, held_back = random_examples(4, "a"), random_examples(3, "c")
    turned = [replace(example, features=-example.features) for example in held_back]
    alone, with_held_back = fit({"one": tuned_on}, PLAN), fit({"one": [*tuned_on, *turned]}, PLAN)
    assert alone.tolist() == with_held_back.tolist()


def test_fit_needs_tuned_on_examples() -> None:
    with pytest.raises(DatasetError, match="no question is about a conversation that may be"):
        fit({"one": random_examples(5, "conv-26"), "two": random_examples(6, "tmd-26")}, PLAN)


@pytest.fixture(scope="module")
def small_dataset() -> Dataset:
    whole = own.load()
    names = list(whole.conversations)[:4]
    return Dataset(
        "part",
        {name: whole.conversations[name] for name in names},
        [
            question
            for question in whole.questions
            if question.conversation in names and question.gold
        ],
    )


@pytest.fixture(scope="module")
def small_examples(
    small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> list[RankingExample]:
    settings = load_settings(log_level="warning", data_dir=tmp_path_factory.mktemp("fit"))
    with Progress(disable=True) as progress:
        return collect_examples(small_dataset, PLAN, settings, progress)


def test_fitted_weights_beat_single_channels(
    small_examples: list[RankingExample],
) -> None:
    weights = fit_and_compare({"part": small_examples}, PLAN)["weights"]
    fitted = [weights.get(name, 0.0) for name in CHANNELS]
    for alone in ("vector", "words"):
        single = [float(name == alone) for name in CHANNELS]
        assert mean_recall(small_examples, fitted, 5) > mean_recall(small_examples, single, 5)


def test_fit_is_deterministic(small_examples: list[RankingExample]) -> None:
    assert fit_and_compare({"part": small_examples}, PLAN) == fit_and_compare(
        {"part": small_examples}, PLAN
    )


def test_shipped_weights_rank_like_service(
    small_dataset: Dataset, small_examples: list[RankingExample]
) -> None:
    with Progress(disable=True) as progress:
        answers = recall.measure(small_dataset, small_dataset.questions, load_settings(), progress)
    expected = recall.summarise(small_dataset, answers)["metrics"]["recall@10"]
    sides = fit_and_compare({"part": small_examples}, PLAN)["recall@10"]["part"].values()
    shipped = sum(side["questions"] * side["shipped"]["mean"] for side in sides) / len(
        small_examples
    )
    assert shipped == pytest.approx(expected)


def test_command_shows_and_writes_weights(tmp_path: Path) -> None:
    _, _, *files = write(tmp_path)
    out = tmp_path / "fit.json"
    shown = checked("fit-ranking", "--profile", "people", *files, "--json-out", str(out)).stdout
    result = json.loads(out.read_text())
    sides = result["recall@10"]["small"]
    assert [sides[side]["questions"] for side in SIDES] == [1, 3]
    assert (
        set(result["weights"])
        == set(result["without"])
        == set(FitPlan(WeightsProfile.PEOPLE).channels)
    )
    assert all(name in shown for name in ("speaker", "shipped", "held_back", "small"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--docs", __file__], "each --docs needs a --queries"),
        (["--profile", "robots"], "'robots' is not one of"),
    ],
)
def test_wrong_option_is_explained(options: list[str], complaint: str) -> None:
    result = evaluate("fit-ranking", "--profile", "people", *options)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_set_named_twice_counts_twice(tmp_path: Path) -> None:
    _, _, *files = write(tmp_path)
    out = tmp_path / "fit.json"
    checked("fit-ranking", "--profile", "people", *files, *files, "--json-out", str(out))
    result = json.loads(out.read_text())
    assert result["plan"]["counts"] == {"small": 2}
    assert result["recall@10"]["small"]["held_back"]["questions"] == 3


def test_count_moves_weights_towards_set() -> None:
    first, second = random_examples(7, "a"), random_examples(8, "b")
    sets = {
        "one": first,
        "other": [replace(example, features=-example.features) for example in second],
    }
    even, weighted = (
        mean_recall(first, fit(sets, replace(PLAN, counts={"one": count})).tolist())
        for count in (1, 5)
    )
    assert weighted > even


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    _, _, *files = write(tmp_path)
    (tmp_path / "other").mkdir()
    _, _, docs, turns, *questions = write(tmp_path / "other")
    Path(turns).write_text(Path(turns).read_text().replace("kayak", "canoe"))
    result = evaluate("fit-ranking", "--profile", "people", *files, docs, turns, *questions)
    assert result.exit_code == 1
    assert result.stderr.startswith("fit-ranking: two sets are called small")


def test_set_of_other_profile_is_refused(tmp_path: Path) -> None:
    result = evaluate("fit-ranking", "--profile", "assistant", *write(tmp_path)[2:])
    assert result.exit_code == 1
    assert (
        result.stderr.strip() == "fit-ranking: no question is ranked with the weights of assistant"
    )
