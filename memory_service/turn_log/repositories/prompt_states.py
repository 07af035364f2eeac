"""Prompt states: how each conversation's last prompt was built.

Keys, scores and numbers only: texts and ids are joined on reading, so that deleted text cannot be
read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import PromptState, RecalledSpan
from memory_service.items.strict_json import dumps
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import conversations, prompt_states


class PromptStateQueries(Statements):
    """Reads prompt states."""

    def get(self, conversation_key: int) -> PromptState | None:
        """Return how the conversation's last prompt was built."""
        row = self._connection.execute(
            sa.select(prompt_states).where(prompt_states.c.conversation_key == conversation_key)
        ).first()
        if row is None:
            return None
        return PromptState(
            window_seq=row.window_seq,
            input_parent_key=row.input_parent_key,
            input_hash=row.input_hash,
            recalled=tuple(map(_span_from_json, json.loads(row.recalled))),
            left_out=tuple((key, reason) for key, reason in json.loads(row.left_out)),
            model=row.model,
            summaries=tuple(json.loads(row.summaries)),
        )


class PromptStateRepository(PromptStateQueries):
    """Writes prompt states."""

    def set(self, conversation_key: int, state: PromptState) -> None:
        """Store how a prompt was built; nothing happens if the conversation was deleted."""
        values = {
            "window_seq": state.window_seq,
            "input_parent_key": state.input_parent_key,
            "input_hash": state.input_hash,
            "recalled": dumps(list(map(_span_to_json, state.recalled))),
            "left_out": dumps(state.left_out),
            "model": state.model,
            "summaries": dumps(state.summaries),
        }
        changed = self._connection.execute(
            sa.update(prompt_states)
            .where(prompt_states.c.conversation_key == conversation_key)
            .values(**values)
        )
        if changed.rowcount == 0 and self._exists(conversation_key):
            self._connection.execute(
                sa.insert(prompt_states).values(conversation_key=conversation_key, **values)
            )

    def _exists(self, conversation_key: int) -> bool:
        return (
            self._connection.scalar(
                sa.select(conversations.c.key).where(conversations.c.key == conversation_key)
            )
            is not None
        )


def _span_from_json(fields: Mapping[str, Any]) -> RecalledSpan:
    return RecalledSpan(
        turn_key=fields["turn_key"],
        start=fields["start"],
        end=fields["end"],
        score=fields["score"],
        features=fields["channels"],
    )


def _span_to_json(span: RecalledSpan) -> dict[str, Any]:
    return {
        "turn_key": span.turn_key,
        "start": span.start,
        "end": span.end,
        "score": span.score,
        "channels": span.features,
    }
