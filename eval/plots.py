"""The plots of a report, as SVG: shapes and text, no script and nothing to load.

`python -m eval plots` writes the two that say most as files, for the README.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.console import complain, output_file
from eval.extras import extra
from eval.run_folder import RunError, RunFolder
from eval.splits import SIDES
from eval.summary import ALL, REPORTED
from eval.systems import PRODUCT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
_STYLE: Any = {
    "svg.fonttype": "none",
    # Ids of clip paths are hashes of this and the shape: the same plot has the same bytes.
    "svg.hashsalt": "memory_service",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    # A name with two dollar signs is no formula.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_LINK = re.compile(r' xmlns:(?:xlink|cc|dc|rdf)="[^"]*"')


def plots(
    run: Annotated[Path, typer.Argument(help="Folder of a run of all systems.")],
    out: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder for the files.")],
) -> None:
    """Write evidence.svg and ablation.svg: what is in a prompt, and what each part earns."""
    try:
        folder = RunFolder(run)
        (out / "evidence.svg").write_text(evidence(folder), encoding="utf-8")
        (out / "ablation.svg").write_text(ablation(folder), encoding="utf-8")
    except (RunError, OSError) as error:
        raise complain("plots", error) from error


def evidence(folder: RunFolder) -> str:
    """Return the share of gold turns in a prompt against its tokens, a line for each system."""
    systems = [name for name in folder.systems if not name.startswith(f"{PRODUCT}-")]
    budgets = folder.about["budgets"]

    def draw(axes: Axes) -> None:
        for number, system in enumerate(systems, start=1):
            prompts = folder.metrics["systems"][system][REPORTED]["evidence"]
            if not prompts:
                continue
            gold = [prompts[str(budget)]["gold"] for budget in budgets]
            colour = _COLOURS[0 if system == PRODUCT else 1 + number % (len(_COLOURS) - 1)]
            wide = 2.6 if system == PRODUCT else 1.4
            means = [one["mean"] for one in gold]
            axes.plot(budgets, means, "o-", color=colour, label=system, linewidth=wide)
            lows, highs = [one["low"] for one in gold], [one["high"] for one in gold]
            axes.fill_between(budgets, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.set_ylim(0, 1)
        axes.set_xlabel("tokens of the whole prompt")
        axes.set_ylabel("share of gold turns in it")
        axes.set_title(f"Evidence in the prompt: {folder.about['dataset']}")
        axes.legend(fontsize=8, loc="upper left")

    return _svg(draw)


def ablation(folder: RunFolder, metric: str = "recall@10") -> str:
    """Return what the product loses without each part, on both sides; empty without ablations."""
    found = {
        (one["other"].removeprefix(f"{PRODUCT}-without-"), one["side"]): one
        for one in folder.metrics["paired"]
        if one["metric"] == metric and one["other"].startswith(f"{PRODUCT}-without-")
    }
    parts = list(dict.fromkeys(part for part, _ in found))
    if not parts:
        return ""

    def draw(axes: Axes) -> None:
        height = 0.26
        for row, side in enumerate((ALL, *SIDES)):
            bars = [found.get((part, side)) for part in parts]
            places = [n + (row - 1) * height for n, one in enumerate(bars) if one]
            shown = [one for one in bars if one]
            means = [one["mean"] for one in shown]
            errors = [
                [one["mean"] - one["low"] for one in shown],
                [one["high"] - one["mean"] for one in shown],
            ]
            axes.barh(
                places,
                means,
                height,
                xerr=errors,
                color=_COLOURS[row],
                label=side.replace("_", " "),
                error_kw={"linewidth": 1, "ecolor": "#57606a"},
            )
        axes.axvline(0, color="#1b1f24", linewidth=1)
        axes.set_yticks(range(len(parts)), [part.replace("_", " ") for part in parts])
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric} lost without it, with 95 % interval")
        axes.set_title(f"What each part earns: {folder.about['dataset']}")
        axes.legend(fontsize=8, loc="lower right")

    return _svg(draw, height=1.4 + 0.6 * len(parts))


def latency(folders: Sequence[RunFolder]) -> str:
    """Return the median time of the product's recall against the turns where it looks."""

    def draw(axes: Axes) -> None:
        for number, folder in enumerate(folders):
            times = _times(folder)
            if times:
                axes.plot(
                    list(times),
                    list(times.values()),
                    "o",
                    color=_COLOURS[number % len(_COLOURS)],
                    label=folder.about["dataset"],
                    alpha=0.7,
                )
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(*_round_numbers(*axes.get_xlim()))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("turns where a question looks")
        axes.set_ylabel("one recall, median, ms")
        axes.set_title("Latency in process")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)

    return _svg(draw)


