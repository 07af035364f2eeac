"""`python -m eval plots` and `growth-plot`: write plots as SVG files, for the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from eval.console import complain, output_file
from eval.errors import EvaluationError, RunError
from eval.reports import charts
from eval.reports.charts import Part
from eval.runs.run_folder import RunFolder
from eval.runs.summary import ALL
from eval.systems.system import WITHOUT


def plots(
    run: Annotated[Path, typer.Argument(help="Folder of a run of all systems.")],
    out: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder for the files.")],
) -> None:
    """Write evidence.svg and ablation.svg: what is in a prompt, and what each part contributes.

    Both are of the held-back questions, where a run has any.
    """
    try:
        folder = RunFolder(run)
        side = _reported_side(folder)
        bars = charts.ablation(folder, sides=(side,))
        if not bars:
            raise RunError(f"{folder.path}: it has no system {WITHOUT}PART to plot")
        (out / "evidence.svg").write_text(charts.evidence(folder, side), encoding="utf-8")
        (out / "ablation.svg").write_text(bars, encoding="utf-8")
    except (EvaluationError, OSError) as error:
        raise complain("plots", error) from error


def growth_plot(
    measured: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON of growth.")],
    out: Annotated[Path, output_file("The SVG to write.")],
) -> None:
    """Draw recall, evidence and time against the size of the store."""
    try:
        result = json.loads(measured.read_text(encoding="utf-8"))
        out.write_text(charts.growth(result["sizes"]), encoding="utf-8")
    except (EvaluationError, OSError, ValueError, KeyError, TypeError) as error:
        raise complain("growth-plot", error) from error


def _reported_side(folder: RunFolder) -> Part:
    """Return the side that is held back, or all where no question is on it."""
    part = charts.metrics_of(folder, folder.systems[0], "held_back")
    return "held_back" if part["questions"] else ALL
