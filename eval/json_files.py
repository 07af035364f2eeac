"""Results on disk: indented JSON, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eval.errors import RunError

Json = dict[str, Any]


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as indented JSON."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def read_lines(path: Path) -> list[Json]:
    """Return the objects of JSON lines; raises RunError for a file that cannot be read."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: {error}") from error
