"""Ids of a data set as ids of the service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from eval.__main__ import app
from eval.systems.ids import dataset_id, service_id
from memory_service.core.errors import InvalidRequest
from memory_service.items.conversation_items import check_id

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


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
def test_service_id_round_trip(own: str) -> None:
    legal = service_id(own)
    assert check_id(legal, "id") == legal
    assert dataset_id(legal) == own


@pytest.mark.parametrize(
    ("own", "legal"),
    [("conv-26/D1:3", "conv-26_2fD1_3a3"), ("a_2f", "a_5f2f"), ("plain-1", "plain-1")],
)
def test_service_id_is_readable(own: str, legal: str) -> None:
    assert service_id(own) == legal


def test_too_long_id_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="1 to 128"):
        service_id("/" * 43)
