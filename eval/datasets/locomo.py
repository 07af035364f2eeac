"""LoCoMo as it was published: a JSON list of conversations with dated sessions and questions.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents" (2024). A turn's
id is its conversation's and its own (`conv-26/D1:3`), since `D1:3` alone occurs in all of them.

A question names its evidence by turn. Some names are misspelt (`D8:6; D9:17` in one string,
`D:11:26`, `D30:05`): those that can be read in one way only are repaired, and those that cannot,
or name a turn that is not there, are left out; `Dataset.notes` lists them all.

Other labels are well written and wrong. Corrections are no part of the published file; they are
read from JSON lines with the `id` of a question and its `audit_gold`, or from the list of errors of
https://github.com/dial481/locomo-audit, which names a question by numbers (`locomo_1_qa24`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from eval.datasets import (
    Dataset,
    DatasetError,
    Question,
    Turn,
    as_answer,
    as_utc,
    jsonl,
    with_caption,
)

CATEGORIES = {1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop", 5: "adversarial"}

_SESSION = re.compile(r"session_(\d+)")
_TIME = "%I:%M %p on %d %B, %Y"
_NAME = re.compile(r"D:?(\d+):(\d+)")
_AUDITED = re.compile(r"locomo_(\d+)_qa(\d+)")
# The audit numbers the conversations as the published file orders them; a part of it has gaps.
_PUBLISHED_ORDER = tuple(f"conv-{n}" for n in (26, 30, 41, 42, 43, 44, 47, 48, 49, 50))
_BETWEEN = re.compile(r"[\s,;]+")


def load(data: Path, *, audit: Path | None = None) -> Dataset:
    """Return the set; every turn has the role `user`, for two people talk.

    To call one of them the assistant would tell the service something that the set does not say.
    `audit` is a file of corrected labels.
    """
    conversations: dict[str, Sequence[Turn]] = {}
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
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DatasetError(f"{data.name}: not LoCoMo's format: {error!r}") from error
    if audit is not None:
        questions = list(_corrected(questions, conversations, audit, notes))
    return Dataset("locomo", conversations, questions, tuple(notes))


def _corrected(
    questions: Sequence[Question],
    conversations: Mapping[str, Sequence[Turn]],
    audit: Path,
    notes: list[str],
) -> Iterator[Question]:
    """Yield the questions with the gold of the corrections, where these have one."""
    corrections = _corrections(audit)
    changed = 0
    for question in questions:
        gold = corrections.get(question.id, question.gold)
        known = {turn.id for turn in conversations[str(question.conversation)]}
        if not known.issuperset(gold):
            raise DatasetError(f"{audit.name}: a correction of {question.id} names an unknown turn")
        changed += set(gold) != set(question.gold)
        yield replace(question, gold=gold)
    notes.append(f"{changed} questions have another gold by {audit.name}")


def _corrections(audit: Path) -> dict[str, tuple[str, ...]]:
    """Return the corrected gold by question."""
    if audit.suffix == ".json":
        return _audited(audit)
    return {
        jsonl.string(line, "id", where): jsonl.ids(line, "audit_gold", where)
        for where, line in jsonl.lines(audit)
        if "audit_gold" in line
    }


def _audited(errors: Path) -> dict[str, tuple[str, ...]]:
    """Read the audit's list; an error of the answer alone repeats the evidence, or names none."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        for error in json.loads(errors.read_text(encoding="utf-8")):
            numbers = _AUDITED.fullmatch(error["question_id"])
            if numbers is None:
                raise DatasetError(f"{errors.name}: {error['question_id']!r} names no question")
            name = _PUBLISHED_ORDER[int(numbers[1])]
            turns = [
                f"D{int(m[1])}:{int(m[2])}" for m in _NAME.finditer(str(error["correct_evidence"]))
            ]
            if turns:
                gold = tuple(f"{name}/{one}" for one in dict.fromkeys(turns))
                found[f"{name}/q{int(numbers[2])}"] = gold
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DatasetError(f"{errors.name}: not the audit's format: {error!r}") from error
    return found


def read_evidence(written: str, known: Collection[str]) -> tuple[list[str], list[str]]:
    """Return (names of known turns, pieces that name none) of one string of evidence."""
    found = [f"D{int(match[1])}:{int(match[2])}" for match in _NAME.finditer(written)]
    rest = [piece for piece in _BETWEEN.split(_NAME.sub(" ", written)) if piece]
    return (
        [name for name in found if name in known],
        rest + [name for name in found if name not in known],
    )


def _turns(name: str, conversation: Mapping[str, Any]) -> Iterator[Turn]:
    """Yield the turns, session by session; some sessions have a date and no turns."""
    numbers = [int(found[1]) for key in conversation if (found := _SESSION.fullmatch(key))]
    for number in sorted(numbers):
        said_at = conversation[f"session_{number}_date_time"]
        time = as_utc(datetime.strptime(said_at, _TIME))  # noqa: DTZ007 - as_utc gives it a zone
        for turn in conversation[f"session_{number}"]:
            yield Turn(
                id=f"{name}/{turn['dia_id']}",
                conversation=name,
                time=time,
                speaker=turn["speaker"],
                role="user",
                text=with_caption(turn["text"], turn.get("blip_caption")),
            )


def _questions(
    asked: Sequence[Mapping[str, Any]], turns: Sequence[Turn], notes: list[str]
) -> Iterator[Question]:
    name = turns[0].conversation
    known = {turn.id.removeprefix(f"{name}/") for turn in turns}
    for number, question in enumerate(asked):
        own_id = f"{name}/q{number}"
        gold: list[str] = []
        for written in question.get("evidence", ()):
            read, unread = read_evidence(written, known)
            gold += read
            if unread:
                notes.append(f"{own_id}: evidence {written!r}: left out {', '.join(unread)}")
            elif read != [written]:
                notes.append(f"{own_id}: evidence {written!r}: read as {', '.join(read)}")
        yield Question(
            id=own_id,
            conversation=name,
            text=question["question"],
            category=CATEGORIES[question["category"]],
            gold=tuple(f"{name}/{one}" for one in dict.fromkeys(gold)),
            now=turns[-1].time,
            answer=as_answer(question.get("answer", question.get("adversarial_answer"))),
        )
