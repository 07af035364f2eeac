"""Charts as SVG text: shapes and text, no script and nothing to load."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eval.extras import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#000000", "#56b4e9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

_STYLE: Any = {
    "svg.fonttype": "none",
    # Ids of clip paths are hashes of this and the shape: the same plot has the same bytes.
    "svg.hashsalt": "memory_service",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    # A name with two dollar signs is not a formula.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_LINK = re.compile(r' xmlns:(?:xlink|cc|dc|rdf)="[^"]*"')


def svg(draw: Callable[[Axes], None], height: float = 4.2) -> str:
    """Return what a function draws on axes, as an `<svg>` that names no other document.

    `height` is in inches; the width is 8.
    """
    with extra("matplotlib").rc_context(_STYLE):
        figure = extra("matplotlib.figure").Figure(figsize=(8, height), layout="constrained")
        draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=False)
    bare = _METADATA.sub("", _PROLOGUE.sub("", written.getvalue()))
    # matplotlib refers to its own glyphs and markers by xlink:href, which HTML reads as href.
    return _LINK.sub("", bare).replace("xlink:href", "href")
