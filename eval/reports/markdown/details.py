"""Every metric of one set: of all systems, on each side, by category, and by its authors' way."""

from __future__ import annotations

from collections import defaultdict

from eval.datasets.models import ADVERSARIAL
from eval.metrics.ranking import CUT_AT, MRR
from eval.reports.markdown import cells
from eval.reports.markdown.sections import OTHERS
from eval.reports.markdown.sets import NDCG, RECALL, SIDE_NAMES, SIDES_SHOWN, SetRuns
from eval.systems.system import PRODUCT

METRICS = (*(f"recall@{k}" for k in CUT_AT), NDCG, MRR)


def full(runs: SetRuns) -> str:
    """Return everything that was measured of a set, except the ablations."""
    parts = [_rankings(runs), _evidence(runs), _silence(runs), _categories(runs), _official(runs)]
    return "\n\n".join(part for part in parts if part)


def _systems_and_sides(runs: SetRuns) -> list[tuple[str, str]]:
    """Return the systems on each side that has questions."""
    return [
        (name, side)
        for side in SIDES_SHOWN
        for name in (PRODUCT, *runs.baselines)
        if runs.systems[name]["by_side"][side]["questions"]
    ]


def _rankings(runs: SetRuns) -> str:
    rows = []
    for name, side in _systems_and_sides(runs):
        metrics = runs.systems[name]["by_side"][side]["metrics"]
        rows.append([name, runs.side(side), *(cells.interval(metrics[m]) for m in METRICS)])
    return cells.table(["system", "side", *METRICS], rows, words=2)


def _evidence(runs: SetRuns) -> str:
    budgets = [str(budget) for budget in runs.main.about["budgets"]]
    rows = []
    for name, side in _systems_and_sides(runs):
        evidence = runs.systems[name]["by_side"][side]["evidence"]
        shares = [cells.interval(evidence[budget]["gold"]) for budget in budgets]
        rows.append([name, runs.side(side), *shares])
    head = ["system", "side", *(f"{int(budget):,}" for budget in budgets)]
    return f"Evidence in a prompt of so many tokens:\n\n{cells.table(head, rows, words=2)}"


def _silence(runs: SetRuns) -> str:
    """Return how often the product offers nothing to a prompt, rightly and wrongly."""
    rows = []
    for side in SIDES_SHOWN:
        silent = runs.systems[PRODUCT]["silent_by_side"][side]
        parts = [silent["without_gold"], silent["with_gold"]]
        if any(part["questions"] for part in parts):
            row = [runs.side(side)]
            for part in parts:
                row += [f"{part['questions']:,}", cells.interval(part["share"])]
            rows.append(row)
    head = ["nothing offered to a prompt", "without gold", "rightly", "with gold", "wrongly"]
    return cells.table(head, rows, words=1)


def _categories(runs: SetRuns) -> str:
    """Return the product's recall by category, on all questions and on each side."""
    others = [name for name in OTHERS if name in runs.systems]
    recall = _recall_by_category_and_side(runs)
    rows = []
    for category, part in runs.systems[PRODUCT]["by_category"].items():
        of_others = [runs.systems[name]["by_category"][category] for name in others]
        rows.append(
            [
                cells.text(category) + (" (apart)" if category == ADVERSARIAL else ""),
                f"{part['questions']:,}",
                cells.interval(part["metrics"][RECALL]),
                *(cells.average(recall.get((category, side), [])) for side in SIDES_SHOWN),
                *(cells.bare(other["metrics"][RECALL]) for other in of_others),
                cells.bare(part["metrics"][NDCG]),
            ]
        )
    head = ["category", "questions", f"{RECALL}<br>{PRODUCT}"]
    head += [*(SIDE_NAMES[side] for side in SIDES_SHOWN), *others, f"{NDCG}<br>{PRODUCT}"]
    return cells.table(head, rows, words=1)


def _recall_by_category_and_side(runs: SetRuns) -> dict[tuple[str, str], list[float]]:
    recall: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for line in runs.main.answers(PRODUCT):
        question = runs.main.questions[line["id"]]
        if line["metrics"]:
            recall[question["category"], question["side"]].append(line["metrics"][RECALL])
    return dict(recall)


def _official(runs: SetRuns) -> str:
    """Return what is counted as the set's authors count, where a set knows that."""
    official = {
        name: metrics["official"] for name, metrics in runs.systems.items() if "official" in metrics
    }
    if PRODUCT not in official:
        return ""
    number = official[PRODUCT]["questions"]
    metrics = [name for name in official[PRODUCT]["metrics"] if name.endswith(("@5", "@10"))]
    names = [PRODUCT, *(name for name in runs.baselines if name in official)]
    rows = [
        [cells.text(metric), *(f"{official[name]['metrics'][metric]:.3f}" for name in names)]
        for metric in metrics
    ]
    table = cells.table(["metric", *names], rows, words=1)
    return f"As its authors count ({number:,} questions):\n\n{table}"
