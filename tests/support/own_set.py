"""The bundled evaluation set for tests: its rows, and a memory that holds it.

The files are read without the loader of `eval`, so that the two check each other.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memory_service import open_memory
from memory_service.embedded import Memory
from tests.support.environment import ROOT
from tests.support.storing import eventually

FOLDER = ROOT / "eval" / "datasets" / "own"
LANGUAGES = {"jonas": "de", "lucia": "es", "wei": "zh", "anya": "ru"}


def lines(name: str) -> list[dict[str, Any]]:
    """Return the objects of one of the set's files."""
    rows = [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]
    assert all(isinstance(row, dict) for row in rows)
    return rows


TURNS = lines("turns.jsonl")
QUESTIONS = lines("questions.jsonl")
MEMORY_QUESTIONS = [question for question in QUESTIONS if question["category"] != "none"]
CONVERSATIONS: dict[str, list[dict[str, Any]]] = defaultdict(list)
for turn in TURNS:
    CONVERSATIONS[turn["conv"]].append(turn)


def language(row: dict[str, Any]) -> str:
    """Return the language in which a turn was written."""
    return LANGUAGES.get(row["user"], "en")


@contextmanager
def stored_memory(folder: Path, **settings: Any) -> Iterator[Memory]:
    """Return a memory that holds the whole set, indexed."""
    with open_memory(folder, log_level="error", **settings) as memory:
        for name, turns in CONVERSATIONS.items():
            memory.add_items(name, list(map(_item, turns)), user=turns[0]["user"])
        status = memory._service.index_status  # noqa: SLF001 - it has no public wait
        eventually(lambda: status().lag == 0)
        yield memory


def _item(turn: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": turn["id"],
        "role": turn["role"],
        "content": turn["text"],
        "name": turn["speaker"],
        "created_at": turn["time"],
    }
