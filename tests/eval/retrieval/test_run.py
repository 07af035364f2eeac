"""`python -m eval run`: its files, its metrics, its options."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import pytrec_eval

from eval.runs.run_folder import RunFolder
from memory_service.recall.ranking import Component
from tests.support.evaluation_set import QUESTIONS, checked, evaluate, write
from tests.support.standin_embeddings import standin_embeddings

GOLD = {f"q{number}": gold for number, (*_, gold) in enumerate(QUESTIONS)}


def test_run_has_all_systems(run: RunFolder) -> None:
    baselines = ["last-20", "full-history", "bm25", "dense-local"]
    without = [f"product-without-{part.value}" for part in Component]
    assert run.systems == [*baselines, "product", *without]
    assert set(run.metrics["systems"]) == set(run.systems)


def test_run_has_provenance(run: RunFolder) -> None:
    expected = {"commit", "dirty", "packages", "settings", "dataset_hash", "seed", "split", "ties"}
    assert expected <= set(run.about)
    assert len(run.about["dataset_hash"]) == 64
    assert run.about["split"] == {"tuned_on": ["talk-2"], "held_back": ["talk-1"]}


def test_every_system_answers_every_question_once(run: RunFolder) -> None:
    assert set(run.questions) == set(GOLD)
    for system in run.systems:
        assert [line["id"] for line in run.answers(system)] == list(GOLD)


def test_metrics_equal_trec_eval_of_run_files(run: RunFolder) -> None:
    gold = {question_id: dict.fromkeys(ids, 1) for question_id, ids in GOLD.items() if ids}
    measures = {"recall.10", "success.5", "ndcg_cut.10", "recip_rank"}
    judge = pytrec_eval.RelevanceEvaluator(gold, measures)
    names = {
        "recall@10": "recall_10",
        "recall_any@5": "success_5",
        "ndcg@10": "ndcg_cut_10",
        "mrr": "recip_rank",
    }
    for system in run.systems:
        with (run.path / f"{system}.run").open() as lines:
            theirs = judge.evaluate(pytrec_eval.parse_run(lines))
        for line in run.answers(system):
            for ours, name in names.items() if line["metrics"] and line["found"] else ():
                expected = theirs[line["id"]][name]
                assert line["metrics"][ours] == pytest.approx(expected, abs=1e-9)


def test_prompts_stay_within_budget(run: RunFolder) -> None:
    for system in run.systems:
        for line in run.answers(system):
            for budget, prompt in line["evidence"].items():
                assert prompt["tokens"] <= int(budget)


def test_evidence_grows_with_budget(run: RunFolder) -> None:
    for system in run.systems:
        for line in run.answers(system):
            shares = [prompt["gold"] or 0.0 for prompt in line["evidence"].values()]
            assert shares == sorted(shares)


def test_only_product_is_silent_on_small_talk(run: RunFolder) -> None:
    silent = {
        name: {kind: (part["questions"], part["share"]["mean"]) for kind, part in parts.items()}
        for name, parts in (
            (name, metrics["silent"]) for name, metrics in run.metrics["systems"].items()
        )
    }
    assert silent["product"] == {"with_gold": (5, 0.0), "without_gold": (1, 1.0)}
    assert silent["product-without-floor"]["without_gold"] == (1, 0.0)
    assert silent["dense-local"]["without_gold"] == (1, 0.0)


def test_product_is_compared_with_every_system(run: RunFolder) -> None:
    compared = {(comparison["other"], comparison["side"]) for comparison in run.metrics["paired"]}
    other_systems = [name for name in run.systems if name != "product"]
    sides = ("all", "tuned_on", "held_back")
    assert compared == {(other, side) for other in other_systems for side in sides}


def test_run_refuses_nonempty_folder(run: RunFolder, tmp_path: Path) -> None:
    result = evaluate("run", *write(tmp_path), "--out", str(run.path))
    assert result.exit_code == 1
    assert "is not empty" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--systems", "oracle"], "there is no system 'oracle'"),
        (["--skip-category", "fact"], "--skip-category: no question is 'fact'"),
        (["--only-category", "fact"], "--only-category: no question is 'fact'"),
        (["--dataset", "locomo"], "--dataset locomo needs --data"),
        (["--dataset", "own", "--docs", __file__], "--dataset own takes no --docs"),
        (["--dataset", "own", "--audit-gold"], "own has no corrected labels"),
        (["--dataset", "locomo", "--data", __file__, "--audit-gold"], "or name them with --audit"),
    ],
)
def test_wrong_option_is_explained(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    dataset_options = write(tmp_path) if "--dataset" not in arguments else []
    result = evaluate("run", *dataset_options, *arguments, "--out", str(tmp_path / "run"))
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_questions_option_spreads_over_set(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = [*write(tmp_path), "--systems", "bm25", "--questions", "2"]
    checked("run", *options, "--out", str(out))
    assert list(RunFolder(out).questions) == ["q0", "q3"]


def test_only_category_option(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = [*write(tmp_path), "--systems", "bm25", "--only-category", "facts"]
    checked("run", *options, "--out", str(out))
    assert list(RunFolder(out).questions) == ["q0", "q1", "q4"]
    assert RunFolder(out).about["only_category"] == ["facts"]


@pytest.mark.parametrize("package", ["bm25s", "matplotlib"])
def test_missing_extra_is_explained(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    commands = {
        "bm25s": ["run", *write(tmp_path), "--systems", "bm25", "--out", str(tmp_path / "run")],
        "matplotlib": ["plots", str(run.path), "--out", str(tmp_path)],
    }
    result = evaluate(*commands[package])
    assert result.exit_code == 1
    assert f"the package {package} is missing: pip install" in result.stderr.replace("\n", " ")


def test_other_embedder_and_exact_scan_max(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standin_embeddings() as server:
        monkeypatch.setenv("MEMORY_EMBEDDER_BASE_URL", server.base_url)
        monkeypatch.setenv("MEMORY_EMBEDDER_MODEL", "made-up")
        options = ["--systems", "product,dense:openai", "--exact-scan-max", "0"]
        checked("run", *write(tmp_path), *options, "--out", str(tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    assert run.systems == ["product", "dense-openai"]
    assert run.about["settings"]["exact_scan_max"] == 0
    assert run.metrics["systems"]["product"]["without_adversarial"]["questions"] == 4
    assert server.base_url not in (tmp_path / "run" / "run.json").read_text()
