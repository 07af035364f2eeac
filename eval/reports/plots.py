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
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from eval.console import complain, output_file
from eval.datasets.splits import SIDES
from eval.extras import extra
from eval.reports.summary import ALL, REPORTED
from eval.runs.run_folder import RunError, RunFolder
from eval.systems import PRODUCT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]
Part = Literal["all", "tuned_on", "held_back"]
"""Which of the reported questions."""

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#000000", "#56b4e9")
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
    """Write evidence.svg and ablation.svg: what is in a prompt, and what each part earns.

    Both are of what was held back, where a run has such questions.
    """
    try:
        folder = RunFolder(run)
        for name, plot in _of_readme(folder).items():
            (out / f"{name}.svg").write_text(plot, encoding="utf-8")
    except (RunError, OSError) as error:
        raise complain("plots", error) from error


def _of_readme(folder: RunFolder) -> dict[str, str]:
    """Return the two plots; raises RunError where a run has no ablations."""
    side = _reported_side(folder)
    bars = ablation(folder, sides=(side,))
    if not bars:
        raise RunError(f"{folder.path}: it has no system {PRODUCT}-without-PART to plot")
    return {"evidence": evidence(folder, side), "ablation": bars}


def evidence(folder: RunFolder, side: Part = ALL) -> str:
    """Return the share of gold turns in a prompt against its tokens, a line for each system."""
    systems = [name for name in folder.systems if not name.startswith(f"{PRODUCT}-")]
    budgets = folder.about["budgets"]

    def draw(axes: Axes) -> None:
        for number, system in enumerate(sorted(systems, key=lambda name: name != PRODUCT)):
            prompts = _part(folder, system, side)["evidence"]
            if not prompts:
                continue
            gold = [prompts[str(budget)]["gold"] for budget in budgets]
            colour = _COLOURS[number % len(_COLOURS)]
            wide = 2.6 if system == PRODUCT else 1.4
            means = [one["mean"] for one in gold]
            axes.plot(budgets, means, "o-", color=colour, label=system, linewidth=wide)
            lows, highs = [one["low"] for one in gold], [one["high"] for one in gold]
            axes.fill_between(budgets, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("tokens of the whole prompt")
        axes.set_ylabel("share of gold turns in it")
        _head(axes, folder, f"Evidence in the prompt: {folder.about['dataset']}", [side])
        axes.figure.legend(fontsize=8, loc="outside lower center", ncols=len(systems))

    return _svg(draw)


def ablation(
    folder: RunFolder, metric: str = "recall@10", sides: Sequence[Part] = (ALL, *SIDES)
) -> str:
    """Return what the product loses without each part, the most first; empty without ablations."""
    found = {
        (one["other"].removeprefix(f"{PRODUCT}-without-"), one["side"]): one
        for one in folder.metrics["paired"]
        if one["metric"] == metric and one["other"].startswith(f"{PRODUCT}-without-")
    }
    parts = [part for part, side in found if side == sides[0]]
    parts.sort(key=lambda part: -found[part, sides[0]]["mean"])
    if not parts:
        return ""

    def draw(axes: Axes) -> None:
        height = 0.78 / len(sides)
        for row, side in enumerate(sides):
            bars = [(n, found[part, side]) for n, part in enumerate(parts) if (part, side) in found]
            shift = (row - (len(sides) - 1) / 2) * height
            errors = [
                [one["mean"] - one["low"] for _, one in bars],
                [one["high"] - one["mean"] for _, one in bars],
            ]
            axes.barh(
                [n + shift for n, _ in bars],
                [one["mean"] for _, one in bars],
                height,
                xerr=errors,
                color=_COLOURS[row],
                label=side.replace("_", " "),
                error_kw={"linewidth": 1.2, "ecolor": "#1b1f24", "capsize": 2.5},
            )
        axes.axvline(0, color="#1b1f24", linewidth=1)
        axes.set_yticks(range(len(parts)), [part.replace("_", " ") for part in parts])
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric} lost without it (1 is all gold turns)")
        _head(axes, folder, f"What each part earns: {folder.about['dataset']}", sides)
        if len(sides) > 1:
            axes.legend(fontsize=8, loc="lower right")

    return _svg(draw, height=1.5 + (0.12 + 0.16 * len(sides)) * len(parts))


def _head(axes: Axes, folder: RunFolder, title: str, sides: Sequence[Part]) -> None:
    """Write above a plot what it shows, of which questions, and what its intervals are."""
    system = folder.systems[0] if PRODUCT not in folder.systems else PRODUCT
    said = []
    for side in sides:
        part = _part(folder, system, side)
        if part["questions"]:
            drawn = next(iter(part["metrics"].values()))
            unit = "conversations" if drawn["unit"] == "groups" else "questions"
            said.append(
                f"{side.replace('_', ' ')}: {part['questions']:,} questions, 95 % intervals "
                f"over {drawn['units']} {unit}"
            )
    axes.set_title(title, loc="left", pad=8 + 12 * len(said), fontweight="bold")
    axes.annotate(
        "\n".join(said),
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color="#57606a",
    )


def _part(folder: RunFolder, system: str, side: Part) -> dict[str, Any]:
    """Return the metrics of the reported questions, or of those on a side."""
    found = folder.metrics["systems"][system]
    part: dict[str, Any] = found[REPORTED] if side == ALL else found["by_side"][side]
    return part


def _reported_side(folder: RunFolder) -> Part:
    """Return the side that is held back, or all where nothing is on it."""
    return "held_back" if _part(folder, folder.systems[0], "held_back")["questions"] else ALL


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
