"""Responses of the Responses API, by reference to turns.

`detail` is a response's JSON without its output. The texts of input and output are in their turns
only, so that a deleted turn is gone from its response too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from memory_service.items.strict_json import dumps
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import conversations, responses


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response: the keys of its input and output turns, and its other fields.

    A request that names it as `previous_response_id` continues below the turn `tip_key`.
    """

    id: str
    conversation_key: int
    conversation_id: str
    tip_key: int
    input_keys: Sequence[int]
    output_keys: Sequence[int]
    detail: Mapping[str, Any]


class ResponseQueries(Statements):
    """Reads responses."""

    def get(self, project_key: int, response_id: str) -> StoredResponse | None:
        """Return a response of the project."""
        row = self._connection.execute(
            sa.select(responses, conversations.c.id.label("conversation_id"))
            .join(conversations, conversations.c.key == responses.c.conversation_key)
            .where(responses.c.project_key == project_key, responses.c.id == response_id)
        ).first()
        if row is None:
            return None
        return StoredResponse(
            id=row.id,
            conversation_key=row.conversation_key,
            conversation_id=row.conversation_id,
            tip_key=row.tip_key,
            input_keys=json.loads(row.input_keys),
            output_keys=json.loads(row.output_keys),
            detail=json.loads(row.detail),
        )

    def exist(self, conversation_key: int) -> bool:
        """Return whether a conversation has responses."""
        query = sa.select(responses.c.key).where(responses.c.conversation_key == conversation_key)
        return self._connection.scalar(query.limit(1)) is not None


class ResponseRepository(ResponseQueries):
    """Stores responses."""

    def add(self, project_key: int, response: StoredResponse, now: int) -> None:
        """Store a response."""
        self._connection.execute(
            sa.insert(responses).values(
                project_key=project_key,
                conversation_key=response.conversation_key,
                id=response.id,
                tip_key=response.tip_key,
                input_keys=dumps(list(response.input_keys)),
                output_keys=dumps(list(response.output_keys)),
                detail=dumps(dict(response.detail)),
                created_at=now,
            )
        )
