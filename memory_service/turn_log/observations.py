"""What is known of prompts: each conversation's window and recalled block, and traces.

Keys, scores and numbers only: texts and ids are joined when they are read, so that what was
forgotten cannot be read here either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import PromptState, RecalledStretch, StoredTrace
from memory_service.items.strict_json import dumps
from memory_service.turn_log.schema import conversations, prompt_states, traces
from memory_service.turn_log.statements import Statements


class ObservationReads(Statements):
    """Reading prompt states and traces."""

    def prompt_state(self, conversation_key: int) -> PromptState | None:
        """Return how the conversation's last prompt was built."""
        row = self._connection.execute(
            sa.select(prompt_states).where(prompt_states.c.conversation_id == conversation_key)
        ).first()
        if row is None:
            return None
        return PromptState(
            window_seq=row.window_seq,
            input_parent_key=row.input_parent_id,
            input_hash=row.input_hash,
            recalled=tuple(RecalledStretch(**one) for one in json.loads(row.recalled)),
            left_out=tuple((key, reason) for key, reason in json.loads(row.left_out)),
            model=row.model,
            summaries=tuple(json.loads(row.summaries)),
        )

    def trace(self, project_key: int, trace_id: str) -> StoredTrace | None:
        """Return a trace of the project."""
        row = self._connection.execute(
            sa.select(traces).where(
                traces.c.project_id == project_key, traces.c.external_id == trace_id
            )
        ).first()
        if row is None:
            return None
        return StoredTrace(row.external_id, row.created_at, json.loads(row.detail))


class ObservationWrites(ObservationReads):
    """Keeping prompt states and traces."""

    def set_prompt_state(self, conversation_key: int, state: PromptState) -> None:
        """Remember how a prompt was built; nothing happens if the conversation was deleted."""
        values = {
            "window_seq": state.window_seq,
            "input_parent_id": state.input_parent_key,
            "input_hash": state.input_hash,
            "recalled": dumps([asdict(one) for one in state.recalled]),
            "left_out": dumps(state.left_out),
            "model": state.model,
            "summaries": dumps(state.summaries),
        }
        changed = self._connection.execute(
            sa.update(prompt_states)
            .where(prompt_states.c.conversation_id == conversation_key)
            .values(**values)
        )
        if changed.rowcount == 0 and self._exists(conversation_key):
            self._connection.execute(
                sa.insert(prompt_states).values(conversation_id=conversation_key, **values)
            )

    def add_trace(
        self,
        project_key: int,
        trace_id: str,
        created_at: int,
        detail: Mapping[str, Any],
    ) -> None:
        """Keep a trace."""
        self._connection.execute(
            sa.insert(traces).values(
                project_id=project_key,
                external_id=trace_id,
                created_at=created_at,
                detail=dumps(dict(detail)),
            )
        )

    def prune_traces(self, project_key: int, *, keep: int, forget_before: int) -> None:
        """Remove those of a project's traces that are too old, and the oldest if too many."""
        newest = (
            sa.select(traces.c.id)
            .where(traces.c.project_id == project_key)
            .order_by(traces.c.id.desc())
            .limit(1)
            .offset(keep)
        )
        oldest_kept = self._connection.scalar(newest) or 0
        self._connection.execute(
            sa.delete(traces).where(
                traces.c.project_id == project_key,
                sa.or_(traces.c.created_at < forget_before, traces.c.id <= oldest_kept),
            )
        )

    def _exists(self, conversation_key: int) -> bool:
        return (
            self._connection.scalar(
                sa.select(conversations.c.id).where(conversations.c.id == conversation_key)
            )
            is not None
        )
