"""Projects: the tenants that own API keys, users and conversations."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.turn_log.repositories.statements import Statements, inserted_key
from memory_service.turn_log.schema import projects


class ProjectQueries(Statements):
    """Reads projects."""

    def key_of(self, name: str) -> int | None:
        """Return a project's key by its name."""
        return self._connection.scalar(sa.select(projects.c.key).where(projects.c.name == name))

    def names(self) -> dict[int, str]:
        """Return the names of all projects by key."""
        rows = self._connection.execute(sa.select(projects.c.key, projects.c.name))
        return {row.key: row.name for row in rows}


class ProjectRepository(ProjectQueries):
    """Writes projects."""

    def ensure(self, name: str, now: int) -> int:
        """Return the project's key, making the project if it is new."""
        existing = self.key_of(name)
        if existing is not None:
            return existing
        made = self._connection.execute(sa.insert(projects).values(name=name, created_at=now))
        return inserted_key(made)
