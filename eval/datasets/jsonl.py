"""The format `jsonl`: two files of JSON lines, one of turns and one of questions.

A turn is `{"id", "conv", "time", "text", "speaker"?, "role"?, "caption"?}`, in the order of the
conversation; a question `{"id", "conv", "question", "category"?, "gold": [ids], "answer"?,
"paraphrases"?, "audit_gold"?}`. Other members, such as the number of a session, are ignored: the
service does not get them. `audit_gold` is a corrected gold, of questions whose gold has an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import parsing
from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.errors import DatasetError

UNCATEGORISED = "uncategorised"

_DATE_IN_WORDS = "%B-%d-%Y"


def load(
    docs: Path, queries: Path, *, audit_gold: bool = False, paraphrases: bool = False
) -> Dataset:
    """Return the set; its name is that of the turns' file, up to the first dot.

    With `audit_gold` corrected labels are used. With `paraphrases` each paraphrase of a question is
    a further question of the same category.
    """
    conversations = load_turns(docs)
    questions = []
    for position, line in parsing.json_lines(queries):
        question = _question(line, conversations, position, audit_gold=audit_gold)
        questions.append(question)
        if paraphrases:
            questions += _paraphrases(question, line, position)
    notes = tuple(_unknown_gold(questions, conversations))
    return Dataset(docs.name.partition(".")[0], conversations, questions, notes)


def load_turns(docs: Path) -> dict[str, list[DatasetTurn]]:
    """Read turns by conversation, in the order of the file."""
    conversations: dict[str, list[DatasetTurn]] = {}
    for position, line in parsing.json_lines(docs):
        turn = _turn(line, position)
        conversations.setdefault(turn.conversation, []).append(turn)
    return conversations


def _turn(line: Mapping[str, Any], position: str) -> DatasetTurn:
    return DatasetTurn(
        id=parsing.string(line, "id", position),
        conversation=parsing.string(line, "conv", position),
        time=_time(parsing.string(line, "time", position), position),
        speaker=line.get("speaker"),
        # Where two people talk, neither is the assistant. The service gets only what the set has.
        role=line.get("role") or "user",
        text=parsing.with_caption(parsing.string(line, "text", position), line.get("caption")),
    )


def _question(
    line: Mapping[str, Any],
    conversations: Mapping[str, list[DatasetTurn]],
    position: str,
    *,
    audit_gold: bool,
) -> Question:
    conversation = parsing.string(line, "conv", position)
    if conversation not in conversations:
        raise DatasetError(f"{position}: no turn is of the conversation {conversation!r}")
    gold = "audit_gold" if audit_gold and "audit_gold" in line else "gold"
    return Question(
        id=parsing.string(line, "id", position),
        conversation=conversation,
        text=parsing.string(line, "question", position),
        category=line.get("category") or UNCATEGORISED,
        gold=parsing.ids(line, gold, position),
        now=conversations[conversation][-1].time,
        answer=parsing.as_answer(line.get("answer")),
    )


def _paraphrases(question: Question, line: Mapping[str, Any], position: str) -> Iterator[Question]:
    """Yield the question once for each of its paraphrases that differs from it."""
    texts = line.get("paraphrases") or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{position}: 'paraphrases' is not a list of texts")
    different = dict.fromkeys(text for text in texts if text != question.text)
    for number, text in enumerate(different, start=1):
        yield replace(question, id=f"{question.id}/p{number}", text=text)


def _unknown_gold(
    questions: list[Question], conversations: Mapping[str, list[DatasetTurn]]
) -> Iterator[str]:
    """Yield a note on each gold turn that is not in its conversation.

    It stays gold and is never found, as in any other program that computes the metrics from these
    files.
    """
    turn_ids = {name: {turn.id for turn in turns} for name, turns in conversations.items()}
    for question in questions:
        for gold in question.gold:
            if gold not in turn_ids[str(question.conversation)]:
                yield (
                    f"{question.id}: no turn of its conversation is {gold!r}; counted as not found"
                )


def _time(value: str, position: str) -> datetime:
    """Return an ISO 8601 time, or a date in words (`March-15-2024`)."""
    try:
        return parsing.as_utc(datetime.fromisoformat(value))
    except ValueError:
        pass
    try:
        time = datetime.strptime(value, _DATE_IN_WORDS)  # noqa: DTZ007 - as_utc gives it a zone
    except ValueError as error:
        raise DatasetError(f"{position}: {value!r} is not a time") from error
    return parsing.as_utc(time)
