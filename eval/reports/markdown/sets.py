"""The runs of one set: with vectors compared in memory, and perhaps one where Chroma compares them.

Numbers are reported on the held-back side; the tuned-on side is shown next to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.datasets.splits import SIDES
from eval.errors import RunError
from eval.metrics.ranking import NDCG_AT
from eval.reports.markdown import cells
from eval.reports.markdown.cells import Metric
from eval.runs.run_folder import RunFolder
from eval.runs.summary import ALL, REPORTED
from eval.systems.system import PRODUCT

RECALL = f"recall@{NDCG_AT}"
NDCG = f"ndcg@{NDCG_AT}"
EVIDENCE = "evidence@1000"
FEW = "†"
"""The mark of intervals over questions, where there are too few conversations."""
SIDE_NAMES = {"held_back": "held back", "tuned_on": "tuned on", ALL: "all"}
SIDES_SHOWN = tuple(reversed(SIDES))


@dataclass(frozen=True, slots=True)
class SetRuns:
    """The runs of one set's questions: `main`, and perhaps one that always asks Chroma."""

    main: RunFolder
    by_chroma: RunFolder | None

    @property
    def name(self) -> str:
        """The name in the tables: the set, and which of its questions."""
        about = self.main.about
        parts = [about["dataset"]]
        if about.get("only_category"):
            parts.append(f"{' and '.join(about['only_category'])} only")
        if about["skip_category"]:
            parts.append(f"without {' and '.join(about['skip_category'])}")
        if about["labels"]["paraphrases"]:
            parts.append("paraphrases too")
        if about["labels"]["audit_gold"]:
            parts.append("corrected labels")
        return cells.text(", ".join(parts))

    @property
    def systems(self) -> Mapping[str, Mapping[str, Any]]:
        """The metrics of each system."""
        systems: Mapping[str, Mapping[str, Any]] = self.main.metrics["systems"]
        return systems

    @property
    def baselines(self) -> list[str]:
        """The systems other than the product and its ablations."""
        return [name for name in self.main.systems if not name.startswith(PRODUCT)]

    def side(self, side: str) -> str:
        """Return the name of a side in a row of its own."""
        return f"{SIDE_NAMES[side]}{self.few(side)}"

    def few(self, side: str) -> str:
        """Return the mark of a part that has too few conversations to resample them."""
        metrics = self.systems[PRODUCT]
        part = metrics[REPORTED] if side == ALL else metrics["by_side"][side]
        recall = metric_of(part, RECALL)
        return FEW if recall is not None and recall["unit"] == "questions" else ""

    def lead(self, other: str, side: str, metric: str) -> Metric | None:
        """Return the product's lead over another system."""
        wanted = (other, side, metric)
        return next(
            (
                lead
                for lead in self.main.metrics["paired"]
                if (lead["other"], lead["side"], lead["metric"]) == wanted
            ),
            None,
        )


def metric_of(part: Mapping[str, Any] | None, name: str) -> Metric | None:
    """Return a metric of a part, or the evidence in a prompt; None if the part has no questions."""
    if part is None or not part["questions"]:
        return None
    kind, _, budget = name.partition("@")
    metric: Metric = (
        part["evidence"][budget]["gold"] if kind == "evidence" else part["metrics"][name]
    )
    return metric


def group_by_set(runs: Sequence[RunFolder]) -> list[SetRuns]:
    """Return the runs set by set; of two runs of one set, one must always ask Chroma.

    Raises RunError for runs that do not belong side by side.
    """
    groups: dict[tuple[Any, ...], list[RunFolder]] = {}
    for run in runs:
        if PRODUCT not in run.systems:
            raise RunError(f"{run.path}: the product is not in it, so there is nothing to show")
        groups.setdefault((run.about["dataset_hash"], tuple(run.questions)), []).append(run)
    return [_set_runs(group) for group in groups.values()]


def _set_runs(runs: Sequence[RunFolder]) -> SetRuns:
    ordered = sorted(runs, key=_exact_scan_max, reverse=True)
    if len(ordered) > 2 or (len(ordered) == 2 and _exact_scan_max(ordered[1]) != 0):
        paths = ", ".join(str(run.path) for run in runs)
        raise RunError(
            f"{paths} ask the same questions: one run of them is shown, and one with "
            "--exact-scan-max 0 beside it"
        )
    if len(ordered) == 2 and _exact_scan_max(ordered[0]) == 0:
        raise RunError(f"{ordered[0].path} and {ordered[1].path} both ask Chroma always")
    return SetRuns(ordered[0], ordered[1] if len(ordered) == 2 else None)


def _exact_scan_max(run: RunFolder) -> int:
    return int(run.about["settings"]["exact_scan_max"])
