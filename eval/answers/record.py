"""The record of answers on disk: `plan.json`, `answers.jsonl` and `answers.json` in one folder.

A record has the answers of one plan only. An interrupted run continues in its folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.answers import judging
from eval.answers.answering import QuestionPrompt
from eval.errors import RunError
from eval.json_files import Json, read_lines, write_json
from eval.metrics import statistics
from eval.runs import run_folder

FORMAT = "memory_service.answers/1"


@dataclass(frozen=True, slots=True)
class AnswersPlan:
    """What makes answers comparable: the set, the system, the models and the prompts."""

    dataset: str
    dataset_hash: str
    system: str
    top_k: int
    token_budget: int
    counter: str
    model: str
    judge_model: str
    prompts_hash: str

    def as_json(self) -> Json:
        """Return the plan as it is written, with the texts of the prompts."""
        return {
            "format": FORMAT,
            "note": judging.NOT_COMPARABLE,
            **asdict(self),
            "temperature": 0,
            "prompts": {
                "answer": judging.ANSWERING,
                "judge": judging.JUDGING,
                "judged": judging.JUDGED,
            },
        }


def hash_of(prompts: Sequence[QuestionPrompt]) -> str:
    """Return the SHA-256 of all prompts."""
    text = json.dumps([[prompt.question.id, prompt.messages] for prompt in prompts])
    return hashlib.sha256(text.encode()).hexdigest()


def resume(folder: Path, plan: AnswersPlan) -> set[str]:
    """Return the questions that are answered already; begins a record that does not exist.

    Raises RunError for a folder of another plan.
    """
    path = folder / "plan.json"
    if not path.exists():
        run_folder.create(folder)
        write_json(path, plan.as_json())
        return set()
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if recorded != plan.as_json():
        raise RunError(f"{folder} holds answers to other prompts: choose another folder")
    # The run may have been interrupted before the first answer.
    (folder / "answers.jsonl").touch()
    _cut_incomplete_line(folder / "answers.jsonl")
    return {line["id"] for line in answers(folder)}


def answers(folder: Path) -> list[Json]:
    """Return the answers of a record."""
    return read_lines(folder / "answers.jsonl")


def _cut_incomplete_line(path: Path) -> None:
    """Remove a last line that was not written to its end."""
    written = path.read_bytes()
    path.write_bytes(written[: written.rfind(b"\n") + 1])


def summarise(lines: Sequence[Json], seed: int) -> Json:
    """Return the share judged correct (unreadable verdicts apart), exact match and F1."""
    groups = [line["group"] for line in lines]
    scored = [line for line in lines if line["correct"] is not None]
    summary: Json = {"questions": len(lines), "unscored": len(lines) - len(scored)}
    for name in ("exact_match", "f1"):
        values = [line[name] for line in lines]
        summary[name] = asdict(statistics.interval(values, groups, seed=seed)) if lines else None
    summary["judged_correct"] = _judged_correct(scored, seed)
    summary["by_category"] = {
        category: _judged_correct([line for line in scored if line["category"] == category], seed)
        for category in sorted({line["category"] for line in lines})
    }
    return summary


def _judged_correct(scored: Sequence[Json], seed: int) -> Json | None:
    if not scored:
        return None
    values = [float(line["correct"]) for line in scored]
    groups = [line["group"] for line in scored]
    interval = statistics.interval(values, groups, seed=seed)
    return {"questions": len(scored), **asdict(interval)}
