"""Idempotency keys: what a keyed request stored, by reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from memory_service.items.strict_json import dumps
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import idempotency


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an Idempotency-Key: its hash, and its result with references."""

    request_hash: bytes
    result: Mapping[str, Any]


class IdempotencyQueries(Statements):
    """Finds earlier requests by their key."""

    def get(self, project_key: int, key: str, since: int) -> KeyedRequest | None:
        """Return the request that used an Idempotency-Key since a time."""
        row = self._connection.execute(
            sa.select(idempotency.c.request_hash, idempotency.c.result).where(
                idempotency.c.project_key == project_key,
                idempotency.c.idempotency_key == key,
                idempotency.c.created_at >= since,
            )
        ).first()
        return None if row is None else KeyedRequest(row.request_hash, json.loads(row.result))


class IdempotencyRepository(IdempotencyQueries):
    """Stores the results of keyed requests."""

    def add(
        self,
        project_key: int,
        key: str,
        request_hash: bytes,
        result: Mapping[str, Any],
        *,
        conversation_key: int | None,
        seqs: tuple[int, int] | None,
        now: int,
        delete_before: int,
    ) -> None:
        """Store the result of a keyed request; delete those from before `delete_before`."""
        self._connection.execute(
            sa.delete(idempotency).where(
                idempotency.c.project_key == project_key,
                sa.or_(
                    idempotency.c.created_at < delete_before, idempotency.c.idempotency_key == key
                ),
            )
        )
        first_seq, last_seq = seqs or (None, None)
        self._connection.execute(
            sa.insert(idempotency).values(
                project_key=project_key,
                idempotency_key=key,
                request_hash=request_hash,
                conversation_key=conversation_key,
                first_seq=first_seq,
                last_seq=last_seq,
                result=dumps(dict(result)),
                created_at=now,
            )
        )
