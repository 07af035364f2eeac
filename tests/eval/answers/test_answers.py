"""`python -m eval answers`: answers of a model on a real socket, and resuming a record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from eval.answers import judging
from tests.support.evaluation_set import evaluate, write
from tests.support.upstream import Behaviour, Body, Reply, Upstream, fails, running_upstream, says

ANSWERABLE = ["q0", "q1", "q2", "q4"]
OPTIONS = ["--judge-model", "stand-in-mini", "--budget", "400", "--top-k", "3"]
KNOWN = {"What colour is the kayak?": "A red one.", "Who teaches the guitar?": "Halvard"}


@dataclass(frozen=True)
class Record:
    """The small set, a model's server, and the folder of a record."""

    folder: Path
    server: Upstream

    def answers(self, *options: str) -> Result:
        """Run the command."""
        out = ["--out", str(self.folder / "out"), "--model", "stand-in"]
        return evaluate("answers", *write(self.folder), *out, *self.where, *options)

    @property
    def where(self) -> list[str]:
        """Return the option that names the server."""
        return ["--base-url", self.server.base_url]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the answers in the order of the file."""
        text = (self.folder / "out" / "answers.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """Return the result."""
        result: dict[str, Any] = json.loads((self.folder / "out" / "answers.json").read_text())
        return result


def answer_known(body: Body) -> Reply:
    """Answer two questions, and judge by whether the reference is in the answer."""
    text = body["messages"][-1]["content"]
    if text.startswith("Question: "):
        reference, answer = text.split("Reference: ")[1].split("\n\nAnswer: ")
        return says("CORRECT" if reference in answer else "WRONG")(body)
    question = text.rpartition("\n")[2]
    return says(KNOWN.get(question, "I do not know"))(body)


def repeated(behaviour: Behaviour) -> list[Behaviour]:
    return [behaviour] * 8


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with running_upstream() as server:
        server.then(*repeated(answer_known))
        yield Record(tmp_path, server)


@pytest.fixture(scope="module")
def finished_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """Return a finished record, made with a key; tests only read it."""
    with running_upstream() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_UPSTREAM_API_KEY", "sk-secret-key")
        server.then(*repeated(answer_known))
        new_record = Record(tmp_path_factory.mktemp("answered"), server)
        result = new_record.answers(*OPTIONS, "--yes")
        assert result.exit_code == 0, result.output
        yield new_record


@pytest.fixture
def copied_record(finished_record: Record, record: Record) -> Record:
    """Return a copy of the finished record, which a test may continue."""
    shutil.copytree(finished_record.folder / "out", record.folder / "out")
    return record


def test_answers_are_judged_and_counted(finished_record: Record) -> None:
    assert [line["id"] for line in finished_record.lines] == ANSWERABLE
    assert [line["correct"] for line in finished_record.lines] == [True, True, False, False]
    assert finished_record.result["judged_correct"]["mean"] == 0.5
    assert [line["exact_match"] for line in finished_record.lines] == [0.0, 1.0, 0.0, 0.0]
    assert finished_record.lines[0]["f1"] == pytest.approx(2 / 3)


def test_prompt_has_recalled_turns_and_time(finished_record: Record) -> None:
    system, user_message = finished_record.server.requests[0].messages
    assert system["content"].endswith("It is now Wednesday, 2024-05-01 10:05.")
    assert "a red one" in user_message["content"]
    assert user_message["content"].endswith("\nWhat colour is the kayak?")


def test_record_has_models_and_prompts(finished_record: Record) -> None:
    result = finished_record.result
    assert (result["model"], result["judge_model"]) == ("stand-in", "stand-in-mini")
    assert (result["token_budget"], result["top_k"], result["temperature"]) == (400, 3, 0)
    assert result["prompts"]["answer"] == judging.ANSWERING
    assert "not comparable" in result["note"]
    judges = {request.body["model"] for request in finished_record.server.requests[1::2]}
    assert judges == {"stand-in-mini"}
    assert all(len(line["turns"]) <= 3 for line in finished_record.lines)


def test_record_has_no_keys(finished_record: Record) -> None:
    assert finished_record.server.requests[0].headers["authorization"] == "Bearer sk-secret-key"
    for path in (finished_record.folder / "out").iterdir():
        assert "secret" not in path.read_text()


def test_cost_is_estimated_before_asking(record: Record) -> None:
    result = record.answers("--price-in", "2.5", "--price-out", "10")
    assert result.exit_code == 1
    assert "4 questions: 8 calls" in result.stdout
    assert "$0.0" in result.stdout
    assert record.server.requests == []


def test_interrupted_run_continues(record: Record) -> None:
    record.server._script.clear()  # noqa: SLF001 - the script of this test replaces the fixture's
    record.server.then(answer_known, answer_known, answer_known, fails(400, "out of credit"))
    broken = record.answers("--yes")
    assert broken.exit_code == 1
    assert "run the same command again" in broken.stderr.replace("\n", " ")
    assert [line["id"] for line in record.lines] == ANSWERABLE[:1]
    record.server.then(*repeated(answer_known))
    assert record.answers("--yes").exit_code == 0
    assert [line["id"] for line in record.lines] == ANSWERABLE
    assert len(record.server.requests) == 4 + 6


def test_incomplete_line_is_asked_again(copied_record: Record) -> None:
    path = copied_record.folder / "out" / "answers.jsonl"
    path.write_text(path.read_text()[:-20])
    assert copied_record.answers(*OPTIONS, "--yes").exit_code == 0
    assert [line["id"] for line in copied_record.lines] == ANSWERABLE
    assert len(copied_record.server.requests) == 2


def test_record_without_answers_continues(
    copied_record: Record,
) -> None:
    (copied_record.folder / "out" / "answers.jsonl").unlink()
    assert copied_record.answers(*OPTIONS, "--yes").exit_code == 0
    assert [line["id"] for line in copied_record.lines] == ANSWERABLE


def test_record_of_other_plan_is_refused(copied_record: Record) -> None:
    result = copied_record.answers("--yes", "--budget", "300")
    assert result.exit_code == 1
    assert "holds answers to other prompts" in result.stderr


def test_unreadable_verdict_is_unscored(record: Record) -> None:
    record.server._script.clear()  # noqa: SLF001 - as above
    record.server.then(*[says("red"), says("Hard to say.")] * 4)
    assert record.answers("--yes").exit_code == 0
    assert record.result["unscored"] == 4
    assert record.result["judged_correct"] is None


def test_upstream_must_be_named(tmp_path: Path) -> None:
    arguments = [*write(tmp_path), "--out", str(tmp_path / "out"), "--model", "stand-in"]
    result = evaluate("answers", *arguments)
    assert result.exit_code == 2
    assert "no upstream is named" in result.stderr


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("CORRECT", True),
        ("correct.", True),
        ("**Correct**", True),
        ("WRONG", False),
        ("Incorrect: the reference says May.", False),
        ("not correct", None),
        ("CORRECT or WRONG", None),
        ("", None),
        ("Yes", None),
        ("It is correctly dated", None),
    ],
)
def test_read_verdict(verdict: str, *, expected: bool | None) -> None:
    assert judging.read_verdict(verdict) is expected
