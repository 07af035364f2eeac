"""Provenance: what a measurement was taken with, so that its numbers can be judged and repeated.

Every command that writes numbers writes the result of `provenance` with them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from eval.json_files import Json
from memory_service.core.settings import Settings

PACKAGES = (
    *("memory_service", "bm25s", "chromadb", "fastapi", "httpx2", "numpy", "sqlalchemy"),
    *("tiktoken", "tokenizers", "uvicorn", "wordllama"),
)
"""The packages whose versions can change a number."""

PRIVATE = {
    "data_dir",
    "tiktoken_cache_dir",
    "embedder_base_url",
    "embedder_api_key",
    "embedder_config",
    "upstream_base_url",
    "upstream_api_key",
}
"""Settings that are not written: locations on this machine, and what may hold a key."""

_ONLY_IF_KNOWN = ("seed", "dataset_hash", "files")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The code, the machine, the packages, the settings and the inputs of a measurement.

    `commit` and `dirty` are None outside a checkout; `files` are the SHA-256 of the files read, by
    name. What a command does not have (`seed`, `dataset_hash`, `files`) is None.
    """

    commit: str | None
    dirty: bool | None
    measured_at: str
    python: str
    sqlite: str
    platform: str
    cpu_count: int | None
    load_average: tuple[float, float, float] | None
    packages: Mapping[str, str | None]
    settings: Json
    seed: int | None
    dataset_hash: str | None
    files: Mapping[str, str] | None

    def as_json(self) -> Json:
        """Return the members of a result, without those that the command does not have."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None or name not in _ONLY_IF_KNOWN
        }


def provenance(
    settings: Settings,
    *,
    seed: int | None = None,
    dataset_hash: str | None = None,
    files: Iterable[Path] | None = None,
) -> Provenance:
    """Return the provenance of a measurement that is taken now, with these settings and inputs."""
    changes = _git("status", "--porcelain")
    return Provenance(
        commit=_git("rev-parse", "HEAD"),
        dirty=None if changes is None else bool(changes),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        platform=platform.platform(),
        cpu_count=os.cpu_count(),
        load_average=os.getloadavg() if hasattr(os, "getloadavg") else None,
        packages={name: _installed_version(name) for name in PACKAGES},
        settings=settings.model_dump(mode="json", exclude=PRIVATE),
        seed=seed,
        dataset_hash=dataset_hash,
        files=None if files is None else {path.name: _file_hash(path) for path in files},
    )


def _file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(*arguments: str) -> str | None:
    """Return the output of a git command, or None outside a checkout."""
    try:
        completed = subprocess.run(
            ["git", *arguments],  # noqa: S607 - the caller's git
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return completed.stdout.strip()


def _installed_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
