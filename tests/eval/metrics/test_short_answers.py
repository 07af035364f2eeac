"""Exact match, F1, and whether an answer stands in a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from eval.metrics.short_answers import exact_match, stands_in, token_f1
from tests.support.evaluation_set import evaluate, write
from tests.support.upstream import Behaviour, Body, Reply, Upstream, running_upstream, says

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
def test_exact_match_and_f1(said: str, answer: str, exact: float, f1: float) -> None:
    assert exact_match(said, answer) == exact
    assert token_f1(said, answer) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_symmetric(said: str, answer: str) -> None:
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
def test_stands_in_matches_words(answer: str, text: str, *, expected: bool) -> None:
    assert stands_in(answer, text) is expected
