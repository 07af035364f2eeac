"""A run on disk: a folder with the provenance of a measurement, its metrics, and every answer.

* `run.json`: the provenance (commit, packages, settings, hash of the set, seed) and the systems.
* `questions.jsonl`: the questions with their gold.
* `SYSTEM.jsonl`: what a system found, question by question; `SYSTEM.run`: the same as TREC lines.
* `metrics.json`: computed from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eval.errors import RunError
from eval.json_files import Json, read_lines, write_lines
from eval.runs.trec import Ranking, write_trec

FORMAT = "memory_service.evaluation/1"


@dataclass(frozen=True)
class RunFolder:
    """A run that was written."""

    path: Path

    def __post_init__(self) -> None:
        """Raise RunError unless the folder holds a run of a known format."""
        if self.about.get("format") != FORMAT:
            raise RunError(f"{self.path}: its format is {self.about.get('format')!r}, not {FORMAT}")

    @cached_property
    def about(self) -> Json:
        """What was measured, and on what."""
        return self._json("run.json")

    @cached_property
    def metrics(self) -> Json:
        """The metrics by system, and the paired comparisons."""
        return self._json("metrics.json")

    @cached_property
    def questions(self) -> dict[str, Json]:
        """The questions, by id."""
        lines = read_lines(self.path / "questions.jsonl")
        return {question["id"]: question for question in lines}

    @property
    def systems(self) -> list[str]:
        """The systems in their order."""
        return list(self.about["systems"])

    def answers(self, system: str) -> list[Json]:
        """Return what a system found, question by question."""
        if system not in self.systems:
            raise RunError(f"{self.path}: no {system!r} in it; there are {', '.join(self.systems)}")
        return read_lines(self.path / f"{system}.jsonl")

    def _json(self, name: str) -> Json:
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} is no run: {name}: {error}") from error
        if not isinstance(content, dict):
            raise RunError(f"{self.path} is no run: {name} is not an object")
        return content


def create(path: Path) -> None:
    """Make the folder of a run; raises RunError if it is not empty."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} is not empty: a run needs a folder of its own")
    path.mkdir(parents=True, exist_ok=True)


def write_system(
    path: Path, system: str, answers: Sequence[Json], rankings: Mapping[str, Ranking]
) -> None:
    """Write what a system found."""
    write_lines(path / f"{system}.jsonl", answers)
    write_trec(path / f"{system}.run", rankings.items(), system)
