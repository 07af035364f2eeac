"""A data set: conversations of turns, and questions with their gold: the turns that answer them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from eval.errors import DatasetError

ADVERSARIAL = "adversarial"
"""LoCoMo's category of questions that no turn answers. Their gold is a distractor, so results are
reported without them first.
"""


@dataclass(frozen=True, slots=True)
class DatasetTurn:
    """One message. `id` is the set's own; `time` has an offset (UTC where the set has none)."""

    id: str
    conversation: str
    time: datetime
    speaker: str | None
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the ids of the turns that answer it: `gold` is empty where none does.

    It is asked about one `conversation` or, where that is None, about all conversations of a
    `user`. `now` is when it is asked: the time of the conversation's last turn where the set does
    not say. `answer_in` is the answer as the gold turns write it, where the set says it.
    `gold_conversations` are those that hold the answer, where only these are known.
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
        """Raise DatasetError unless either a conversation or a user is named."""
        if (self.conversation is None) == (self.user is None):
            raise DatasetError(f"{self.id}: not exactly one of a conversation and a user")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Conversations by id, their turns in order, and questions about them.

    `users` names the user of each conversation that has one. `notes` list defects of the labels and
    how each was read.
    """

    name: str
    conversations: Mapping[str, Sequence[DatasetTurn]]
    questions: Sequence[Question]
    notes: Sequence[str] = ()
    users: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise DatasetError for an id that a run file cannot hold, and for a duplicate id."""
        _check_ids(turn.id for turns in self.conversations.values() for turn in turns)
        _check_ids(question.id for question in self.questions)

    @property
    def turn_count(self) -> int:
        """Return the number of turns of all conversations."""
        return sum(map(len, self.conversations.values()))

    def scope(self, question: Question) -> list[str]:
        """Return the conversations that a question is asked about."""
        if question.conversation is not None:
            return [question.conversation]
        return [name for name, user in self.users.items() if user == question.user]

    def group(self, question: Question) -> str:
        """Return the group of a question: its user, or its conversation if that has no user.

        Questions of one group are not independent observations: intervals and splits go by group.
        """
        if question.conversation is None:
            return str(question.user)
        return self.users.get(question.conversation, question.conversation)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the turns and questions: the same for every format of one set."""
        digest = sha256()
        for turns in self.conversations.values():
            for turn in turns:
                digest.update(_json_line(self._turn_fields(turn)))
        for question in self.questions:
            digest.update(_json_line(_question_fields(question)))
        return digest.hexdigest()

    def _turn_fields(self, turn: DatasetTurn) -> list[object]:
        head = [turn.id, turn.conversation, turn.time.isoformat(), turn.speaker, turn.role]
        return [*head, turn.text, self.users.get(turn.conversation)]


def _question_fields(question: Question) -> list[object]:
    head = [question.id, question.conversation, question.user, question.now.isoformat()]
    return [*head, question.text, question.category, sorted(question.gold)]


def _json_line(values: Sequence[object]) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode() + b"\n"


def _check_ids(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for item_id in ids:
        if not item_id or " " in item_id or not item_id.isprintable():
            raise DatasetError(
                f"the id {item_id!r} is empty or has blanks: no run file can hold it"
            )
        if item_id in seen:
            raise DatasetError(f"the id {item_id!r} occurs twice")
        seen.add(item_id)
