"""Data sets: conversations, and questions with the turns that answer them; one file a format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256


class DatasetError(Exception):
    """A file is not what its format says; the message names the place."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; its id is the set's own, its time has an offset (UTC where the set has none)."""

    id: str
    conversation: str
    time: datetime
    speaker: str | None
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the turns that answer it, by id: `gold` is empty where nothing does.

    It looks in one `conversation`, or, where that is None, in all conversations of a `user`.
    `now` is when it is asked: the time of the conversation's last turn where the set says nothing
    else. `answer_in` is how the answer is written in the gold turns, where the set says it;
    `gold_conversations` are those that hold the answer, where only that is known.
    """

    id: str
    conversation: str | None
    text: str
    category: str
    gold: tuple[str, ...]
    now: datetime
    user: str | None = None
    answer: str | None = None
    answer_in: str | None = None
    language: str | None = None
    gold_conversations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise DatasetError unless exactly one place is named to look in."""
        if (self.conversation is None) == (self.user is None):
            raise DatasetError(f"{self.id}: not exactly one of a conversation and a user")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Conversations by id, their turns in the order they were said, and questions about them.

    `users` names whose a conversation is, for those that are somebody's. `notes` say what is wrong
    with the labels and what was made of it.
    """

    name: str
    conversations: Mapping[str, Sequence[Turn]]
    questions: Sequence[Question]
    notes: Sequence[str] = ()
    users: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise DatasetError where an id cannot stand in a run file, or stands for two things."""
        _check_ids(turn.id for turns in self.conversations.values() for turn in turns)
        _check_ids(question.id for question in self.questions)

    @property
    def turns(self) -> int:
        """Return the number of turns of all conversations."""
        return sum(map(len, self.conversations.values()))

    def places(self, question: Question) -> list[str]:
        """Return the conversations that a question looks in."""
        if question.conversation is not None:
            return [question.conversation]
        return [name for name, user in self.users.items() if user == question.user]

    def group(self, question: Question) -> str:
        """Return what a question shares with those it depends on: its user, else its conversation.

        Questions of one group are no independent observations: intervals and splits go by group.
        """
        if question.conversation is None:
            return str(question.user)
        return self.users.get(question.conversation, question.conversation)

    def fingerprint(self) -> str:
        """Return a SHA-256 of what is stored and asked, the same for every format of one set."""
        digest = sha256()
        for turns in self.conversations.values():
            for turn in turns:
                said = [turn.id, turn.conversation, turn.time.isoformat(), turn.speaker, turn.role]
                digest.update(_line([*said, turn.text, self.users.get(turn.conversation)]))
        for one in self.questions:
            place = [one.id, one.conversation, one.user, one.now.isoformat()]
            digest.update(_line([*place, one.text, one.category, sorted(one.gold)]))
        return digest.hexdigest()


def with_caption(text: str, caption: str | None) -> str:
    """Return what a turn says, the description of a picture that it shares at the end."""
    return f"{text} [shares {caption}]".lstrip() if caption else text


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def as_answer(value: object) -> str | None:
    """Return an answer as words: sets hold numbers and lists too; None where there is none."""
    if value is None or value == "":
        return None
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(values: Sequence[object]) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode() + b"\n"


def _check_ids(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if not one or " " in one or not one.isprintable():
            raise DatasetError(f"the id {one!r} is empty or has blanks: no run file can hold it")
        if one in seen:
            raise DatasetError(f"the id {one!r} stands for two things")
        seen.add(one)
