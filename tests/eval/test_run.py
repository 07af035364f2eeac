"""`python -m eval run`, `report`, `compare`: a run holds every answer, and what is said follows."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import pytrec_eval

from eval.datasets import own
from eval.reports import plots, scores
from eval.runs.run_folder import RunFolder, read_lines, write_lines
from memory_service.recall.ranking import Component
from tests.support.environment import ROOT
from tests.support.evaluation_set import ASKED, HOSTILE, checked, evaluate, write
from tests.support.standin_embeddings import standin_embeddings

BASELINE = ROOT / "eval" / "baseline" / "own.jsonl"
NAME = "a<i>&$x$"
GOLD = {f"q{number}": gold for number, (*_, gold) in enumerate(ASKED)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run of all systems on the small set, under a hostile name."""
    folder = tmp_path_factory.mktemp("set")
    checked("run", *write(folder, NAME), "--out", str(folder / "run"))
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    """Return the run's report as HTML."""
    path = run.path.parent / "report.html"
    checked("report", str(run.path), "--html", str(path))
    return path.read_text()


def changed(run: RunFolder, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a run whose product found something else."""
    copy = folder / "changed"
    shutil.copytree(run.path, copy)
    lines = run.answers("product")
    for line in lines:
        change(line)
    write_lines(copy / "product.jsonl", lines)
    return copy


def test_every_system_stands_in_the_run(run: RunFolder) -> None:
    baselines = ["last-20", "full-history", "bm25", "dense-local"]
    without = [f"product-without-{part.value}" for part in Component]
    assert run.systems == [*baselines, "product", *without]
    assert set(run.metrics["systems"]) == set(run.systems)


def test_a_run_says_what_was_measured_on_what(run: RunFolder) -> None:
    told = {"commit", "dirty", "packages", "settings", "dataset_hash", "seed", "split", "ties"}
    assert told <= set(run.about)
    assert len(run.about["dataset_hash"]) == 64
    assert run.about["split"] == {"tuned_on": ["talk-2"], "held_back": ["talk-1"]}


def test_every_question_is_answered_once_by_every_system(run: RunFolder) -> None:
    assert set(run.questions) == set(GOLD)
    for system in run.systems:
        assert [line["id"] for line in run.answers(system)] == list(GOLD)


def test_trec_eval_computes_the_same_from_the_run_file(run: RunFolder) -> None:
    gold = {one: dict.fromkeys(ids, 1) for one, ids in GOLD.items() if ids}
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
            for ours, other in names.items() if line["metrics"] and line["found"] else ():
                expected = theirs[line["id"]][other]
                assert line["metrics"][ours] == pytest.approx(expected, abs=1e-9)


def test_no_prompt_is_larger_than_its_budget(run: RunFolder) -> None:
    for system in run.systems:
        for line in run.answers(system):
            for budget, prompt in line["evidence"].items():
                assert prompt["tokens"] <= int(budget)


def test_a_larger_prompt_never_holds_less_of_the_evidence(run: RunFolder) -> None:
    for system in run.systems:
        for line in run.answers(system):
            shares = [prompt["gold"] or 0.0 for prompt in line["evidence"].values()]
            assert shares == sorted(shares)


def test_small_talk_gets_nothing_from_the_product_alone(run: RunFolder) -> None:
    silent = {
        name: {kind: (part["questions"], part["share"]["mean"]) for kind, part in found.items()}
        for name, found in ((name, one["silent"]) for name, one in run.metrics["systems"].items())
    }
    assert silent["product"] == {"with_gold": (5, 0.0), "without_gold": (1, 1.0)}
    assert silent["product-without-floor"]["without_gold"] == (1, 0.0)
    assert silent["dense-local"]["without_gold"] == (1, 0.0)


def test_the_product_is_compared_with_every_other_system(run: RunFolder) -> None:
    found = {(one["other"], one["side"]) for one in run.metrics["paired"]}
    others = [name for name in run.systems if name != "product"]
    sides = ("all", "tuned_on", "held_back")
    assert found == {(other, side) for other in others for side in sides}


def test_a_folder_with_something_in_it_is_no_place_for_a_run(
    run: RunFolder, tmp_path: Path
) -> None:
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
def test_a_wrong_option_is_explained(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    given = write(tmp_path) if "--dataset" not in arguments else []
    result = evaluate("run", *given, *arguments, "--out", str(tmp_path / "run"))
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_few_questions_are_spread_over_the_set(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = [*write(tmp_path), "--systems", "bm25", "--questions", "2"]
    checked("run", *options, "--out", str(out))
    assert list(RunFolder(out).questions) == ["q0", "q3"]


def test_the_questions_of_one_category_are_asked_alone(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = [*write(tmp_path), "--systems", "bm25", "--only-category", "facts"]
    checked("run", *options, "--out", str(out))
    assert list(RunFolder(out).questions) == ["q0", "q1", "q4"]
    assert RunFolder(out).about["only_category"] == ["facts"]


class _Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_no_text_of_a_transcript_becomes_a_part_of_the_page(page: str) -> None:
    seen = _Tags(page)
    assert not seen.tags & {"script", "img", "iframe", "object", "embed", "link", "i", "a", "form"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in seen.texts) >= 2


def test_the_page_refers_to_nothing_outside(page: str) -> None:
    pointing = {"href", "src", "srcset", "xlink:href", "action", "data"}
    outside = [value for name, value in _Tags(page).attributes if name in pointing]
    assert outside
    assert all(value.startswith("#") for value in outside)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_has_the_plots_and_the_worst_questions(page: str) -> None:
    assert page.count("<svg") == 3
    text = "".join(_Tags(page).texts)
    for heading in ("Evidence in the prompt", "What each part earns", "Worst questions of product"):
        assert heading in text
    assert "found at" in text


def test_a_plot_is_well_formed_and_the_same_every_time(run: RunFolder) -> None:
    first, again = plots.evidence(run), plots.evidence(run)
    assert first == again
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours


def test_the_two_plots_of_the_readme_are_files(run: RunFolder, tmp_path: Path) -> None:
    checked("plots", str(run.path), "--out", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.svg", "evidence.svg"]
    for path in tmp_path.iterdir():
        plot = path.read_text()
        assert "held back: 3 questions, 95 % intervals over 3 questions" in plot
        assert len(plot) < 60_000


def test_the_report_is_the_runs_metrics_as_json_too(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    checked("report", str(run.path), "--json-out", str(out))
    (found,) = json.loads(out.read_text())["runs"]
    assert found == {**run.about, **run.metrics}


def test_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    result = evaluate("report", str(tmp_path))
    assert result.exit_code == 1
    assert "is no run: run.json" in result.stderr.replace("\n", " ")


def test_a_run_compared_with_its_own_baseline_has_lost_nothing(
    run: RunFolder, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(kept))
    assert "0 questions are worse" in checked("compare", str(kept), str(run.path)).stdout


def test_a_significant_loss_ends_with_status_1(run: RunFolder, tmp_path: Path) -> None:
    def forget(line: dict[str, Any]) -> None:
        if line["metrics"]:
            line["metrics"]["recall@10"] = 0.0

    worse = changed(run, tmp_path, forget)
    lost, gained = (
        evaluate("compare", str(run.path), str(worse)),
        evaluate("compare", str(worse), str(run.path)),
    )
    assert (lost.exit_code, gained.exit_code) == (1, 0)
    assert "significantly worse: recall@10" in lost.stderr
    assert "4 questions are worse" in lost.stdout


def test_speaking_where_silence_was_right_is_a_loss_too(run: RunFolder, tmp_path: Path) -> None:
    def speak(line: dict[str, Any]) -> None:
        line["silent"] = False

    lost = evaluate("compare", str(run.path), str(changed(run, tmp_path, speak)))
    assert lost.exit_code == 1
    assert "significantly worse: silent" in lost.stderr


def test_different_sets_cannot_be_compared(run: RunFolder, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(kept))
    about, *questions = read_lines(kept)
    write_lines(kept, [{**about, "dataset_hash": "0" * 64}, *questions])
    result = evaluate("compare", str(kept), str(run.path))
    assert result.exit_code == 2
    assert "renew the baseline" in result.stderr.replace("\n", " ")


def test_prompts_counted_differently_are_not_compared(run: RunFolder, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    checked("baseline", str(run.path), "--out", str(kept))
    about, *questions = read_lines(kept)
    write_lines(kept, [{**about, "counter": "another"}, *questions])
    result = checked("compare", str(kept), str(run.path))
    assert "evidence@1000" not in result.stdout
    assert "is not compared" in result.stderr.replace("\n", " ")


def test_the_baseline_in_the_repository_is_of_the_bundled_set() -> None:
    kept = scores.read(BASELINE, "product")
    dataset = own.load()
    assert kept.about["dataset_hash"] == dataset.fingerprint()
    assert set(kept.values) == {question.id for question in dataset.questions}


@pytest.mark.parametrize("package", ["bm25s", "matplotlib"])
def test_without_the_extra_it_is_said_how_to_get_it(
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


def test_another_embedder_is_compared_and_chroma_can_answer_every_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standin_embeddings() as server:
        monkeypatch.setenv("MEMORY_EMBEDDER_BASE_URL", server.base_url)
        monkeypatch.setenv("MEMORY_EMBEDDER_MODEL", "made-up")
        options = ["--systems", "product,dense:openai", "--exact-scan-max", "0"]
        checked("run", *write(tmp_path), *options, "--out", str(tmp_path / "run"))
    found = RunFolder(tmp_path / "run")
    assert found.systems == ["product", "dense-openai"]
    assert found.about["settings"]["exact_scan_max"] == 0
    assert found.metrics["systems"]["product"]["without_adversarial"]["questions"] == 4
    assert server.base_url not in (tmp_path / "run" / "run.json").read_text()
