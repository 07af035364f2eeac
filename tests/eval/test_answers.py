"""`python -m eval answers`: a model's server on a real socket, and a record that can be gone on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from eval.answers import judging
from eval.metrics.short_answers import exact_match, stands_in, token_f1
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

    def answers(self, *more: str) -> Result:
        """Run the command."""
        out = ["--out", str(self.folder / "out"), "--model", "stand-in"]
        return evaluate("answers", *write(self.folder), *out, *self.where, *more)

    @property
    def where(self) -> list[str]:
        """Return the option that names the server."""
        return ["--base-url", self.server.base_url]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the answers in the order they came."""
        text = (self.folder / "out" / "answers.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """Return the summary."""
        found: dict[str, Any] = json.loads((self.folder / "out" / "answers.json").read_text())
        return found


def knowing(body: Body) -> Reply:
    """Answer two questions, and judge by whether the reference is in the answer."""
    said = body["messages"][-1]["content"]
    if isinstance(said, str) and said.startswith("Question: "):
        reference, answer = said.split("Reference: ")[1].split("\n\nAnswer: ")
        return says("CORRECT" if reference in answer else "WRONG")(body)
    question = said if isinstance(said, str) else said[-1]["text"]
    return says(KNOWN.get(question, "I do not know"))(body)


def often(behaviour: Behaviour) -> list[Behaviour]:
    return [behaviour] * 8


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with running_upstream() as server:
        server.then(*often(knowing))
        yield Record(tmp_path, server)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """Return a record that was made once, with a key; tests of this module only look at it."""
    with running_upstream() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_UPSTREAM_API_KEY", "sk-secret-key")
        server.then(*often(knowing))
        made = Record(tmp_path_factory.mktemp("answered"), server)
        result = made.answers(*OPTIONS, "--yes")
        assert result.exit_code == 0, result.output
        yield made


@pytest.fixture
def copied(answered: Record, record: Record) -> Record:
    """Return a copy of that record, to go on with."""
    shutil.copytree(answered.folder / "out", record.folder / "out")
    return record


def test_answers_are_judged_and_counted(answered: Record) -> None:
    assert [line["id"] for line in answered.lines] == ANSWERABLE
    assert [line["correct"] for line in answered.lines] == [True, True, False, False]
    assert answered.result["judged_correct"]["mean"] == 0.5
    assert [line["exact_match"] for line in answered.lines] == [0.0, 1.0, 0.0, 0.0]
    assert answered.lines[0]["f1"] == pytest.approx(2 / 3)


def test_the_prompt_holds_the_memory_and_says_what_time_it_is(answered: Record) -> None:
    system, asked = answered.server.requests[0].messages
    assert system["content"].endswith("It is now Wednesday, 2024-05-01 10:05.")
    assert "a red one" in asked["content"][0]["text"]
    assert asked["content"][-1]["text"] == "What colour is the kayak?"


def test_the_record_says_what_was_asked_of_whom(answered: Record) -> None:
    found = answered.result
    assert (found["model"], found["judge_model"]) == ("stand-in", "stand-in-mini")
    assert (found["token_budget"], found["top_k"], found["temperature"]) == (400, 3, 0)
    assert found["prompts"]["answer"] == judging.ANSWERING
    assert "not comparable" in found["note"]
    judges = {request.body["model"] for request in answered.server.requests[1::2]}
    assert judges == {"stand-in-mini"}
    assert all(len(line["turns"]) <= 3 for line in answered.lines)


def test_no_key_reaches_the_record(answered: Record) -> None:
    assert answered.server.requests[0].headers["authorization"] == "Bearer sk-secret-key"
    for path in (answered.folder / "out").iterdir():
        assert "secret" not in path.read_text()


def test_the_cost_is_estimated_before_anything_is_asked(record: Record) -> None:
    result = record.answers("--price-in", "2.5", "--price-out", "10")
    assert result.exit_code == 1
    assert "4 questions: 8 calls" in result.stdout
    assert "$0.0" in result.stdout
    assert record.server.requests == []


def test_what_was_answered_before_a_failure_is_not_asked_again(record: Record) -> None:
    record.server._script.clear()  # noqa: SLF001 - the script of this test replaces the fixture's
    record.server.then(knowing, knowing, knowing, fails(400, "out of credit"))
    broken = record.answers("--yes")
    assert broken.exit_code == 1
    assert "run the same command again" in broken.stderr.replace("\n", " ")
    assert [line["id"] for line in record.lines] == ANSWERABLE[:1]
    record.server.then(*often(knowing))
    assert record.answers("--yes").exit_code == 0
    assert [line["id"] for line in record.lines] == ANSWERABLE
    assert len(record.server.requests) == 4 + 6


def test_a_line_that_was_torn_off_is_asked_again(copied: Record) -> None:
    path = copied.folder / "out" / "answers.jsonl"
    path.write_text(path.read_text()[:-20])
    assert copied.answers(*OPTIONS, "--yes").exit_code == 0
    assert [line["id"] for line in copied.lines] == ANSWERABLE
    assert len(copied.server.requests) == 2


def test_a_record_that_was_broken_off_before_its_first_answer_is_gone_on_with(
    copied: Record,
) -> None:
    (copied.folder / "out" / "answers.jsonl").unlink()
    assert copied.answers(*OPTIONS, "--yes").exit_code == 0
    assert [line["id"] for line in copied.lines] == ANSWERABLE


def test_answers_to_other_prompts_are_not_mixed(copied: Record) -> None:
    result = copied.answers("--yes", "--budget", "300")
    assert result.exit_code == 1
    assert "holds answers to other prompts" in result.stderr


def test_a_verdict_that_cannot_be_read_is_not_scored(record: Record) -> None:
    record.server._script.clear()  # noqa: SLF001 - as above
    record.server.then(*[says("red"), says("Hard to say.")] * 4)
    assert record.answers("--yes").exit_code == 0
    assert record.result["unscored"] == 4
    assert record.result["judged_correct"] is None


def test_a_server_must_be_named(tmp_path: Path) -> None:
    arguments = [*write(tmp_path), "--out", str(tmp_path / "out"), "--model", "stand-in"]
    result = evaluate("answers", *arguments)
    assert result.exit_code == 2
    assert "no model's server is named" in result.stderr


@pytest.mark.parametrize(
    ("said", "expected"),
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
def test_a_verdict_is_read_in_one_way_or_not_at_all(said: str, *, expected: bool | None) -> None:
    assert judging.verdict(said) is expected


@pytest.mark.parametrize(
    ("said", "answer", "exact", "f1"),
    [
        ("The Lion King!", "lion king", 1.0, 1.0),
        ("in May", "May 2023", 0.0, 0.5),
        ("7", "seven", 0.0, 0.0),
        ("", "seven", 0.0, 0.0),
        ("二十张", "二十", 0.0, 0.8),
        ("Ｃａｆé", "CAFÉ", 1.0, 1.0),
    ],
)
def test_exact_match_and_f1_are_what_one_works_out_by_hand(
    said: str, answer: str, exact: float, f1: float
) -> None:
    assert exact_match(said, answer) == exact
    assert token_f1(said, answer) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_the_same_from_both_sides(said: str, answer: str) -> None:
    assert token_f1(said, answer) == token_f1(answer, said)
    assert exact_match(said, answer) <= token_f1(said, answer) <= 1.0


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("25", "She is 25.", True),
        ("25", "She lives at 1254.", False),
        ("Red Kayak", "a red\nkayak, new", True),
        ("八千", "一共八千块", True),
        ("don't", "I don\u2019t", True),
    ],
)
def test_an_answer_stands_in_a_text_as_words(answer: str, text: str, *, expected: bool) -> None:
    assert stands_in(answer, text) is expected
