"""Finds the format of a source, or explains why it has none."""

from __future__ import annotations

from ingest.formats import FORMATS, recognise
from ingest.formats.format import Format
from ingest.sources.source import ExportSource
from memory_service.core.errors import StartupError


def find_format(source: ExportSource, name: str | None) -> Format:
    """Return the format of this name, else the one recognised; raises StartupError without one."""
    if name is not None:
        if name not in FORMATS:
            raise StartupError(f"There is no format {name!r}. The formats: {', '.join(FORMATS)}.")
        return FORMATS[name]
    recognised = recognise(source)
    if recognised is None:
        expected = "\n".join(f"  {each.NAME}: {each.EXPECTS}" for each in FORMATS.values())
        raise StartupError(
            f"{source.label} is none of the known formats:\n{expected}\n"
            f"{_description(source)} If it is one of them, choose it with --format."
        )
    return recognised


def _description(source: ExportSource) -> str:
    """Return what is in a source of no known format."""
    skipped = "".join(f" {name} {reason}." for name, reason in source.skipped[:5])
    if not source.members:
        return f"It holds no files that can be read.{skipped}"
    if len(source.members) > 1:
        names = ", ".join(member.name for member in source.members[:5])
        return f"It holds {len(source.members):,} files: {names}, ….{skipped}"
    member = source.members[0]
    beginning = f"begins with {member.head[:60]!r}" if member.head else "is empty"
    return f"{member.name} {beginning}.{skipped}"
