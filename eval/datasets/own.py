"""The bundled set: written by hand for the project, so that every command runs on a fresh machine.

`own/turns.jsonl` has a turn a line, `{"id", "conv", "user", "time", "speaker", "role", "text"}`;
`own/questions.jsonl` a question, `{"id", "scope", "conv" or "user", "question", "answer",
"answer_in"?, "category", "language", "gold": [ids], "now"}`. The scope is "conversation" or "user".
Times have the offset of the place where they were said: "yesterday" depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import Dataset, DatasetError, Question, Turn, as_answer, jsonl

FOLDER = Path(__file__).parent / "own"


def load(folder: Path = FOLDER) -> Dataset:
    """Return the set; raises DatasetError where a line is not what it should be."""
    conversations: dict[str, list[Turn]] = {}
    users: dict[str, str] = {}
    for where, line in jsonl.lines(folder / "turns.jsonl"):
        turn = _turn(line, where)
        conversations.setdefault(turn.conversation, []).append(turn)
        user = jsonl.string(line, "user", where)
        if users.setdefault(turn.conversation, user) != user:
            raise DatasetError(f"{where}: the conversation is of {users[turn.conversation]!r}")
    questions = [_question(*place) for place in jsonl.lines(folder / "questions.jsonl")]
    return Dataset("own", conversations, questions, (), users)


def _turn(line: Mapping[str, Any], where: str) -> Turn:
    return Turn(
        id=jsonl.string(line, "id", where),
        conversation=jsonl.string(line, "conv", where),
        time=_time(line, "time", where),
        speaker=line.get("speaker"),
        role=jsonl.string(line, "role", where),
        text=jsonl.string(line, "text", where),
    )


def _question(where: str, line: Mapping[str, Any]) -> Question:
    of_user = jsonl.string(line, "scope", where) == "user"
    return Question(
        id=jsonl.string(line, "id", where),
        conversation=None if of_user else jsonl.string(line, "conv", where),
        user=jsonl.string(line, "user", where) if of_user else None,
        text=jsonl.string(line, "question", where),
        category=jsonl.string(line, "category", where),
        gold=jsonl.ids(line, "gold", where),
        now=_time(line, "now", where),
        answer=as_answer(line.get("answer")),
        answer_in=as_answer(line.get("answer_in")),
        language=line.get("language"),
    )


def _time(line: Mapping[str, Any], name: str, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(jsonl.string(line, name, where))
    except ValueError as error:
        raise DatasetError(f"{where}: {name!r} is not a time: {error}") from error
    if time.tzinfo is None:
        raise DatasetError(f"{where}: {name!r} has no offset")
    return time
