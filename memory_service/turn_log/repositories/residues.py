"""Residues: places where bytes of deleted data may remain until files are rewritten."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.core.models import Residue, ResiduePlace
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import residues


class ResidueQueries(Statements):
    """Reads residues."""

    def erased(self) -> list[Residue]:
        """Return where deleted data may still lie, in the order of the deletions."""
        rows = self._connection.execute(
            sa.select(residues.c.key, residues.c.place, residues.c.collection_key)
            .where(residues.c.erased)
            .order_by(residues.c.key)
        )
        return [Residue(*row) for row in rows]

    def newest(self) -> int | None:
        """Return the key of the newest of these, or None if there is none."""
        newest = sa.select(sa.func.max(residues.c.key)).where(residues.c.erased)
        key: int | None = self._connection.scalar(newest)
        return key


class ResidueRepository(ResidueQueries):
    """Notes residues, and that they are gone."""

    def add(
        self,
        place: ResiduePlace,
        collection_key: int | None = None,
        conversation_key: int | None = None,
        *,
        erased: bool = True,
    ) -> None:
        """Note that a file may hold what is gone from its rows.

        What only moved elsewhere is not `erased`; it is a residue as soon as its conversation is.
        """
        self._insert(
            residues,
            [
                {
                    "place": place,
                    "collection_key": collection_key,
                    "conversation_key": conversation_key,
                    "erased": erased,
                }
            ],
        )

    def mark_erased(self, conversation_key: int) -> None:
        """Note that vectors of a conversation are to leave the collections it once was in, too."""
        of_it = residues.c.conversation_key == conversation_key, ~residues.c.erased
        moved = self._connection.scalars(sa.select(residues.c.collection_key).where(*of_it)).all()
        # New rows, not changed ones: an erasure that is running settles all rows older than it.
        self._connection.execute(sa.delete(residues).where(*of_it))
        for collection_key in moved:
            self.add("collection", collection_key)

    def settle(self, last_key: int) -> None:
        """Delete the residues up to a key: their files were rewritten."""
        self._connection.execute(
            sa.delete(residues).where(residues.c.erased, residues.c.key <= last_key)
        )

    def carry(self, old_collection: int, new_collection: int, after: int) -> None:
        """Let a collection that replaces another answer for what left it meanwhile."""
        self._connection.execute(
            sa.update(residues)
            .where(residues.c.collection_key == old_collection, residues.c.key > after)
            .values(collection_key=new_collection)
        )

    def settle_moves(self, collection_key: int) -> None:
        """Delete what moved out of a collection whose files go anyway."""
        self._connection.execute(
            sa.delete(residues).where(
                residues.c.collection_key == collection_key, ~residues.c.erased
            )
        )
