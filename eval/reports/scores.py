"""Scores: one system's metrics, question by question, of a run or of a baseline kept from one.

A baseline is a small file of JSON lines: first what it is of, then a question a line. It is kept in
the repository, so that a change can be compared with the state before without asking again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.datasets.models import ADVERSARIAL
from eval.errors import RunError
from eval.json_files import read_lines, write_lines
from eval.runs.run_folder import RunFolder
from eval.runs.summary import SILENT, value

FORMAT = "memory_service.baseline/1"
METRICS = ("recall@10", "ndcg@10", "evidence@1000")
"""Kept of each question with gold; of one without, whether a prompt got nothing."""

_PLACES = 4


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores by question id and metric, and what they are of."""

    about: Mapping[str, Any]
    groups: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]


def read(path: Path, system: str) -> Scores:
    """Read a run's folder or a baseline; raises RunError if it is neither."""
    return of_run(RunFolder(path), system) if path.is_dir() else _of_baseline(path)


def of_run(run: RunFolder, system: str) -> Scores:
    """Return the scores of one of a run's systems, without adversarial questions."""
    groups: dict[str, str] = {}
    values: dict[str, dict[str, float]] = {}
    for line in run.answers(system):
        question = run.questions[line["id"]]
        if question["category"] == ADVERSARIAL:
            continue
        groups[line["id"]] = question["group"]
        if question["gold"]:
            values[line["id"]] = {name: _rounded(line, name) for name in METRICS}
        else:
            values[line["id"]] = {SILENT: float(line["silent"])}
    names = ("dataset", "dataset_hash", "counter", "commit", "dirty", "embedder")
    about = {"system": system, **{name: run.about[name] for name in names}}
    return Scores(about, groups, values)


def write_baseline(path: Path, scores: Scores) -> None:
    """Write scores as a baseline."""
    questions = [
        {"id": question_id, "group": scores.groups[question_id], **metrics}
        for question_id, metrics in scores.values.items()
    ]
    write_lines(path, [{"format": FORMAT, **scores.about}, *questions])


def _of_baseline(path: Path) -> Scores:
    lines = read_lines(path)
    if not lines or lines[0].get("format") != FORMAT:
        raise RunError(f"{path}: neither the folder of a run nor a baseline")
    about, *questions = lines
    groups = {line["id"]: line["group"] for line in questions}
    values = {
        line["id"]: {name: score for name, score in line.items() if name not in {"id", "group"}}
        for line in questions
    }
    return Scores(about, groups, values)


def _rounded(line: Mapping[str, Any], name: str) -> float:
    return round(value(line, name) or 0.0, _PLACES)
