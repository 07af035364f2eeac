"""`python -m eval recall` on the real service; its metrics equal those of trec_eval."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from rich.progress import Progress
from typer.testing import CliRunner, Result

from eval.__main__ import app
from eval.datasets import jsonl
from eval.errors import MeasurementError
from eval.retrieval import recall
from eval.systems import dataset_store
from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import Matrix
from memory_service.core.settings import Settings
from memory_service.testing import MemoryIndex
from tests.support.environment import BENCHMARK_DATA, LONG
from tests.support.storing import idle_service

BENCHMARKS = BENCHMARK_DATA / "benchmarks"
# The set's name, and the least recall@10 that is promised on it.
PROMISED = [
    ("locomo", 0.73),
    pytest.param(
        "realtalk",
        0.56,
        marks=pytest.mark.skipif(not LONG, reason="only with the full counts: half a minute"),
    ),
]
TEXTS = {
    "talk/1": [
        ("Ida", "I finally bought a kayak, a red one."),
        ("Tor", "Where will you keep it?"),
        ("Ida", "In the boathouse of my aunt Sunniva."),
        ("Tor", "My guitar lessons start on Thursday."),
        ("Ida", "Who teaches you?"),
        ("Tor", "A retired organist called Halvard."),
        ("Ida", "The bakery on the corner sells rye bread again."),
        ("Tor", "I have an appointment with the dentist tomorrow."),
    ],
    "talk/2": [
        ("Ana", "Our dog ate the birthday cake."),
        ("Ben", "All of it?"),
        ("Ana", "Everything but the candles."),
        ("Ben", "My sister moves to Lisbon in March."),
        ("Ana", "What will she do there?"),
        ("Ben", "She is going to repair violins."),
    ],
}
QUESTIONS = [
    ("talk/1", "facts", "What colour is the kayak?", ["talk/1:0"]),
    ("talk/1", "facts", "Who teaches the guitar?", ["talk/1:3", "talk/1:5"]),
    ("talk/1", "nothing", "What is the weather on Mars?", []),
    ("talk/2", "facts", "What did the dog eat?", ["talk/2:0"]),
    ("talk/2", "adversarial", "When did Ana move to Lisbon?", ["talk/2:3"]),
]


@dataclass(frozen=True)
class SmallSet:
    """A small set on disk, and the folder for its results."""

    folder: Path

    @property
    def arguments(self) -> list[str]:
        """Return the command with all its files."""
        docs, queries = self.folder / "small.docs.jsonl", self.folder / "small.queries.jsonl"
        return ["--dataset", "jsonl", "--docs", str(docs), "--queries", str(queries)]

    def measure(self, *options: str) -> dict[str, Any]:
        """Run the command and return its JSON."""
        outputs = ["--json-out", str(self.folder / "out.json"), "--run", str(self.folder / "run")]
        result = evaluate(*self.arguments, *outputs, *options)
        assert result.exit_code == 0, result.output
        measured: dict[str, Any] = json.loads((self.folder / "out.json").read_text())
        return measured

    @property
    def run(self) -> list[list[str]]:
        """Return the fields of each line of the run file."""
        return [line.split() for line in (self.folder / "run").read_text().splitlines()]


@pytest.fixture
def small_set(tmp_path: Path) -> SmallSet:
    docs = [
        {
            "id": f"{conversation}:{number}",
            "conv": conversation,
            "time": f"2024-05-01T10:{number:02}:00",
            "speaker": speaker,
            "text": text,
        }
        for conversation, turns in TEXTS.items()
        for number, (speaker, text) in enumerate(turns)
    ]
    queries = [
        {"id": f"q/{number}", "conv": name, "category": category, "question": text, "gold": gold}
        for number, (name, category, text, gold) in enumerate(QUESTIONS)
    ]
    for name, lines in (("small.docs", docs), ("small.queries", queries)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text)
    return SmallSet(tmp_path)


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recall", *arguments], env={"COLUMNS": "120"})


def trec_eval_metrics(queries: Path, run: Path, skipped: Sequence[str] = ()) -> Mapping[str, float]:
    """Return the metrics that trec_eval computes from a run file and the gold."""
    questions = [json.loads(line) for line in queries.read_text().splitlines()]
    gold = {
        question["id"]: dict.fromkeys(question["gold"], 1)
        for question in questions
        if question["gold"] and question["category"] not in skipped
    }
    with run.open() as lines:
        rankings = pytrec_eval.parse_run(lines)
    names = {f"recall@{k}": f"recall_{k}" for k in (5, 10, 25)} | {"ndcg@10": "ndcg_cut_10"}
    judge = pytrec_eval.RelevanceEvaluator(gold, {"recall.5,10,25", "ndcg_cut.10"})
    scores = judge.evaluate(rankings).values()
    return {ours: sum(score[name] for score in scores) / len(gold) for ours, name in names.items()}


def test_metrics_equal_trec_eval_of_run_file(small_set: SmallSet) -> None:
    result = small_set.measure()
    expected = trec_eval_metrics(small_set.folder / "small.queries.jsonl", small_set.folder / "run")
    assert result["metrics"] == pytest.approx(expected, abs=1e-9)


def test_gold_is_recalled(small_set: SmallSet) -> None:
    assert small_set.measure()["metrics"]["recall@5"] == 1.0


def test_result_has_provenance(small_set: SmallSet) -> None:
    result = small_set.measure()
    assert result["dataset"] == "small"
    assert result["settings"]["top_k"] == 50
    assert result["settings"]["service"]["passage_words"] == 120
    assert set(result["files"]) == {"small.docs.jsonl", "small.queries.jsonl"}
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p95"]
    assert result["latency_ms"]["p95"] <= result["latency_ms"]["p99"]
    assert {"commit", "dirty", "packages", "python"} <= set(result)


def test_result_has_no_keys(small_set: SmallSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_API_KEY", "sk-secret-key")
    monkeypatch.setenv("MEMORY_EMBEDDER_CONFIG", '{"api_key": "sk-secret-key"}')
    assert "secret" not in json.dumps(small_set.measure())


def test_questions_without_gold_are_skipped(small_set: SmallSet) -> None:
    result = small_set.measure()
    assert result["questions"] == 4
    assert {name: part["questions"] for name, part in result["by_category"].items()} == {
        "adversarial": 1,
        "facts": 3,
    }


def test_metrics_without_adversarial_questions(small_set: SmallSet) -> None:
    result = small_set.measure()
    assert result["without_adversarial"] == result["by_category"]["facts"]


def test_skip_category_option(small_set: SmallSet) -> None:
    result = small_set.measure("--skip-category", "adversarial")
    assert (result["questions"], list(result["by_category"])) == (3, ["facts"])
    assert {query for query, *_ in small_set.run} == {"q/0", "q/1", "q/3"}


def test_run_file_has_dataset_ids_of_conversation(small_set: SmallSet) -> None:
    small_set.measure()
    docs_of_query = {
        query: {doc for line_query, _, doc, *_ in small_set.run if line_query == query}
        for query, *_ in small_set.run
    }
    places = {f"q/{number}": conversation for number, (conversation, *_) in enumerate(QUESTIONS)}
    assert set(docs_of_query) == {"q/0", "q/1", "q/3", "q/4"}
    for query, docs in docs_of_query.items():
        place = places[query]
        assert docs <= {f"{place}:{number}" for number in range(len(TEXTS[place]))}


def test_run_file_ranks_start_at_1_and_scores_fall(small_set: SmallSet) -> None:
    small_set.measure()
    lines = [
        (int(rank), float(score)) for query, _, _, rank, score, _ in small_set.run if query == "q/0"
    ]
    assert [rank for rank, _ in lines] == list(range(1, len(lines) + 1))
    assert len(lines) > 1
    assert all(score > after for (_, score), (_, after) in pairwise(lines))


def test_table_has_row_per_category(small_set: SmallSet) -> None:
    shown = evaluate(*small_set.arguments).stdout
    for name in ("all", "all but adversarial", "adversarial", "facts"):
        assert re.search(rf"^│ {name} +│", shown, re.MULTILINE)


def test_long_names_do_not_truncate_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    part = {"questions": 7, "metrics": dict.fromkeys(("recall@5", "recall@10", "ndcg@10"), 0.5)}
    latency = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    sizes = {"dataset": "small", "conversations": 1, "turns": 2, "notes": [], "latency_ms": latency}
    recall.show({**part, **sizes, "by_category": {"reasoning_over_sessions" * 9: part}})
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "recall@10" in shown
    assert "…" not in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "jsonl"], "--dataset jsonl needs --docs"),
        (["--dataset", "locomo"], "--dataset locomo needs --data"),
        (["--dataset", "locomo", "--docs", __file__], "--dataset locomo takes no --docs"),
        (["--dataset", "locomo", "--data", "/no/such/file"], "does not exist"),
        (
            ["--dataset", "locomo", "--data", __file__, "--run", "/no/such/run"],
            "there is no folder",
        ),
        (["--dataset", "squad"], "'squad' is not one of"),
    ],
)
def test_wrong_option_is_explained(arguments: list[str], complaint: str) -> None:
    result = evaluate(*arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_unknown_category_lists_known_categories(small_set: SmallSet) -> None:
    result = evaluate(*small_set.arguments, "--skip-category", "fact")
    assert result.exit_code == 2
    assert "adversarial, facts, nothing" in result.stderr


def test_other_format_ends_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "locomo.json"
    path.write_text("{}")
    result = evaluate("--dataset", "locomo", "--data", str(path))
    assert result.exit_code == 1
    assert result.stderr == "recall: locomo.json: not a list of conversations\n"


def test_set_without_gold_ends_with_one_line(small_set: SmallSet) -> None:
    (small_set.folder / "small.queries.jsonl").write_text("")
    result = evaluate(*small_set.arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("recall: no question is left to ask")


def test_degraded_recall_ends_measurement(small_set: SmallSet, settings: Settings) -> None:
    dataset = jsonl.load(*sorted(small_set.folder.glob("small.*.jsonl")))
    index = MemoryIndex()
    chosen = settings.model_copy(update={"exact_scan_max": 0})
    with idle_service(chosen, index) as service, Progress(disable=True) as progress:
        dataset_store.store(service, dataset, progress)
        while service.indexer.step():
            pass
        index.failures = -1
        with pytest.raises(MeasurementError, match="q/0: a recall went on without"):
            recall.ask(service, dataset.questions[0])


class _PickyIndex(MemoryIndex):
    """An index that refuses the vector of one passage."""

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if 2 in keys:
            raise VectorIndexDown("Not this one.")
        super().upsert(collection, keys, groups, vectors)


def test_parked_index_ends_measurement(small_set: SmallSet, settings: Settings) -> None:
    dataset = jsonl.load(*sorted(small_set.folder.glob("small.*.jsonl")))
    with idle_service(settings, _PickyIndex()) as service, Progress(disable=True) as progress:
        service.indexer.stop()
        dataset_store.store(service, dataset, progress)
        service.indexer.drain()
        with pytest.raises(MeasurementError, match="1 passages behind"):
            dataset_store.wait_for_index(service, progress)


@pytest.mark.parametrize(("name", "promised"), PROMISED)
def test_benchmark_recall_reaches_promised_minimum(
    name: str, promised: float, tmp_path: Path
) -> None:
    docs, queries = (BENCHMARKS / f"{name}.{kind}.jsonl" for kind in ("docs", "queries"))
    if not docs.is_file():
        pytest.skip(f"{docs} is not there: see BENCHMARK_DATA")
    out, run = tmp_path / "out.json", tmp_path / "run"
    skipped = ["--skip-category", "adversarial"] if name == "locomo" else []
    arguments = ["--dataset", "jsonl", "--docs", str(docs), "--queries", str(queries), *skipped]
    result = evaluate(*arguments, "--json-out", str(out), "--run", str(run))
    assert result.exit_code == 0, result.output
    result = json.loads(out.read_text())["metrics"]
    assert result["recall@10"] >= promised
    assert result == pytest.approx(trec_eval_metrics(queries, run, skipped[1:]), abs=1e-9)
