"""Readers of fields that several formats share: JSON lines, ids, times, captions, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.errors import DatasetError


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (position, object) of each line that is not blank; a position is `FILE:LINE`.

    Raises DatasetError for a line that is not a JSON object.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            position = f"{path.name}:{number}"
            if line.strip():
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise DatasetError(f"{position}: not JSON: {error}") from error
                if not isinstance(value, dict):
                    raise DatasetError(f"{position}: not an object")
                yield position, value


def string(line: Mapping[str, Any], name: str, position: str) -> str:
    """Return a member that is a string; raises DatasetError for any other."""
    value = line.get(name)
    if not isinstance(value, str):
        raise DatasetError(f"{position}: {name!r} is not a string")
    return value


def ids(line: Mapping[str, Any], name: str, position: str) -> tuple[str, ...]:
    """Return a member that is a list of ids, without duplicates; raises DatasetError."""
    value = line.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DatasetError(f"{position}: {name!r} is not a list of ids")
    return tuple(dict.fromkeys(value))


def with_caption(text: str, caption: str | None) -> str:
    """Return a turn's text with the description of a shared picture at its end."""
    return f"{text} [shares {caption}]".lstrip() if caption else text


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def as_answer(value: object) -> str | None:
    """Return an answer as text, also of a number or a list; None where there is none."""
    if value is None or value == "":
        return None
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
