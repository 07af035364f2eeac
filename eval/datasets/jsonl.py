"""Two files of JSON lines, one of turns and one of questions.

A turn is `{"id", "conv", "time", "text", "speaker"?, "role"?, "caption"?}`, in the order of the
conversation; a question `{"id", "conv", "question", "category"?, "gold": [ids], "answer"?,
"paraphrases"?, "audit_gold"?}`. Other members, such as the number of a session, are left unread: a
service is not told them. `audit_gold` is a corrected gold, where somebody found an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import Dataset, DatasetError, Question, Turn, as_answer, as_utc, with_caption

UNCATEGORISED = "uncategorised"

_WORDS_TIME = "%B-%d-%Y"


def load(
    docs: Path, queries: Path, *, audit_gold: bool = False, paraphrases: bool = False
) -> Dataset:
    """Return the set; its name is that of the turns' file, up to the first dot.

    With `audit_gold` corrected labels count; with `paraphrases` a question is also asked in its
    other words, as further questions of the same category.
    """
    conversations = turns(docs)
    questions = []
    for where, line in lines(queries):
        question = _question(line, conversations, where, audit_gold=audit_gold)
        questions.append(question)
        if paraphrases:
            questions += _paraphrased(question, line, where)
    notes = tuple(_unknown_gold(questions, conversations))
    return Dataset(docs.name.partition(".")[0], conversations, questions, notes)


def turns(docs: Path) -> dict[str, list[Turn]]:
    """Read turns by conversation, in the order of the file."""
    found: dict[str, list[Turn]] = {}
    for where, line in lines(docs):
        turn = _turn(line, where)
        found.setdefault(turn.conversation, []).append(turn)
    return found


def lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, object) of each line that is not blank."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path.name}:{number}"
            if line.strip():
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise DatasetError(f"{where}: not JSON: {error}") from error
                if not isinstance(value, dict):
                    raise DatasetError(f"{where}: not an object")
                yield where, value


def _turn(line: Mapping[str, Any], where: str) -> Turn:
    return Turn(
        id=string(line, "id", where),
        conversation=string(line, "conv", where),
        time=_time(string(line, "time", where), where),
        speaker=line.get("speaker"),
        # Where two people talk, neither is the assistant; to call one so would tell the service
        # something that the set does not say.
        role=line.get("role") or "user",
        text=with_caption(string(line, "text", where), line.get("caption")),
    )


def _question(
    line: Mapping[str, Any],
    conversations: Mapping[str, list[Turn]],
    where: str,
    *,
    audit_gold: bool,
) -> Question:
    conversation = string(line, "conv", where)
    if conversation not in conversations:
        raise DatasetError(f"{where}: no turn is of the conversation {conversation!r}")
    return Question(
        id=string(line, "id", where),
        conversation=conversation,
        text=string(line, "question", where),
        category=line.get("category") or UNCATEGORISED,
        gold=ids(line, "audit_gold" if audit_gold and "audit_gold" in line else "gold", where),
        now=conversations[conversation][-1].time,
        answer=as_answer(line.get("answer")),
    )


def _paraphrased(question: Question, line: Mapping[str, Any], where: str) -> Iterator[Question]:
    """Yield the question in each of its other words."""
    others = line.get("paraphrases") or []
    if not isinstance(others, list) or not all(isinstance(one, str) for one in others):
        raise DatasetError(f"{where}: 'paraphrases' is not a list of texts")
    different = dict.fromkeys(one for one in others if one != question.text)
    for number, text in enumerate(different, start=1):
        yield replace(question, id=f"{question.id}/p{number}", text=text)


def ids(line: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """Return a member that is a list of ids, each once."""
    value = line.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise DatasetError(f"{where}: {name!r} is not a list of ids")
    return tuple(dict.fromkeys(value))


def _unknown_gold(
    questions: list[Question], conversations: Mapping[str, list[Turn]]
) -> Iterator[str]:
    """Yield a note on each gold turn that its conversation lacks.

    It stays gold, and so is never found: whoever computes the metrics from these files does the
    same.
    """
    known = {name: {turn.id for turn in turns} for name, turns in conversations.items()}
    for question in questions:
        for one in question.gold:
            if one not in known[str(question.conversation)]:
                yield f"{question.id}: no turn of its conversation is {one!r}; counted as not found"


def string(line: Mapping[str, Any], name: str, where: str) -> str:
    """Return a member that is a string."""
    value = line.get(name)
    if not isinstance(value, str):
        raise DatasetError(f"{where}: {name!r} is not a string")
    return value


def _time(value: str, where: str) -> datetime:
    """Return an ISO 8601 time, or a date in words (`March-15-2024`)."""
    try:
        return as_utc(datetime.fromisoformat(value))
    except ValueError:
        pass
    try:
        return as_utc(datetime.strptime(value, _WORDS_TIME))  # noqa: DTZ007 - as_utc gives it a zone
    except ValueError as error:
        raise DatasetError(f"{where}: {value!r} is not a time") from error
