"""All tables of runs and growth measurements, as one piece of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.metrics import statistics
from eval.reports.markdown import cells, details, sections
from eval.reports.markdown.sets import FEW, group_by_set
from eval.runs.run_folder import RunFolder


def render(runs: Sequence[RunFolder], growths: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return all tables; raises RunError for runs that do not belong side by side."""
    sets = group_by_set(runs)
    parts = [
        _introduction(runs),
        sections.glance(sets),
        sections.leads(sets),
        sections.ablations(sets, "held_back"),
        cells.folded("The same where it was tuned on", sections.ablations(sets, "tuned_on")),
        sections.both_modes(sets),
        *(
            cells.folded(
                f"{runs_of_set.name}: every metric of every system", details.full(runs_of_set)
            )
            for runs_of_set in sets
        ),
        *map(sections.growth, growths),
    ]
    return "\n\n".join(part for part in parts if part)


def _introduction(runs: Sequence[RunFolder]) -> str:
    """Return what the numbers were taken on, and how to read them."""
    commits = sorted({f"{(run.about['commit'] or 'no commit')[:10]}" for run in runs})
    changed = " with uncommitted changes" if any(run.about["dirty"] for run in runs) else ""
    counters = " and ".join(sorted({cells.text(run.about["counter"]) for run in runs}))
    days = sorted({run.about["measured_at"][:10] for run in runs})
    return (
        f"Measured at {', '.join(commits)}{changed}, {' and '.join({days[0], days[-1]})}; prompts "
        f"counted by {counters}. In brackets: 95 % intervals over conversations; where a part has "
        f"fewer than {statistics.MIN_GROUPS} ({FEW}), over questions: such an interval says how "
        "sure the mean of these conversations is, not what other conversations would give. "
        "Adversarial questions are left out. **Bold** differences have an interval that excludes 0."
    )
