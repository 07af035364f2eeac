"""Cells, tables and sections in Markdown. Pure.

A mean comes with its 95 % interval; a lead whose interval excludes 0 is bold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MINUS = "\N{MINUS SIGN}"
_MARKUP = "\\|*_`<>[]&"

Metric = Mapping[str, Any]
"""A mean with its interval: `mean`, `low`, `high`, `unit`, `units`."""


def interval(metric: Metric | None) -> str:
    """Return a mean with its interval; empty if there is none."""
    if metric is None:
        return ""
    return f"{metric['mean']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def bare(metric: Metric | None) -> str:
    """Return a mean alone; empty if there is none."""
    return "" if metric is None else f"{metric['mean']:.3f}"


def average(values: Sequence[float]) -> str:
    """Return the mean of values; empty if there are none."""
    return f"{math.fsum(values) / len(values):.3f}" if values else ""


def lead(difference: Metric | None) -> str:
    """Return a difference with its interval; empty if there is none."""
    if difference is None:
        return ""
    mark = "**" if difference["low"] > 0 or difference["high"] < 0 else ""
    low, high = (signed(difference[name]) for name in ("low", "high"))
    return f"{mark}{signed(difference['mean'])}{mark} ({low} to {high})"


def signed(number: float) -> str:
    """Return a number with a plus or a minus sign; without a sign if it rounds to 0."""
    written = f"{number:+.3f}".replace("-", _MINUS)
    return "0.000" if written[1:] == "0.000" else written


def text(written: object) -> str:
    """Return the name of a set or a category, escaped so that it stays in its cell."""
    escaped = "".join(f"\\{char}" if char in _MARKUP else char for char in str(written))
    return " ".join(escaped.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Return a table whose first `words` columns are words, and the others numbers."""
    ruler = [*("---" for _ in head[:words]), *("---:" for _ in head[words:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ruler, *rows))


def section(title: str, *paragraphs: str) -> str:
    """Return a section; empty paragraphs are left out."""
    return "\n\n".join([f"### {title}", *(paragraph for paragraph in paragraphs if paragraph)])


def folded(title: str, body: str) -> str:
    """Return a section that opens on a click; empty if the body is."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" if body else ""
