"""A run on disk: a folder whose files say what was measured, on what, and every single answer.

`run.json` has the commit, packages, settings, the set's hash, the seed, the systems;
`questions.jsonl` what was asked and what answers it; for each system `SYSTEM.jsonl` has what it
found, question by question, and `SYSTEM.run` the same as TREC lines; `metrics.json` is computed
from these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.runs import provenance

FORMAT = "memory_service.evaluation/1"

Json = dict[str, Any]


class RunError(Exception):
    """A folder is not a run, or cannot become one; the message says why."""


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
        """What was asked, by id."""
        return {one["id"]: one for one in read_lines(self.path / "questions.jsonl")}

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
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} is no run: {name}: {error}") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.path} is no run: {name} is not an object")
        return found


def create(path: Path) -> None:
    """Make the folder of a run; raises RunError if something is in it."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} is not empty: a run needs a folder of its own")
    path.mkdir(parents=True, exist_ok=True)


def write_system(
    path: Path, system: str, answers: Sequence[Json], rankings: Mapping[str, provenance.Ranking]
) -> None:
    """Write what a system found."""
    write_lines(path / f"{system}.jsonl", answers)
    provenance.write_trec(path / f"{system}.run", rankings.items(), system)


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def read_lines(path: Path) -> list[Json]:
    """Return the objects of JSON lines; raises RunError for a file that has others."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: {error}") from error
