"""The tables of `eval windows`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from eval.benchmarks.windows.evidence import EvidenceMeasurement
from eval.benchmarks.windows.reuse import ReuseMeasurement
from eval.benchmarks.windows.sizes import PromptSize

_SIZE_COLUMNS = ("budget", "recent tokens", "top-k")


def evidence_table(measurements: Sequence[EvidenceMeasurement], dataset: str) -> Table:
    """Return a row per size: the evidence in the prompts of a set's questions."""
    questions = measurements[0].questions
    shown = _table(f"{dataset}: {questions:,} questions", "gold in the prompt", "tokens")
    for measured in measurements:
        cells = (f"{measured.gold:.3f}", f"{measured.tokens:,.0f}")
        shown.add_row(*_size_cells(measured.size), *cells)
    return shown


def reuse_table(measurements: Sequence[ReuseMeasurement]) -> Table:
    """Return a row per size: what a provider reuses of a prompt, and what the prompt costs."""
    columns = ("tokens", "not reused", "unavoidable", "reused", "cost")
    shown = _table(f"Talk of {measurements[0].words} words a turn", *columns)
    for measured in measurements:
        shown.add_row(
            *_size_cells(measured.size),
            f"{measured.tokens:,.0f}",
            f"{measured.not_reused:,.0f}",
            f"{measured.unavoidable:,.0f}",
            f"{measured.reused_share:.0%}",
            f"{measured.cost:,.0f}",
        )
    return shown


def _table(title: str, *columns: str) -> Table:
    shown = Table(title=title)
    for column in (*_SIZE_COLUMNS, *columns):
        shown.add_column(column, justify="right")
    return shown


def _size_cells(size: PromptSize) -> list[str]:
    return [f"{size.budget:,}", f"{size.recent_tokens:,}", str(size.top_k)]
