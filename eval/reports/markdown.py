"""Runs as Markdown tables: what a reader of the documentation sees. Pure, but for reading runs.

What is reported is held back; what was tuned on stands beside it. A mean comes with its 95 %
interval; `†` marks the parts whose intervals are over questions, their conversations being too few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.datasets.splits import SIDES
from eval.metrics import statistics
from eval.metrics.ranking import CUT_AT, MRR, NDCG_AT
from eval.reports.summary import ADVERSARIAL, ALL, REPORTED, SILENT, reported, value
from eval.runs.run_folder import RunError, RunFolder
from eval.systems import PRODUCT

RECALL = f"recall@{NDCG_AT}"
NDCG = f"ndcg@{NDCG_AT}"
EVIDENCE = "evidence@1000"
BESIDE = ("bm25", "dense-local")
"""The systems that the product is compared with in so many words."""
FOUND = (*(f"recall@{k}" for k in CUT_AT), NDCG, MRR)
WITHOUT = f"{PRODUCT}-without-"
FEW = "†"
_MINUS = "\N{MINUS SIGN}"

_SIDE_NAMES = {"held_back": "held back", "tuned_on": "tuned on", ALL: "all"}
_SIDES = tuple(reversed(SIDES))

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SetOfRuns:
    """The runs of one set's questions: with vectors in memory, and perhaps with those of Chroma."""

    main: RunFolder
    by_index: RunFolder | None

    @property
    def name(self) -> str:
        """What stands in the tables: the set, and which of its questions."""
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
        return _text(", ".join(parts))

    @property
    def systems(self) -> Mapping[str, Json]:
        """The metrics of each system."""
        found: Mapping[str, Json] = self.main.metrics["systems"]
        return found

    @property
    def baselines(self) -> list[str]:
        """The systems that are no part of the product."""
        return [name for name in self.main.systems if not name.startswith(PRODUCT)]

    def side(self, side: str) -> str:
        """Return what a side is called in a row of its own."""
        return f"{_SIDE_NAMES[side]}{self.few(side)}"

    def few(self, side: str) -> str:
        """Return the mark of a part that has too few conversations to resample them."""
        found = self.systems[PRODUCT]
        part = found[REPORTED] if side == ALL else found["by_side"][side]
        one = _mean(part, RECALL)
        return FEW if one is not None and one["unit"] == "questions" else ""

    def lead(self, other: str, side: str, metric: str) -> Json | None:
        """Return what the product has ahead of another system."""
        wanted = (other, side, metric)
        return next(
            (
                one
                for one in self.main.metrics["paired"]
                if (one["other"], one["side"], one["metric"]) == wanted
            ),
            None,
        )


def render(runs: Sequence[RunFolder], growths: Sequence[Json] = ()) -> str:
    """Return all tables; raises RunError for runs that do not belong side by side."""
    sets = together(runs)
    parts = [
        _made_of(runs),
        _glance(sets),
        _leads(sets),
        _ablations(sets, "held_back"),
        _folded("The same where it was tuned on", _ablations(sets, "tuned_on")),
        _both_ways(sets),
        *(_folded(f"{one.name}: every metric of every system", _full(one)) for one in sets),
        *map(_growth, growths),
    ]
    return "\n\n".join(part for part in parts if part)


def together(runs: Sequence[RunFolder]) -> list[SetOfRuns]:
    """Return the runs set by set; of two of one set, one must ask Chroma always."""
    found: dict[tuple[Any, ...], list[RunFolder]] = {}
    for run in runs:
        if PRODUCT not in run.systems:
            raise RunError(f"{run.path}: the product is not in it, so there is nothing to show")
        found.setdefault((run.about["dataset_hash"], tuple(run.questions)), []).append(run)
    return [_paired_up(same) for same in found.values()]


def _paired_up(runs: Sequence[RunFolder]) -> SetOfRuns:
    ways = sorted(runs, key=_exact_scan_max, reverse=True)
    if len(ways) > 2 or (len(ways) == 2 and _exact_scan_max(ways[1]) != 0):
        paths = ", ".join(str(run.path) for run in runs)
        raise RunError(
            f"{paths} ask the same questions: one run of them is shown, and one with "
            "--exact-scan-max 0 beside it"
        )
    if len(ways) == 2 and _exact_scan_max(ways[0]) == 0:
        raise RunError(f"{ways[0].path} and {ways[1].path} both ask Chroma always")
    return SetOfRuns(ways[0], ways[1] if len(ways) == 2 else None)


