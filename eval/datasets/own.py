"""The bundled set `own`: written by hand for the project, so that commands need no download.

`own/turns.jsonl` has a turn a line, `{"id", "conv", "user", "time", "speaker", "role", "text"}`;
`own/questions.jsonl` a question, `{"id", "scope", "conv" or "user", "question", "answer",
"answer_in"?, "category", "language", "gold": [ids], "now"}`. The scope is "conversation" or "user".
Times have the UTC offset of the speaker's place: "yesterday" depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import parsing
from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.errors import DatasetError

FOLDER = Path(__file__).parent / "own"


def load(folder: Path = FOLDER) -> Dataset:
    """Return the set; raises DatasetError for a line that does not follow the format."""
    conversations: dict[str, list[DatasetTurn]] = {}
    users: dict[str, str] = {}
    for position, line in parsing.json_lines(folder / "turns.jsonl"):
        turn = _turn(line, position)
        conversations.setdefault(turn.conversation, []).append(turn)
        user = parsing.string(line, "user", position)
        if users.setdefault(turn.conversation, user) != user:
            raise DatasetError(f"{position}: the conversation is of {users[turn.conversation]!r}")
    lines = parsing.json_lines(folder / "questions.jsonl")
    questions = [_question(line, position) for position, line in lines]
    return Dataset("own", conversations, questions, (), users)


def _turn(line: Mapping[str, Any], position: str) -> DatasetTurn:
    return DatasetTurn(
        id=parsing.string(line, "id", position),
        conversation=parsing.string(line, "conv", position),
        time=_time(line, "time", position),
        speaker=line.get("speaker"),
        role=parsing.string(line, "role", position),
        text=parsing.string(line, "text", position),
    )


def _question(line: Mapping[str, Any], position: str) -> Question:
    of_user = parsing.string(line, "scope", position) == "user"
    return Question(
        id=parsing.string(line, "id", position),
        conversation=None if of_user else parsing.string(line, "conv", position),
        user=parsing.string(line, "user", position) if of_user else None,
        text=parsing.string(line, "question", position),
        category=parsing.string(line, "category", position),
        gold=parsing.ids(line, "gold", position),
        now=_time(line, "now", position),
        answer=parsing.as_answer(line.get("answer")),
        answer_in=parsing.as_answer(line.get("answer_in")),
        language=line.get("language"),
    )


def _time(line: Mapping[str, Any], name: str, position: str) -> datetime:
    try:
        time = datetime.fromisoformat(parsing.string(line, name, position))
    except ValueError as error:
        raise DatasetError(f"{position}: {name!r} is not a time: {error}") from error
    if time.tzinfo is None:
        raise DatasetError(f"{position}: {name!r} has no offset")
    return time
