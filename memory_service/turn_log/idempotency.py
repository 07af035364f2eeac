"""Requests that come twice: idempotency keys, and the receipts of what was deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from memory_service.core.models import Receipt
from memory_service.items.strict_json import dumps
from memory_service.turn_log.schema import idempotency, receipts
from memory_service.turn_log.statements import Statements


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """What a request with an Idempotency-Key was, and what it led to, by reference."""

    request_hash: bytes
    result: Mapping[str, Any]


class RetryReads(Statements):
    """Finding what was done before."""

    def keyed_request(self, project_key: int, key: str, since: int) -> KeyedRequest | None:
        """Return the request that used an Idempotency-Key since a time."""
        row = self._connection.execute(
            sa.select(idempotency.c.request_hash, idempotency.c.result).where(
                idempotency.c.project_id == project_key,
                idempotency.c.key == key,
                idempotency.c.created_at >= since,
            )
        ).first()
        return None if row is None else KeyedRequest(row.request_hash, json.loads(row.result))

    def receipt(self, project_key: int, receipt_id: str) -> Receipt | None:
        """Return a receipt of the project."""
        row = self._connection.execute(
            sa.select(receipts).where(
                receipts.c.project_id == project_key, receipts.c.external_id == receipt_id
            )
        ).first()
        return (
            None
            if row is None
            else Receipt(row.external_id, row.kind, json.loads(row.counts), row.created_at)
        )


class RetryWrites(RetryReads):
    """Remembering what was done."""

    def remember_request(
        self,
        project_key: int,
        key: str,
        request_hash: bytes,
        result: Mapping[str, Any],
        *,
        conversation_key: int | None,
        seqs: tuple[int, int] | None,
        now: int,
        forget_before: int,
    ) -> None:
        """Keep what a keyed request led to; older ones are forgotten on the way."""
        self._connection.execute(
            sa.delete(idempotency).where(
                idempotency.c.project_id == project_key,
                sa.or_(idempotency.c.created_at < forget_before, idempotency.c.key == key),
            )
        )
        first_seq, last_seq = seqs or (None, None)
        self._connection.execute(
            sa.insert(idempotency).values(
                project_id=project_key,
                key=key,
                request_hash=request_hash,
                conversation_id=conversation_key,
                first_seq=first_seq,
                last_seq=last_seq,
                result=dumps(dict(result)),
                created_at=now,
            )
        )

    def add_receipt(
        self,
        project_key: int,
        receipt_id: str,
        kind: Literal["item", "conversation", "user"],
        counts: Mapping[str, int],
        now: int,
    ) -> Receipt:
        """Store the proof of a deletion: numbers only."""
        self._connection.execute(
            sa.insert(receipts).values(
                project_id=project_key,
                external_id=receipt_id,
                kind=kind,
                counts=dumps(dict(counts)),
                created_at=now,
            )
        )
        return Receipt(receipt_id, kind, counts, now)
