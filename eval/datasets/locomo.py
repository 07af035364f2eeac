"""The format `locomo`: LoCoMo as published, a JSON list of conversations with dated sessions.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents" (2024). A turn's
id is its conversation's and its own (`conv-26/D1:3`), since `D1:3` alone occurs in all of them.

A question names its evidence by turn. Some names are misspelt (`D8:6; D9:17` in one string,
`D:11:26`, `D30:05`). A name that can be read in one way only is repaired. One that cannot, or names
a turn that does not exist, is left out. `Dataset.notes` lists both.

Other labels are well-formed and wrong. Corrections are not in the published file; they are read
from JSON lines with the `id` of a question and its `audit_gold`, or from the list of errors of
https://github.com/dial481/locomo-audit, which names a question by numbers (`locomo_1_qa24`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from eval.datasets import parsing
from eval.datasets.models import ADVERSARIAL, Dataset, DatasetTurn, Question
from eval.errors import DatasetError

CATEGORIES = {1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop", 5: ADVERSARIAL}

_SESSION = re.compile(r"session_(\d+)")
_TIME = "%I:%M %p on %d %B, %Y"
_TURN_NAME = re.compile(r"D:?(\d+):(\d+)")
_AUDITED_QUESTION = re.compile(r"locomo_(\d+)_qa(\d+)")
# The audit numbers the conversations in the order of the published file.
_PUBLISHED_ORDER = tuple(f"conv-{n}" for n in (26, 30, 41, 42, 43, 44, 47, 48, 49, 50))
_SEPARATORS = re.compile(r"[\s,;]+")
_FORMAT_ERRORS = (ValueError, KeyError, TypeError, IndexError)


class EvidenceNames(NamedTuple):
    """The names of one string of evidence: those of known turns, and the pieces that name none."""

    known: list[str]
    unread: list[str]


def load(data: Path, *, audit: Path | None = None) -> Dataset:
    """Return the set; `audit` is a file of corrected labels.

    Every turn has the role `user`: two people talk, and the set does not call one of them the
    assistant.
    """
    conversations: dict[str, Sequence[DatasetTurn]] = {}
    questions: list[Question] = []
    notes: list[str] = []
    try:
        samples = json.loads(data.read_text(encoding="utf-8"))
        if not isinstance(samples, list):
            raise DatasetError(f"{data.name}: not a list of conversations")
        for sample in samples:
            name = sample["sample_id"]
            if name in conversations:
                raise DatasetError(f"{data.name}: two conversations are called {name!r}")
            conversations[name] = list(_turns(name, sample["conversation"]))
            questions += _questions(sample["qa"], conversations[name], notes)
    except _FORMAT_ERRORS as error:
        raise DatasetError(f"{data.name}: not LoCoMo's format: {error!r}") from error
    if audit is not None:
        questions = list(_corrected(questions, conversations, audit, notes))
    return Dataset("locomo", conversations, questions, tuple(notes))


def read_evidence(written: str, turn_names: Collection[str]) -> EvidenceNames:
    """Read one string of evidence against the names of the conversation's turns."""
    names = _turn_names(written)
    pieces = [piece for piece in _SEPARATORS.split(_TURN_NAME.sub(" ", written)) if piece]
    return EvidenceNames(
        [name for name in names if name in turn_names],
        pieces + [name for name in names if name not in turn_names],
    )


def _turn_names(written: str) -> list[str]:
    """Return the names of turns in a text, in one spelling: `D30:05` is `D30:5`."""
    return [f"D{int(match[1])}:{int(match[2])}" for match in _TURN_NAME.finditer(written)]


def _turns(name: str, conversation: Mapping[str, Any]) -> Iterator[DatasetTurn]:
    """Yield the turns, session by session; some sessions have a date and no turns."""
    numbers = [int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key))]
    for number in sorted(numbers):
        date = conversation[f"session_{number}_date_time"]
        time = parsing.as_utc(datetime.strptime(date, _TIME))  # noqa: DTZ007 - as_utc gives it a zone
        for turn in conversation[f"session_{number}"]:
            yield DatasetTurn(
                id=f"{name}/{turn['dia_id']}",
                conversation=name,
                time=time,
                speaker=turn["speaker"],
                role="user",
                text=parsing.with_caption(turn["text"], turn.get("blip_caption")),
            )


def _questions(
    entries: Sequence[Mapping[str, Any]], turns: Sequence[DatasetTurn], notes: list[str]
) -> Iterator[Question]:
    """Yield the questions of a conversation; adds what was repaired or left out to `notes`."""
    name = turns[0].conversation
    turn_names = {turn.id.removeprefix(f"{name}/") for turn in turns}
    for number, entry in enumerate(entries):
        question_id = f"{name}/q{number}"
        gold: list[str] = []
        for written in entry.get("evidence", ()):
            evidence = read_evidence(written, turn_names)
            gold += evidence.known
            if evidence.unread:
                left_out = ", ".join(evidence.unread)
                notes.append(f"{question_id}: evidence {written!r}: left out {left_out}")
            elif evidence.known != [written]:
                read_as = ", ".join(evidence.known)
                notes.append(f"{question_id}: evidence {written!r}: read as {read_as}")
        yield Question(
            id=question_id,
            conversation=name,
            text=entry["question"],
            category=CATEGORIES[entry["category"]],
            gold=tuple(f"{name}/{turn_name}" for turn_name in dict.fromkeys(gold)),
            now=turns[-1].time,
            answer=parsing.as_answer(entry.get("answer", entry.get("adversarial_answer"))),
        )


def _corrected(
    questions: Sequence[Question],
    conversations: Mapping[str, Sequence[DatasetTurn]],
    audit: Path,
    notes: list[str],
) -> Iterator[Question]:
    """Yield the questions with their corrected gold; adds the number of changes to `notes`."""
    corrections = _corrections(audit)
    changed = 0
    for question in questions:
        gold = corrections.get(question.id, question.gold)
        turn_ids = {turn.id for turn in conversations[str(question.conversation)]}
        if not turn_ids.issuperset(gold):
            raise DatasetError(f"{audit.name}: a correction of {question.id} names an unknown turn")
        changed += set(gold) != set(question.gold)
        yield replace(question, gold=gold)
    notes.append(f"{changed} questions have another gold by {audit.name}")


def _corrections(audit: Path) -> dict[str, tuple[str, ...]]:
    """Return the corrected gold by question."""
    if audit.suffix == ".json":
        return _audited(audit)
    return {
        parsing.string(line, "id", position): parsing.ids(line, "audit_gold", position)
        for position, line in parsing.json_lines(audit)
        if "audit_gold" in line
    }


def _audited(errors: Path) -> dict[str, tuple[str, ...]]:
    """Read the audit's list; an error of the answer alone repeats the evidence, or names none."""
    corrections: dict[str, tuple[str, ...]] = {}
    try:
        for error in json.loads(errors.read_text(encoding="utf-8")):
            numbers = _AUDITED_QUESTION.fullmatch(error["question_id"])
            if numbers is None:
                raise DatasetError(f"{errors.name}: {error['question_id']!r} names no question")
            name = _PUBLISHED_ORDER[int(numbers[1])]
            turn_names = dict.fromkeys(_turn_names(str(error["correct_evidence"])))
            if turn_names:
                gold = tuple(f"{name}/{turn_name}" for turn_name in turn_names)
                corrections[f"{name}/q{int(numbers[2])}"] = gold
    except _FORMAT_ERRORS as error:
        raise DatasetError(f"{errors.name}: not the audit's format: {error!r}") from error
    return corrections
