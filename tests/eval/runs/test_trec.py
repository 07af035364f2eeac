"""TREC run files: falling scores, and ties."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from eval.__main__ import app
from eval.runs import trec

# The set's name, and the least recall@10 that is promised on it.
SAID = {
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
ASKED = [
    ("talk/1", "facts", "What colour is the kayak?", ["talk/1:0"]),
    ("talk/1", "facts", "Who teaches the guitar?", ["talk/1:3", "talk/1:5"]),
    ("talk/1", "nothing", "What is the weather on Mars?", []),
    ("talk/2", "facts", "What did the dog eat?", ["talk/2:0"]),
    ("talk/2", "adversarial", "When did Ana move to Lisbon?", ["talk/2:3"]),
]


@dataclass(frozen=True)
class Small:
    """A small set on disk, and where to write what comes out."""

    folder: Path

    @property
    def arguments(self) -> list[str]:
        """Return the command with all its files."""
        docs, queries = self.folder / "small.docs.jsonl", self.folder / "small.queries.jsonl"
        return ["--dataset", "jsonl", "--docs", str(docs), "--queries", str(queries)]

    def measure(self, *more: str) -> dict[str, Any]:
        """Run the command and return its JSON."""
        outputs = ["--json-out", str(self.folder / "out.json"), "--run", str(self.folder / "run")]
        result = evaluate(*self.arguments, *outputs, *more)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads((self.folder / "out.json").read_text())
        return found

    @property
    def run(self) -> list[list[str]]:
        """Return the fields of each line of the run file."""
        return [line.split() for line in (self.folder / "run").read_text().splitlines()]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    docs = [
        {
            "id": f"{conversation}:{number}",
            "conv": conversation,
            "time": f"2024-05-01T10:{number:02}:00",
            "speaker": speaker,
            "text": text,
        }
        for conversation, turns in SAID.items()
        for number, (speaker, text) in enumerate(turns)
    ]
    queries = [
        {"id": f"q/{number}", "conv": name, "category": category, "question": text, "gold": gold}
        for number, (name, category, text, gold) in enumerate(ASKED)
    ]
    for name, lines in (("small.docs", docs), ("small.queries", queries)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text)
    return Small(tmp_path)


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recall", *arguments], env={"COLUMNS": "120"})


@given(st.lists(st.floats(-100, 100) | st.sampled_from([0.0, 1.0, 1.0 + 1e-12]), max_size=50))
def test_falling_scores_stay_close(scores: list[float]) -> None:
    ranked = sorted(scores, reverse=True)
    found = list(trec.falling(ranked))
    assert all(one > after for one, after in pairwise(found))
    assert found == pytest.approx(ranked, abs=1e-3)


def test_ties_keep_order_in_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run"
    trec.write_trec(path, [("q", [("b", 0.5), ("c", 0.5), ("a", 0.5)])], "tag")
    lines = [line.split() for line in path.read_text().splitlines()]
    assert [(doc, rank) for _, _, doc, rank, _, _ in lines] == [("b", "1"), ("c", "2"), ("a", "3")]
    scores = [np.float32(score) for *_, score, _ in lines]
    assert scores[0] > scores[1] > scores[2]
