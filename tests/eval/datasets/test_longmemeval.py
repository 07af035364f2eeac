"""The format longmemeval, and the metrics of its authors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import longmemeval
from eval.datasets.models import Dataset
from eval.errors import DatasetError
from eval.metrics import longmemeval_official
from eval.runs.run_folder import RunFolder
from tests.support.environment import BENCHMARK_DATA
from tests.support.evaluation_set import checked

SAMPLE = BENCHMARK_DATA / "raw" / "longmemeval_s_sample.json"


def turn(content: str, role: str = "user", **marks: bool) -> dict[str, Any]:
    return {"role": role, "content": content, **marks}


def entry(name: str = "q1", **fields: Any) -> dict[str, Any]:
    """Return a question in the published format: two sessions with two gold turns, and a filler."""
    return {
        "question_id": name,
        "question_type": "multi-session",
        "question": "Which kayak is red?",
        "answer": 2,
        "question_date": "2023/12/18 (Mon) 04:17",
        "answer_session_ids": ["answer_a", "answer_b"],
        "haystack_session_ids": ["answer_a", "filler", "answer_b"],
        "haystack_dates": [
            "2023/07/12 (Wed) 10:14",
            "2023/08/01 (Tue) 09:00",
            "2023/09/02 () 1:05",
        ],
        "haystack_sessions": [
            [turn("A red kayak.", has_answer=True), turn("Fine.", "assistant", has_answer=False)],
            [turn("Weather?"), turn("Rain.", "assistant")],
            [turn("Hi.", has_answer=False), turn("A blue one.", has_answer=True)],
        ],
        **fields,
    }


def load(folder: Path, *entries: dict[str, Any]) -> Dataset:
    path = folder / "longmemeval.json"
    path.write_text(json.dumps(entries))
    return longmemeval.load(path)


def test_haystack_is_user_with_one_conversation_per_session(tmp_path: Path) -> None:
    dataset = load(tmp_path, entry())
    assert list(dataset.conversations) == ["q1/answer_a", "q1/filler", "q1/answer_b"]
    assert set(dataset.users.values()) == {"q1"}
    (question,) = dataset.questions
    assert (question.user, question.conversation) == ("q1", None)
    assert dataset.scope(question) == list(dataset.conversations)


def test_gold_is_marked_turns_of_answer_sessions(tmp_path: Path) -> None:
    (question,) = load(tmp_path, entry()).questions
    assert question.gold == ("q1/answer_a/1", "q1/answer_b/2")
    assert (question.answer, question.category) == ("2", "multi-session")


def test_dates_are_read_without_day_name(tmp_path: Path) -> None:
    dataset = load(tmp_path, entry())
    times = [turns[0].time.isoformat() for turns in dataset.conversations.values()]
    assert times[0] == "2023-07-12T10:14:00+00:00"
    assert times[2] == "2023-09-02T01:05:00+00:00"
    assert dataset.questions[0].now.isoformat() == "2023-12-18T04:17:00+00:00"


def test_abstention_question_has_no_gold(tmp_path: Path) -> None:
    (question,) = load(tmp_path, entry("q1_abs")).questions
    assert (question.category, question.gold) == ("abstention", ())


def test_repeated_session_is_separate_conversation(tmp_path: Path) -> None:
    sessions = ["filler", "filler", "answer_b"]
    dataset = load(tmp_path, entry(haystack_session_ids=sessions, answer_session_ids=["answer_b"]))
    assert list(dataset.conversations) == ["q1/filler", "q1/filler+2", "q1/answer_b"]


def test_question_lists_share_one_haystack(tmp_path: Path) -> None:
    published = entry(
        questions=["How many?", "What weather?"],
        answers=["2", "Rain"],
        answer_session_ids=[["answer_a", "answer_b"], ["filler"]],
    )
    dataset = load(
        tmp_path,
        {name: published[name] for name in published if name not in {"question", "answer"}},
    )
    first, second = dataset.questions
    assert (first.id, len(first.gold)) == ("q1/q0", 2)
    assert (second.gold, second.gold_conversations) == ((), ("q1/filler",))
    assert len(dataset.notes) == 1


@pytest.mark.parametrize("content", ["{", "{}", '[{"question_id": "q"}]'])
def test_error_names_file_of_other_format(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"other\.json"):
        longmemeval.load(path)


def test_run_has_official_and_conversation_metrics(tmp_path: Path) -> None:
    path = tmp_path / "longmemeval.json"
    path.write_text(json.dumps([entry(), entry("q2_abs")]))
    options = ["--dataset", "longmemeval-oracle", "--data", str(path), "--systems", "bm25"]
    checked("run", *options, "--out", str(tmp_path / "run"))
    metrics = RunFolder(tmp_path / "run").metrics["systems"]["bm25"]
    assert [metrics[kind]["questions"] for kind in ("official", "conversations")] == [1, 1]
    assert metrics["without_adversarial"]["questions"] == 1
    # One of the two gold turns shares a word with the question: one session of two.
    assert metrics["official"]["metrics"]["session_recall_any@5"] == 1.0
    assert metrics["conversations"]["metrics"]["recall@5"] == 0.5


@pytest.mark.skipif(not SAMPLE.is_file(), reason=f"{SAMPLE} is not there: see BENCHMARK_DATA")
def test_published_sample_is_read() -> None:
    dataset = longmemeval.load(SAMPLE)
    assert (dataset.turn_count, len(dataset.questions)) == (1_218, 26)
    assert [question.id for question in dataset.questions if question.gold] == [
        "852ce960/q0",
        "ba358f49/q0",
    ]


def test_official_metrics_count_user_turns_only(tmp_path: Path) -> None:
    dataset = load(tmp_path, entry())
    ranked = ["q1/answer_a/2", "q1/filler/1", "q1/answer_a/1", "q1/answer_b/2"]
    scores = longmemeval_official.score(dataset, dataset.questions[0], ranked)
    assert scores is not None
    assert (scores["turn_recall_any@1"], scores["turn_recall_any@3"]) == (0.0, 1.0)
    assert (scores["turn_recall_all@1"], scores["turn_recall_all@3"]) == (0.0, 1.0)


def test_official_ndcg_does_not_discount_second_rank(tmp_path: Path) -> None:
    dataset = load(tmp_path, entry())
    scores = longmemeval_official.score(
        dataset, dataset.questions[0], ["q1/filler/1", "q1/answer_a/1"]
    )
    assert scores is not None
    # One of two gold turns, at a place that gains as much as the first: 1 / (1 + 1).
    assert scores["turn_ndcg_any@5"] == 0.5


def test_official_session_is_found_by_answering_turn(tmp_path: Path) -> None:
    dataset = load(tmp_path, entry())
    other_turn = longmemeval_official.score(dataset, dataset.questions[0], ["q1/answer_b/1"])
    answering = longmemeval_official.score(
        dataset, dataset.questions[0], ["q1/answer_b/1", "q1/answer_b/2"]
    )
    assert other_turn is not None
    assert answering is not None
    assert other_turn["session_recall_any@1"] == 0.0
    assert (answering["session_recall_any@1"], answering["session_recall_any@3"]) == (0.0, 1.0)


def test_official_session_cut_counts_sessions(tmp_path: Path) -> None:
    many = [turn(f"Turn {number}.", has_answer=False) for number in range(5)]
    sessions = [many, [turn("Weather?")], [turn("A blue one.", has_answer=True)]]
    dataset = load(tmp_path, entry(haystack_sessions=sessions))
    ranked = [*(f"q1/answer_a/{number}" for number in range(1, 6)), "q1/filler/1", "q1/answer_b/1"]
    scores = longmemeval_official.score(dataset, dataset.questions[0], ranked)
    assert scores is not None
    assert (scores["turn_recall_any@3"], scores["session_recall_any@3"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "sessions",
    [
        [[turn("Hi.")], [turn("Weather?")], [turn("Blue.", "assistant", has_answer=True)]],
        [[turn("Hi.")], [turn("Weather?")], [turn("Blue.")]],
    ],
)
def test_official_metrics_skip_questions_without_user_gold(
    tmp_path: Path, sessions: list[Any]
) -> None:
    dataset = load(tmp_path, entry(haystack_sessions=sessions))
    assert longmemeval_official.score(dataset, dataset.questions[0], ["q1/filler/1"]) is None