def growth_plot(
    measured: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSON of `python -m eval growth`.")
    ],
    out: Annotated[Path, output_file("The SVG to write.")],
) -> None:
    """Draw what becomes of recall, evidence and time while everything around grows."""
    found = json.loads(measured.read_text(encoding="utf-8"))
    out.write_text(growth(found["sizes"]), encoding="utf-8")


def growth(sizes: Sequence[Json]) -> str:
    """Return recall and evidence against size, and the median time of a search beside them."""

    def draw(axes: Axes) -> None:
        # Where both ways to compare vectors were measured, the default comes first.
        first = {one["size"]: one for one in reversed(sizes)}
        shown = [first[size] for size in sorted(first)]
        at = [one["size"] for one in shown]
        for number, (key, label) in enumerate(
            (("recall@10", "recall@10"), ("evidence@1000", "gold in a prompt of 1,000 tokens"))
        ):
            values = [one[key] for one in shown]
            axes.plot(at, values, "o-", color=_COLOURS[number], label=label)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(at, [f"{size:,}" for size in at])
        axes.set_ylim(0, 1)
        axes.set_xlabel("turns, or conversations, where a question looks")
        axes.set_ylabel("share of the gold turns")
        times = axes.twinx()
        medians = [one["search_ms"]["p50"] for one in shown]
        times.plot(at, medians, "s--", color=_COLOURS[2], label="search, median, ms")
        times.set_ylim(0, 1.3 * max(medians))
        times.set_ylabel("ms")
        times.grid(visible=False)
        lines = [*axes.get_lines(), *times.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="lower left")
        axes.set_title("Growth")

    return _svg(draw)


def _round_numbers(low: float, high: float) -> tuple[list[int], list[str]]:
    """Return 1, 2 and 5 times the powers of ten in a range, and how they are written."""
    ticks = [
        digit * 10**power
        for power in range(8)
        for digit in (1, 2, 5)
        if low <= digit * 10**power <= high
    ]
    return ticks, [f"{tick:,}" for tick in ticks]


def _times(folder: RunFolder) -> dict[int, float]:
    """Return the median milliseconds by the number of turns in scope."""
    if PRODUCT not in folder.systems:
        return {}
    seconds: dict[int, list[float]] = {}
    for line in folder.answers(PRODUCT):
        turns = folder.questions[line["id"]]["scope_turns"]
        seconds.setdefault(turns, []).append(line["seconds"])
    return {turns: 1000 * median(some) for turns, some in sorted(seconds.items())}


def _svg(draw: Callable[[Axes], None], height: float = 4.2) -> str:
    """Return what a function draws on axes, as an `<svg>` that names no other document."""
    with extra("matplotlib").rc_context(_STYLE):
        figure = extra("matplotlib.figure").Figure(figsize=(8, height), layout="constrained")
        draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=False)
    bare = _METADATA.sub("", _PROLOGUE.sub("", written.getvalue()))
    # matplotlib refers to its own glyphs and markers by xlink:href, which HTML reads as href.
    return _LINK.sub("", bare).replace("xlink:href", "href")
