"""Data sets: conversations, and questions with the turns that answer them; one file a format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


class DatasetError(Exception):
    """A file is not what its format says; the message names the place."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its time is UTC, its ids are the set's own."""

    id: str
    conversation: str
    time: datetime
    speaker: str | None
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one conversation; `gold` are the ids of the turns that answer it.

    `now` is when it is asked: the time of the conversation's last turn.
    """

    id: str
    conversation: str
    text: str
    category: str
    gold: tuple[str, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Dataset:
    """Conversations by id, their turns in the order they were said, and questions about them.

    `notes` say what is wrong with the labels and what was made of it.
    """

    name: str
    conversations: Mapping[str, Sequence[Turn]]
    questions: Sequence[Question]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raise DatasetError where an id cannot stand in a run file, or stands for two things."""
        _check_ids(turn.id for turns in self.conversations.values() for turn in turns)
        _check_ids(question.id for question in self.questions)

    @property
    def turns(self) -> int:
        """Return the number of turns of all conversations."""
        return sum(map(len, self.conversations.values()))


def with_caption(text: str, caption: str | None) -> str:
    """Return what a turn says, the description of a picture that it shares at the end."""
    return f"{text} [shares {caption}]".lstrip() if caption else text


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _check_ids(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if not one or " " in one or not one.isprintable():
            raise DatasetError(f"the id {one!r} is empty or has blanks: no run file can hold it")
        if one in seen:
            raise DatasetError(f"the id {one!r} stands for two things")
        seen.add(one)
