"""Properties of the data folder: the embedder, its dimension, the version of the terms."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import properties


class PropertyQueries(Statements):
    """Reads properties."""

    def get(self, name: str) -> str | None:
        """Return the value of a property, None if it is not set."""
        return self._connection.scalar(
            sa.select(properties.c.value).where(properties.c.name == name)
        )


class PropertyRepository(PropertyQueries):
    """Writes properties."""

    def set(self, name: str, value: str) -> None:
        """Set the value of a property."""
        changed = self._connection.execute(
            sa.update(properties).where(properties.c.name == name).values(value=value)
        )
        if changed.rowcount == 0:
            self._connection.execute(sa.insert(properties).values(name=name, value=value))
