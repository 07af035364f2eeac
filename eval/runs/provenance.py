"""What a run leaves behind: TREC lines that other tools read, and JSON that says what it was."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Ranking = Sequence[tuple[str, float]]
"""Ids with their scores, best first."""


def write_trec(path: Path, rankings: Iterable[tuple[str, Ranking]], tag: str) -> None:
    """Write `query Q0 doc rank score tag` lines; a query that found nothing has none.

    Tools sort by score, and break ties each in its own way; see `falling`.
    """
    with path.open("w", encoding="utf-8") as file:
        for query, ranking in rankings:
            scores = falling(score for _, score in ranking)
            for rank, ((doc, _), score) in enumerate(zip(ranking, scores, strict=True), start=1):
                file.write(f"{query} Q0 {doc} {rank} {score:.9g} {tag}\n")


def falling(scores: Iterable[float]) -> Iterator[float]:
    """Yield scores that never rise, each below the one before: a tie is lowered by the least step.

    The steps are those of 32-bit floats, which trec_eval computes with.
    """
    before = np.float32(np.inf)
    for score in scores:
        one = np.float32(score)
        before = one if one < before else np.nextafter(before, np.float32(-np.inf))
        yield float(before)


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as indented JSON."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def provenance(packages: Iterable[str]) -> dict[str, Any]:
    """Return what a number was taken with: the code, the machine, the packages."""
    changed = git("status", "--porcelain")
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if changed is None else bool(changed),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": {name: installed_version(name) for name in packages},
    }


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git(*arguments: str) -> str | None:
    """Return what git says, or None outside a checkout."""
    try:
        said = subprocess.run(
            ["git", *arguments],  # noqa: S607 - whichever git the caller uses
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def installed_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
