"""Traces: the record of how a prompt or a search came about.

Keys, scores and numbers only: texts and ids are joined on reading, so that deleted text cannot be
read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import StoredTrace
from memory_service.items.strict_json import dumps
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import traces


class TraceQueries(Statements):
    """Reads traces."""

    def get(self, project_key: int, trace_id: str) -> StoredTrace | None:
        """Return a trace of the project."""
        row = self._connection.execute(
            sa.select(traces).where(traces.c.project_key == project_key, traces.c.id == trace_id)
        ).first()
        if row is None:
            return None
        return StoredTrace(row.id, row.created_at, json.loads(row.detail))


class TraceRepository(TraceQueries):
    """Stores and prunes traces."""

    def add(
        self,
        project_key: int,
        trace_id: str,
        created_at: int,
        detail: Mapping[str, Any],
    ) -> None:
        """Keep a trace."""
        self._connection.execute(
            sa.insert(traces).values(
                project_key=project_key,
                id=trace_id,
                created_at=created_at,
                detail=dumps(dict(detail)),
            )
        )

    def prune(self, project_key: int, *, keep: int, delete_before: int) -> None:
        """Remove those of a project's traces that are too old, and the oldest if too many."""
        newest = (
            sa.select(traces.c.key)
            .where(traces.c.project_key == project_key)
            .order_by(traces.c.key.desc())
            .limit(1)
            .offset(keep)
        )
        oldest_kept = self._connection.scalar(newest) or 0
        self._connection.execute(
            sa.delete(traces).where(
                traces.c.project_key == project_key,
                sa.or_(traces.c.created_at < delete_before, traces.c.key <= oldest_kept),
            )
        )