def _exact_scan_max(run: RunFolder) -> int:
    return int(run.about["settings"]["exact_scan_max"])


def _made_of(runs: Sequence[RunFolder]) -> str:
    """Return what the numbers were taken on, and how to read them."""
    commits = sorted({f"{(run.about['commit'] or 'no commit')[:10]}" for run in runs})
    changed = " with uncommitted changes" if any(run.about["dirty"] for run in runs) else ""
    counters = " and ".join(sorted({_text(run.about["counter"]) for run in runs}))
    days = sorted({run.about["measured_at"][:10] for run in runs})
    return (
        f"Measured at {', '.join(commits)}{changed}, {' and '.join({days[0], days[-1]})}; prompts "
        f"counted by {counters}. In brackets: 95 % intervals over conversations; where a part has "
        f"fewer than {statistics.MIN_GROUPS} ({FEW}), over questions: they say how sure the mean "
        "of these conversations is, not what others would give. "
        "Adversarial questions are left out. **Bold** differences have an interval beside 0."
    )


def _glance(sets: Sequence[SetOfRuns]) -> str:
    systems = (PRODUCT, *BESIDE)
    head = ["set", "side", "questions", f"{NDCG}<br>{PRODUCT}"]
    head += [f"{RECALL}<br>{name}" for name in systems]
    head += [f"{EVIDENCE}<br>{name}" for name in systems]
    rows = []
    for one in sets:
        for side in _SIDES:
            found = {name: part["by_side"][side] for name, part in one.systems.items()}
            number = found[PRODUCT]["questions"]
            if not number:
                continue
            cells = [one.name, one.side(side), f"{number:,}", _bare(_mean(found[PRODUCT], NDCG))]
            for metric in (RECALL, EVIDENCE):
                cells.append(_interval(_mean(found[PRODUCT], metric)))
                cells += [_bare(_mean(found.get(name), metric)) for name in BESIDE]
            rows.append(cells)
    return _section(
        "At a glance",
        "Gold turns among the first ten, and in a prompt of 1,000 tokens that every system fills.",
        _table(head, rows, words=2),
    )


def _leads(sets: Sequence[SetOfRuns]) -> str:
    metrics = (RECALL, NDCG, EVIDENCE)
    rows = [
        [one.name, other, one.side(side), *(_lead(one.lead(other, side, m)) for m in metrics)]
        for one in sets
        for other in BESIDE
        for side in _SIDES
        if one.lead(other, side, RECALL)
    ]
    return _section(
        "What the product has ahead",
        "Paired, question by question.",
        _table(["set", "over", "side", *metrics], rows, words=3),
    )


def _ablations(sets: Sequence[SetOfRuns], side: str) -> str:
    shown = [one for one in sets if any(name.startswith(WITHOUT) for name in one.systems)]
    others = dict.fromkeys(
        name for one in shown for name in one.systems if name.startswith(WITHOUT)
    )
    if not others:
        return ""
    columns = [one for one in shown if any(one.lead(name, side, RECALL) for name in others)]
    rows = [
        [
            name.removeprefix(WITHOUT).replace("_", " "),
            *(_lead(one.lead(name, side, RECALL)) for one in columns),
        ]
        for name in others
    ]
    head = ["part", *(f"{one.name}{one.few(side)}" for one in columns)]
    table = _table(head, rows, words=1)
    floor = _floor(shown, side)
    if side != "held_back":
        return f"{table}\n\n{floor}"
    return _section(
        "What each part earns",
        f"What {RECALL} loses without it, on what was held back.",
        table,
        floor,
    )


def _floor(sets: Sequence[SetOfRuns], side: str) -> str:
    """Return what the floor of relevance earns: it changes no ranking, only what is silent."""
    said = [
        f"{one.name} {_lead(lead)}"
        for one in sets
        if (lead := one.lead(f"{WITHOUT}floor", side, SILENT))
    ]
    if not said:
        return ""
    return f"The floor changes no ranking; in rightful silence it earns {'; '.join(said)}."


