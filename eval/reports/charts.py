"""The charts of a report: evidence, ablations, latency and growth, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from eval.datasets.splits import SIDES
from eval.json_files import Json
from eval.reports.svg import COLOURS, svg
from eval.runs.run_folder import RunFolder
from eval.runs.summary import ALL, REPORTED
from eval.systems.system import PRODUCT, WITHOUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Part = Literal["all", "tuned_on", "held_back"]
"""Which of the reported questions."""

_DARK = "#1b1f24"
_GREY = "#57606a"
_GROWTH_LINES = {"recall@10": "recall@10", "evidence@1000": "gold in a prompt of 1,000 tokens"}


def metrics_of(folder: RunFolder, system: str, side: Part) -> Json:
    """Return a system's metrics of the reported questions, or of those on a side."""
    metrics = folder.metrics["systems"][system]
    part: Json = metrics[REPORTED] if side == ALL else metrics["by_side"][side]
    return part


def evidence(folder: RunFolder, side: Part = ALL) -> str:
    """Return the share of gold turns in a prompt against its tokens, a line for each system."""
    systems = [name for name in folder.systems if not name.startswith(f"{PRODUCT}-")]
    budgets = folder.about["budgets"]

    def draw(axes: Axes) -> None:
        for number, system in enumerate(sorted(systems, key=lambda name: name != PRODUCT)):
            prompts = metrics_of(folder, system, side)["evidence"]
            if not prompts:
                continue
            gold = [prompts[str(budget)]["gold"] for budget in budgets]
            colour = COLOURS[number % len(COLOURS)]
            width = 2.6 if system == PRODUCT else 1.4
            means = [metric["mean"] for metric in gold]
            axes.plot(budgets, means, "o-", color=colour, label=system, linewidth=width)
            lows = [metric["low"] for metric in gold]
            highs = [metric["high"] for metric in gold]
            axes.fill_between(budgets, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("tokens of the whole prompt")
        axes.set_ylabel("share of gold turns in it")
        _set_title(axes, folder, f"Evidence in the prompt: {folder.about['dataset']}", [side])
        axes.figure.legend(fontsize=8, loc="outside lower center", ncols=len(systems))

    return svg(draw)


def ablation(
    folder: RunFolder, metric: str = "recall@10", sides: Sequence[Part] = (ALL, *SIDES)
) -> str:
    """Return what the product loses without each part, the most first; empty without ablations."""
    losses = {
        (lead["other"].removeprefix(WITHOUT), lead["side"]): lead
        for lead in folder.metrics["paired"]
        if lead["metric"] == metric and lead["other"].startswith(WITHOUT)
    }
    parts = [part for part, side in losses if side == sides[0]]
    parts.sort(key=lambda part: -losses[part, sides[0]]["mean"])
    if not parts:
        return ""

    def draw(axes: Axes) -> None:
        height = 0.78 / len(sides)
        for row, side in enumerate(sides):
            shift = (row - (len(sides) - 1) / 2) * height
            bars = {
                index + shift: losses[part, side]
                for index, part in enumerate(parts)
                if (part, side) in losses
            }
            _draw_bars(axes, bars, height, COLOURS[row], side.replace("_", " "))
        axes.axvline(0, color=_DARK, linewidth=1)
        axes.set_yticks(range(len(parts)), [part.replace("_", " ") for part in parts])
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric} lost without it (1 is all gold turns)")
        _set_title(axes, folder, f"What each part earns: {folder.about['dataset']}", sides)
        if len(sides) > 1:
            axes.legend(fontsize=8, loc="lower right")

    return svg(draw, height=1.5 + (0.12 + 0.16 * len(sides)) * len(parts))


def _draw_bars(
    axes: Axes, bars: Mapping[float, Json], height: float, colour: str, label: str
) -> None:
    """Draw horizontal bars with their intervals, by vertical position."""
    errors = [
        [metric["mean"] - metric["low"] for metric in bars.values()],
        [metric["high"] - metric["mean"] for metric in bars.values()],
    ]
    axes.barh(
        list(bars),
        [metric["mean"] for metric in bars.values()],
        height,
        xerr=errors,
        color=colour,
        label=label,
        error_kw={"linewidth": 1.2, "ecolor": _DARK, "capsize": 2.5},
    )


