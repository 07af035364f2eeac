"""Receipts of deletions: kind and counts, never any text."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa

from memory_service.core.models import DeletedKind, Receipt
from memory_service.items.strict_json import dumps
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import receipts


class ReceiptQueries(Statements):
    """Reads receipts."""

    def get(self, project_key: int, receipt_id: str) -> Receipt | None:
        """Return a receipt of the project."""
        row = self._connection.execute(
            sa.select(receipts).where(
                receipts.c.project_key == project_key, receipts.c.id == receipt_id
            )
        ).first()
        return (
            None
            if row is None
            else Receipt(row.id, row.kind, json.loads(row.counts), row.created_at, row.user_key)
        )


class ReceiptRepository(ReceiptQueries):
    """Stores receipts."""

    def add(
        self,
        project_key: int,
        receipt_id: str,
        kind: DeletedKind,
        counts: Mapping[str, int],
        now: int,
        user_key: int | None,
    ) -> Receipt:
        """Store the proof of a deletion: numbers only. `user_key`: whose data was deleted."""
        self._connection.execute(
            sa.insert(receipts).values(
                project_key=project_key,
                id=receipt_id,
                kind=kind,
                counts=dumps(dict(counts)),
                created_at=now,
                user_key=user_key,
            )
        )
        return Receipt(receipt_id, kind, counts, now, user_key)
