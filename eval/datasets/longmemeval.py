"""LongMemEval as it was published: a JSON list of questions, each with a haystack of sessions.

Wu et al., "LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory" (2025); the
files `longmemeval_s*.json` and `longmemeval_oracle.json` have one format. A haystack is a user with
one conversation a session, and its question looks in all of them. A sample is around in which an
entry has lists, `questions` and `answers`, that share one haystack: it is read too.

Gold are the turns with `has_answer` in the sessions that a question names. Where none of these has
a mark, only the sessions are known, and no metric of turns counts the question. A question whose id
ends with `_abs` asks for what was never said, so it has no gold.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import Dataset, DatasetError, Question, Turn, as_answer, as_utc

ABSTENTION = "abstention"

_DAY_NAME = re.compile(r"\s*\([^)]*\)\s*")
_TIME = "%Y/%m/%d %H:%M"

Json = Mapping[str, Any]


def load(data: Path) -> Dataset:
    """Return the set."""
    conversations: dict[str, Sequence[Turn]] = {}
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

    def __init__(self, entry: Json) -> None:
        self._entry = entry
        self.user = str(entry["question_id"])
        self.conversations: dict[str, Sequence[Turn]] = {}
        self._of_session: dict[str, list[str]] = {}
        self._answering: set[str] = set()
        seen: Counter[str] = Counter()
        for session, date, said in zip(
            entry["haystack_session_ids"],
            entry["haystack_dates"],
            entry["haystack_sessions"],
            strict=True,
        ):
            seen[session] += 1
            again = f"+{seen[session]}" if seen[session] > 1 else ""
            name = f"{self.user}/{session}{again}"
            self._of_session.setdefault(session, []).append(name)
            self.conversations[name] = list(self._turns(name, _time(date), said))

    def _turns(self, name: str, time: datetime, said: Sequence[Json]) -> Iterator[Turn]:
        for number, turn in enumerate(said, start=1):
            own_id = f"{name}/{number}"
            if turn.get("has_answer"):
                self._answering.add(own_id)
            yield Turn(own_id, name, time, None, turn["role"], turn["content"])

    def questions(self, notes: list[str]) -> Iterator[Question]:
        """Yield the entry's questions, and note those whose turns nobody marked."""
        for name, text, answer, sessions in self._asked():
            category = ABSTENTION if self.user.endswith("_abs") else self._entry["question_type"]
            places = [place for one in sessions for place in self._of_session.get(one, ())]
            gold = [
                turn.id
                for place in places
                for turn in self.conversations[place]
                if turn.id in self._answering
            ]
            if not gold and category != ABSTENTION:
                notes.append(f"{name}: no turn of its sessions is marked; only these are known")
            yield Question(
                id=name,
                conversation=None,
                user=self.user,
                text=text,
                category=category,
                gold=() if category == ABSTENTION else tuple(dict.fromkeys(gold)),
                now=_time(self._entry["question_date"]),
                answer=as_answer(answer),
                gold_conversations=() if category == ABSTENTION else tuple(dict.fromkeys(places)),
            )

    def _asked(self) -> Iterator[tuple[str, str, Any, Sequence[str]]]:
        """Yield (id, question, answer, sessions that hold it)."""
        entry = self._entry
        if "questions" not in entry:
            yield self.user, entry["question"], entry["answer"], entry["answer_session_ids"]
            return
        lists = (entry["questions"], entry["answers"], entry["answer_session_ids"])
        for number, (text, answer, sessions) in enumerate(zip(*lists, strict=True)):
            yield f"{self.user}/q{number}", text, answer, sessions


def _time(written: str) -> datetime:
    """Return `2023/12/18 (Mon) 04:17` in UTC; the day's name depends on no locale here."""
    value = datetime.strptime(_DAY_NAME.sub(" ", written), _TIME)  # noqa: DTZ007 - as_utc gives it a zone
    return as_utc(value)