def _set_title(axes: Axes, folder: RunFolder, title: str, sides: Sequence[Part]) -> None:
    """Write above a plot what it shows, of which questions, and what its intervals are."""
    system = PRODUCT if PRODUCT in folder.systems else folder.systems[0]
    lines = []
    for side in sides:
        part = metrics_of(folder, system, side)
        if part["questions"]:
            drawn = next(iter(part["metrics"].values()))
            unit = "conversations" if drawn["unit"] == "groups" else "questions"
            lines.append(
                f"{side.replace('_', ' ')}: {part['questions']:,} questions, 95 % intervals "
                f"over {drawn['units']} {unit}"
            )
    axes.set_title(title, loc="left", pad=8 + 12 * len(lines), fontweight="bold")
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color=_GREY,
    )


def latency(folders: Sequence[RunFolder]) -> str:
    """Return the median time of the product's recall against the turns of a question's scope."""

    def draw(axes: Axes) -> None:
        for number, folder in enumerate(folders):
            times = _median_ms_by_turns(folder)
            if times:
                axes.plot(
                    list(times),
                    list(times.values()),
                    "o",
                    color=COLOURS[number % len(COLOURS)],
                    label=folder.about["dataset"],
                    alpha=0.7,
                )
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(*_round_ticks(*axes.get_xlim()))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("turns in the scope of a question")
        axes.set_ylabel("one recall, median, ms")
        axes.set_title("Latency in process")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)

    return svg(draw)


def _median_ms_by_turns(folder: RunFolder) -> dict[int, float]:
    """Return the median milliseconds of a recall by the number of turns in scope."""
    if PRODUCT not in folder.systems:
        return {}
    seconds: dict[int, list[float]] = {}
    for line in folder.answers(PRODUCT):
        turns = folder.questions[line["id"]]["scope_turns"]
        seconds.setdefault(turns, []).append(line["seconds"])
    return {turns: 1000 * median(values) for turns, values in sorted(seconds.items())}


def _round_ticks(low: float, high: float) -> tuple[list[int], list[str]]:
    """Return 1, 2 and 5 times the powers of ten in a range, and their labels."""
    ticks = [
        digit * 10**power
        for power in range(8)
        for digit in (1, 2, 5)
        if low <= digit * 10**power <= high
    ]
    return ticks, [f"{tick:,}" for tick in ticks]


def growth(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Return recall, evidence and the median time of a search, against size."""

    def draw(axes: Axes) -> None:
        # Where both ways to compare vectors were measured, the default comes first.
        by_size = {measured["size"]: measured for measured in reversed(sizes)}
        shown = [by_size[size] for size in sorted(by_size)]
        x = [measured["size"] for measured in shown]
        for number, (key, label) in enumerate(_GROWTH_LINES.items()):
            values = [measured[key] for measured in shown]
            axes.plot(x, values, "o-", color=COLOURS[number], label=label)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(x, [f"{size:,}" for size in x])
        axes.set_ylim(0, 1)
        axes.set_xlabel("turns, or conversations, where a question looks")
        axes.set_ylabel("share of the gold turns")
        _draw_times(axes, x, [measured["search_ms"]["p50"] for measured in shown])
        axes.set_title("Growth")

    return svg(draw)


def _draw_times(axes: Axes, x: Sequence[int], medians: Sequence[float]) -> None:
    """Draw times on an axis of their own, and the legend of all lines."""
    times = axes.twinx()
    times.plot(x, medians, "s--", color=COLOURS[2], label="search, median, ms")
    times.set_ylim(0, 1.3 * max(medians))
    times.set_ylabel("ms")
    times.grid(visible=False)
    lines = [*axes.get_lines(), *times.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="lower left")
