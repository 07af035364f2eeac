"""A small set for tests of the evaluation: two conversations, with hostile markup in a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from eval.__main__ import app
from eval.datasets.models import DatasetTurn, Question

HOSTILE = '</script><script>alert("x")</script><img src=x onerror="alert(1)"> & $a$ <b>bold</b>'
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
TEXTS = {
    "talk-1": [
        ("Ida", "I finally bought a kayak, a red one."),
        ("Tor", "Where will you keep it?"),
        ("Ida", "In the boathouse of my aunt Sunniva."),
        ("Tor", "My guitar lessons start on Thursday."),
        ("Ida", f"Who teaches you? {HOSTILE}"),
        ("Tor", "A retired organist called Halvard."),
    ],
    "talk-2": [
        ("Ana", "Our dog ate the birthday cake."),
        ("Ben", "All of it?"),
        ("Ana", "Everything but the candles."),
        ("Ben", "My sister moves to Lisbon in March."),
        ("Ana", "What will she do there?"),
        ("Ben", "She is going to repair violins."),
    ],
}
QUESTIONS: Sequence[tuple[str, str, str, str | None, list[str]]] = [
    ("talk-1", "facts", "What colour is the kayak?", "red", ["talk-1/0"]),
    ("talk-1", "facts", "Who teaches the guitar?", "Halvard", ["talk-1/3", "talk-1/5"]),
    ("talk-1", f"odd {HOSTILE}", f"What was said of {HOSTILE}?", HOSTILE, ["talk-1/2"]),
    ("talk-1", "nothing", "Thanks!", None, []),
    ("talk-2", "facts", "What did the dog eat?", "the birthday cake", ["talk-2/0"]),
    ("talk-2", "adversarial", "When did Ana move to Lisbon?", None, ["talk-2/3"]),
]


def write(folder: Path, name: str = "small") -> list[str]:
    """Write the set and return the options that name it."""
    docs: list[Mapping[str, Any]] = [
        {
            "id": f"{conversation}/{number}",
            "conv": conversation,
            "time": f"2024-05-01T10:{number:02}:00",
            "speaker": speaker,
            "text": text,
        }
        for conversation, turns in TEXTS.items()
        for number, (speaker, text) in enumerate(turns)
    ]
    queries: list[Mapping[str, Any]] = [
        {
            "id": f"q{number}",
            "conv": conversation,
            "category": category,
            "question": text,
            "answer": answer,
            "gold": gold,
        }
        for number, (conversation, category, text, answer, gold) in enumerate(QUESTIONS)
    ]
    options = ["--dataset", "jsonl"]
    for kind, lines in (("docs", docs), ("queries", queries)):
        path = folder / f"{name}.{kind}.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        options += [f"--{kind}", str(path)]
    return options


def evaluate(*arguments: str) -> Result:
    """Run `python -m eval` with these arguments."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})


def checked(*arguments: str) -> Result:
    """Run `python -m eval` with these arguments, and fail unless it succeeds."""
    result = evaluate(*arguments)
    assert result.exit_code == 0, result.output
    return result


def turn(number: int, text: str, conversation: str = "a") -> DatasetTurn:
    """Return a turn, a minute after the one of the previous number."""
    time = START + timedelta(minutes=number)
    return DatasetTurn(f"{conversation}/{number}", conversation, time, "Ida", "user", text)


def talk(texts: Sequence[str], conversation: str = "a") -> list[DatasetTurn]:
    """Return the turns of a conversation."""
    return [turn(number, text, conversation) for number, text in enumerate(texts)]


def make_question(text: str, *gold: str, **fields: Any) -> Question:
    """Return a question about the conversation `a`, or about a `user` if one is given."""
    conversation = None if "user" in fields else "a"
    values: dict[str, Any] = {"id": "q", "category": "x", "now": START, **fields}
    return Question(text=text, gold=gold, conversation=conversation, **values)
