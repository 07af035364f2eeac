"""Answers of a model become siblings below their question."""

from __future__ import annotations

from typing import Any

from memory_service.conversations.echo import (
    echo_metadata,
)
from memory_service.core.settings import Settings
from memory_service.text.spans import Span
from tests.support.factories import message, new_turn
from tests.support.storing import append, create, findings, idle_service
from tests.support.upstream import ECHO


def test_answers_with_echoes_on_branches_verify(
    settings: Settings,
) -> None:
    with idle_service(settings) as service:
        first = create(service, "c", "hello there", message("one two three", "assistant"))
        append(service, "c", "an edited question", below=first[0].id)
        project = service.local_project()
        text = f"{ECHO}one two three four five six, and something of its own as well"
        metadata = echo_metadata([Span(10, 37)])
        answers = [
            _answer("first"),
            _answer("second"),
            _answer(text, metadata=metadata),
        ]
        head = append(service, "c", "and now?")[-1]
        stored = service.writer.append_answers(project, "c", head.id, answers)
        assert [turn.active for turn in stored.turns] == [True, False, False]
        late = service.writer.append_answers(project, "c", head.id, [_answer("late")])
        assert [turn.active for turn in late.turns] == [False]
        assert findings(service, with_index=False) == []


def _answer(text: str, **stored_as: Any) -> Any:
    return new_turn(message(text, "assistant"), **stored_as)
