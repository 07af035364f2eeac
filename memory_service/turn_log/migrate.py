"""Bring a turn log's schema up to date, and refuse one that a newer version wrote."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from memory_service.core.errors import StartupError

_FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine, *, to: str = "head") -> None:
    """Run the migrations that are missing, in one transaction.

    Raises StartupError when the log is at a revision this version does not know: continuing
    would write rows that the newer version does not expect.
    """
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        current = _current(connection)
        if current == scripts.as_revision_number(to):
            return
        revisions = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in revisions:
            raise StartupError(
                f"The turn log is at schema revision {current!r}, which this version does not know:"
                " a newer memory_service wrote it. Install that version, or restore a backup."
            )
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)
