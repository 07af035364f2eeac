"""The format `longmemeval`: LongMemEval as published, a JSON list of questions with haystacks.

Wu et al., "LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory" (2025); the
files `longmemeval_s*.json` and `longmemeval_oracle.json` have one format. A haystack is a user with
one conversation a session, and its question is asked about all of them. In a sample that is in
circulation an entry has lists, `questions` and `answers`, that share one haystack: it is read too.

Gold are the turns with `has_answer` in the sessions that a question names. Where none of these is
marked, only the sessions are known, and no metric of turns counts the question. A question whose id
ends with `_abs` asks for what was never said, so it has no gold.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.datasets.parsing import as_answer, as_utc
from eval.errors import DatasetError

ABSTENTION = "abstention"

_DAY_NAME = re.compile(r"\s*\([^)]*\)\s*")
_TIME = "%Y/%m/%d %H:%M"

Entry = Mapping[str, Any]


class _EntryQuestion(NamedTuple):
    """A question of an entry, and the sessions that hold its answer."""

    id: str
    text: str
    answer: Any
    sessions: Sequence[str]


def load(data: Path) -> Dataset:
    """Return the set; raises DatasetError for a file of another format."""
    conversations: dict[str, Sequence[DatasetTurn]] = {}
    users: dict[str, str] = {}
    questions: list[Question] = []
    notes: list[str] = []
    try:
        entries = json.loads(data.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise DatasetError(f"{data.name}: not a list of questions")
        for entry in entries:
            haystack = _Haystack(entry)
            conversations.update(haystack.conversations)
            users.update(dict.fromkeys(haystack.conversations, haystack.user))
            questions += haystack.questions(notes)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DatasetError(f"{data.name}: not LongMemEval's format: {error!r}") from error
    return Dataset("longmemeval", conversations, questions, tuple(notes), users)


class _Haystack:
    """One entry: a user with conversations, and the questions about them."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.user = str(entry["question_id"])
        self.conversations: dict[str, Sequence[DatasetTurn]] = {}
        self._conversations_of_session: dict[str, list[str]] = {}
        self._marked: set[str] = set()
        seen: Counter[str] = Counter()
        for session, date, messages in zip(
            entry["haystack_session_ids"],
            entry["haystack_dates"],
            entry["haystack_sessions"],
            strict=True,
        ):
            seen[session] += 1
            suffix = f"+{seen[session]}" if seen[session] > 1 else ""
            name = f"{self.user}/{session}{suffix}"
            self._conversations_of_session.setdefault(session, []).append(name)
            self.conversations[name] = list(self._turns(name, _time(date), messages))

    def _turns(self, name: str, time: datetime, messages: Sequence[Entry]) -> Iterator[DatasetTurn]:
        for number, message in enumerate(messages, start=1):
            turn_id = f"{name}/{number}"
            if message.get("has_answer"):
                self._marked.add(turn_id)
            yield DatasetTurn(turn_id, name, time, None, message["role"], message["content"])

    def questions(self, notes: list[str]) -> Iterator[Question]:
        """Yield the entry's questions; adds those without a marked turn to `notes`."""
        abstention = self.user.endswith("_abs")
        for question in self._entry_questions():
            conversations = [
                conversation
                for session in question.sessions
                for conversation in self._conversations_of_session.get(session, ())
            ]
            gold = self._marked_turns(conversations)
            if not gold and not abstention:
                notes.append(f"{question.id}: no turn of its sessions is marked as an answer")
            yield Question(
                id=question.id,
                conversation=None,
                user=self.user,
                text=question.text,
                category=ABSTENTION if abstention else self._entry["question_type"],
                gold=() if abstention else tuple(dict.fromkeys(gold)),
                now=_time(self._entry["question_date"]),
                answer=as_answer(question.answer),
                gold_conversations=() if abstention else tuple(dict.fromkeys(conversations)),
            )

    def _marked_turns(self, conversations: Sequence[str]) -> list[str]:
        return [
            turn.id
            for conversation in conversations
            for turn in self.conversations[conversation]
            if turn.id in self._marked
        ]

    def _entry_questions(self) -> Iterator[_EntryQuestion]:
        entry = self._entry
        if "questions" not in entry:
            sessions = entry["answer_session_ids"]
            yield _EntryQuestion(self.user, entry["question"], entry["answer"], sessions)
            return
        lists = (entry["questions"], entry["answers"], entry["answer_session_ids"])
        for number, (text, answer, sessions) in enumerate(zip(*lists, strict=True)):
            yield _EntryQuestion(f"{self.user}/q{number}", text, answer, sessions)


def _time(written: str) -> datetime:
    """Return `2023/12/18 (Mon) 04:17` in UTC, in any locale."""
    value = datetime.strptime(_DAY_NAME.sub(" ", written), _TIME)  # noqa: DTZ007 - as_utc gives it a zone
    return as_utc(value)