def _both_ways(sets: Sequence[SetOfRuns]) -> str:
    rows = []
    for one in sets:
        if one.by_index is None:
            continue
        memory, index = (_by_question(run) for run in (one.main, one.by_index))
        groups = [one.main.questions[name]["group"] for name in memory]
        cells = [f"{one.name}{one.few(ALL)}", f"{len(memory):,}"]
        for metric in (RECALL, EVIDENCE):
            first, second = (
                [value(lines[name], metric) or 0.0 for name in memory] for lines in (memory, index)
            )
            lead = statistics.difference(second, first, groups, seed=int(one.main.about["seed"]))
            cells += [f"{math.fsum(some) / len(some):.3f}" for some in (first, second)]
            cells.append(_lead(asdict(lead)))
        rows.append(cells)
    if not rows:
        return ""
    head = ["set", "questions"]
    for metric in (RECALL, EVIDENCE):
        head += [f"{metric}<br>in memory", "Chroma", "difference"]
    return _section(
        "Both ways to compare vectors",
        "`MEMORY_EXACT_SCAN_MAX` as it is, and 0: Chroma answers every query of vectors.",
        _table(head, rows, words=1),
    )


def _by_question(run: RunFolder) -> dict[str, Json]:
    pairs = [(run.questions[line["id"]], line) for line in run.answers(PRODUCT)]
    return {line["id"]: line for _, line in reported(pairs)}


def _full(one: SetOfRuns) -> str:
    """Return all that was measured of a set but the ablations."""
    names = [PRODUCT, *one.baselines]
    parts = [(name, side) for side in _SIDES for name in names]
    kept = [(n, s, part) for n, s in parts if (part := one.systems[n]["by_side"][s])["questions"]]
    found = [
        [name, one.side(side), *(_interval(part["metrics"][m]) for m in FOUND)]
        for name, side, part in kept
    ]
    budgets = [str(budget) for budget in one.main.about["budgets"]]
    prompts = [
        [
            name,
            one.side(side),
            *(_interval(part["evidence"][budget]["gold"]) for budget in budgets),
        ]
        for name, side, part in kept
    ]
    tokens = [f"{int(budget):,}" for budget in budgets]
    return "\n\n".join(
        part
        for part in (
            _table(["system", "side", *FOUND], found, words=2),
            "Evidence in a prompt of so many tokens:",
            _table(["system", "side", *tokens], prompts, words=2),
            _silence(one),
            _categories(one),
            _official(one),
        )
        if part
    )


def _silence(one: SetOfRuns) -> str:
    """Return how often the product offers nothing to a prompt, rightly and wrongly."""
    rows = []
    for side in _SIDES:
        found = one.systems[PRODUCT]["silent_by_side"][side]
        parts = [found["without_gold"], found["with_gold"]]
        if any(part["questions"] for part in parts):
            cells = [
                cell
                for part in parts
                for cell in (f"{part['questions']:,}", _interval(part["share"]))
            ]
            rows.append([one.side(side), *cells])
    head = ["nothing offered to a prompt", "without gold", "rightly", "with gold", "wrongly"]
    return _table(head, rows, words=1)


def _categories(one: SetOfRuns) -> str:
    """Return the product's recall by category, on all questions and on each side."""
    beside = [name for name in BESIDE if name in one.systems]
    sides: dict[tuple[str, str], list[float]] = {}
    for line in one.main.answers(PRODUCT):
        question = one.main.questions[line["id"]]
        if line["metrics"]:
            key = (question["category"], question["side"])
            sides.setdefault(key, []).append(line["metrics"][RECALL])
    rows = []
    for category, part in one.systems[PRODUCT]["by_category"].items():
        others = [one.systems[name]["by_category"][category] for name in beside]
        rows.append(
            [
                _text(category) + (" (apart)" if category == ADVERSARIAL else ""),
                f"{part['questions']:,}",
                _interval(part["metrics"][RECALL]),
                *(_average(sides.get((category, side), ())) for side in _SIDES),
                *(_bare(other["metrics"][RECALL]) for other in others),
                _bare(part["metrics"][NDCG]),
            ]
        )
    head = ["category", "questions", f"{RECALL}<br>{PRODUCT}"]
    head += [*(_SIDE_NAMES[side] for side in _SIDES), *beside, f"{NDCG}<br>{PRODUCT}"]
    return _table(head, rows, words=1)


