"""`python -m eval compare` and `baseline`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.datasets import own
from eval.json_files import read_lines, write_lines
from eval.reports import scores
from eval.runs.run_folder import RunFolder
from tests.support.environment import ROOT
from tests.support.evaluation_set import checked, evaluate

BASELINE = ROOT / "eval" / "baseline" / "own.jsonl"


def changed_run(run: RunFolder, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a run with changed answers of the product."""
    copy = folder / "changed"
    shutil.copytree(run.path, copy)
    lines = run.answers("product")
    for line in lines:
        change(line)
    write_lines(copy / "product.jsonl", lines)
    return copy


def test_run_equals_its_own_baseline(run: RunFolder, tmp_path: Path) -> None:
    baseline = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(baseline))
    assert "0 questions are worse" in checked("compare", str(baseline), str(run.path)).stdout


def test_significant_loss_exits_with_1(run: RunFolder, tmp_path: Path) -> None:
    def set_recall_to_zero(line: dict[str, Any]) -> None:
        if line["metrics"]:
            line["metrics"]["recall@10"] = 0.0

    worse = changed_run(run, tmp_path, set_recall_to_zero)
    lost, gained = (
        evaluate("compare", str(run.path), str(worse)),
        evaluate("compare", str(worse), str(run.path)),
    )
    assert (lost.exit_code, gained.exit_code) == (1, 0)
    assert "significantly worse: recall@10" in lost.stderr
    assert "4 questions are worse" in lost.stdout


def test_lost_silence_is_a_loss(run: RunFolder, tmp_path: Path) -> None:
    def set_not_silent(line: dict[str, Any]) -> None:
        line["silent"] = False

    lost = evaluate("compare", str(run.path), str(changed_run(run, tmp_path, set_not_silent)))
    assert lost.exit_code == 1
    assert "significantly worse: silent" in lost.stderr


def test_different_sets_are_incomparable(run: RunFolder, tmp_path: Path) -> None:
    baseline = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(baseline))
    about, *questions = read_lines(baseline)
    write_lines(baseline, [{**about, "dataset_hash": "0" * 64}, *questions])
    result = evaluate("compare", str(baseline), str(run.path))
    assert result.exit_code == 2
    assert "renew the baseline" in result.stderr.replace("\n", " ")


def test_evidence_of_other_counter_is_not_compared(run: RunFolder, tmp_path: Path) -> None:
    baseline = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(baseline))
    about, *questions = read_lines(baseline)
    write_lines(baseline, [{**about, "counter": "another"}, *questions])
    result = checked("compare", str(baseline), str(run.path))
    assert "evidence@1000" not in result.stdout
    assert "is not compared" in result.stderr.replace("\n", " ")


def test_bundled_baseline_is_of_bundled_set() -> None:
    baseline = scores.read(BASELINE, "product")
    dataset = own.load()
    assert baseline.about["dataset_hash"] == dataset.fingerprint()
    assert set(baseline.values) == {question.id for question in dataset.questions}