def _official(one: SetOfRuns) -> str:
    """Return what is counted as the set's authors count, where a set knows that."""
    found = {name: part["official"] for name, part in one.systems.items() if "official" in part}
    if PRODUCT not in found:
        return ""
    number = found[PRODUCT]["questions"]
    metrics = [name for name in found[PRODUCT]["metrics"] if name.endswith(("@5", "@10"))]
    names = [PRODUCT, *(name for name in one.baselines if name in found)]
    rows = [
        [_text(metric), *(f"{found[name]['metrics'][metric]:.3f}" for name in names)]
        for metric in metrics
    ]
    return f"As its authors count ({number:,} questions):\n\n" + _table(
        ["metric", *names], rows, words=1
    )


def _growth(result: Json) -> str:
    """Return what `python -m eval growth` wrote, a row for each size and mode."""
    many = result["plan"]["layout"] == "many"
    rows = [
        [
            f"{one['size']:,}",
            "Chroma" if one["exact_scan_max"] < one["passages"] else "in memory",
            f"{one[RECALL]:.3f}",
            f"{one[EVIDENCE]:.3f}",
            *(
                " / ".join(f"{one[stage][name]:.1f}" for name in ("p50", "p99"))
                for stage in ("search_ms", "context_ms")
            ),
            "-" if one["memory"] is None else f"{one['memory']['rss_bytes'] / 1e6:,.0f}",
            f"{one['disk_bytes']['total'] / 1e6:,.0f}",
        ]
        for one in result["sizes"]
    ]
    head = ["conversations" if many else "turns", "vectors", RECALL, EVIDENCE]
    head += ["search, ms", "context, ms", "memory, MB", "disk, MB"]
    where = "in ever more conversations of one user" if many else "in one conversation"
    number = max((one["questions"] for one in result["sizes"]), default=0)
    return _section(
        f"Growth {where}",
        f"{number:,} questions of {_text(result['dataset']['name'])}; times: p50 / p99.",
        _table(head, rows, words=2),
    )


def _mean(part: Json | None, metric: str) -> Json | None:
    """Return the interval of a metric, or of the evidence in a prompt; None where it is not."""
    if part is None or not part["questions"]:
        return None
    kind, _, budget = metric.partition("@")
    found: Json = (
        part["evidence"][budget]["gold"] if kind == "evidence" else part["metrics"][metric]
    )
    return found


def _interval(one: Json | None) -> str:
    if one is None:
        return ""
    return f"{one['mean']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _bare(one: Json | None) -> str:
    return "" if one is None else f"{one['mean']:.3f}"


def _average(values: Sequence[float]) -> str:
    return f"{math.fsum(values) / len(values):.3f}" if values else ""


def _lead(one: Json | None) -> str:
    if one is None:
        return ""
    mark = "**" if one["low"] > 0 or one["high"] < 0 else ""
    low, high = (signed(one[name]) for name in ("low", "high"))
    return f"{mark}{signed(one['mean'])}{mark} ({low} to {high})"


def signed(number: float) -> str:
    """Return a number with its sign: a minus that is one, and none before what rounds to 0."""
    written = f"{number:+.3f}".replace("-", _MINUS)
    return "0.000" if written[1:] == "0.000" else written


def _text(written: object) -> str:
    """Return the name of a set or a category so that it stays in its cell, and no markup."""
    plain = "".join(f"\\{sign}" if sign in "\\|*_`<>[]&" else sign for sign in str(written))
    return " ".join(plain.split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Return a table whose first `words` columns are words, and the others numbers."""
    ruler = [*("---" for _ in head[:words]), *("---:" for _ in head[words:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ruler, *rows))


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"### {title}", *(one for one in paragraphs if one)])


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" if body else ""
