"""The data sets by name: which reader and which files each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import typer

from eval.datasets import jsonl, locomo, longmemeval, own
from eval.datasets.models import Dataset

FETCHED = Path("eval-data")
"""The folder that `python -m eval fetch` writes to, and that is read if no option names a file."""

DatasetName = Literal[
    "own", "jsonl", "locomo", "longmemeval-s", "longmemeval-oracle", "realtalk", "beam", "tmd"
]
NAMES: tuple[DatasetName, ...] = get_args(DatasetName)

AUDIT = "locomo_errors.json"
"""The name of the fetched file of corrections of LoCoMo's labels."""

# Sets in JSON lines, with the beginning of their files' names.
_IN_JSON_LINES: Mapping[str, str] = {"realtalk": "realtalk", "beam": "beam_100k", "tmd": "tmd"}
PUBLISHED: Mapping[str, str] = {
    "locomo": "locomo10.json",
    "longmemeval-s": "longmemeval_s_cleaned.json",
    "longmemeval-oracle": "longmemeval_oracle.json",
}
"""Sets that are read as published, with the name of their file."""


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A set as the options of a command name it: its name, its files, and which labels to use.

    `data` is the published file or, for sets in JSON lines, the folder of both files.
    """

    name: DatasetName = "own"
    docs: Path | None = None
    queries: Path | None = None
    data: Path | None = None
    audit: Path | None = None
    audit_gold: bool = False
    paraphrases: bool = False

    def load(self) -> Dataset:
        """Read the set.

        Raises BadParameter for options that do not belong together, DatasetError for bad files.
        """
        self._check_labels()
        if self.name == "own":
            self._check_files()
            return own.load()
        if self.name in PUBLISHED:
            self._check_files("data")
            return self._published(self._needed("data", self.data or self._fetched()))
        self._check_files("docs", "queries", *(() if self.name == "jsonl" else ("data",)))
        return jsonl.load(
            *self._docs_and_queries(), audit_gold=self.audit_gold, paraphrases=self.paraphrases
        )

    def files(self) -> list[Path]:
        """Return the files to read; none for the bundled set."""
        if self.name == "own":
            return []
        paths = (
            [self.data or self._fetched()]
            if self.name in PUBLISHED
            else [*self._docs_and_queries()]
        )
        return [path for path in (*paths, self._corrections()) if path is not None]

    def _corrections(self) -> Path | None:
        """Return the file of LoCoMo's corrected labels, if they are wanted."""
        fetched = FETCHED / AUDIT
        wanted = self.audit_gold and self.name == "locomo" and fetched.exists()
        return self.audit or (fetched if wanted else None)

    def _published(self, data: Path) -> Dataset:
        if self.name == "locomo":
            return locomo.load(data, audit=self._corrections())
        return longmemeval.load(data)

    def _docs_and_queries(self) -> tuple[Path, Path]:
        if self.name == "jsonl" or self.docs or self.queries:
            return self._needed("docs", self.docs), self._needed("queries", self.queries)
        start = _IN_JSON_LINES[self.name]
        folder = self._needed("data", self.data or self._fetched())
        return folder / f"{start}.docs.jsonl", folder / f"{start}.queries.jsonl"

    def _fetched(self) -> Path | None:
        path = FETCHED / PUBLISHED.get(self.name, "")
        return path if path.exists() else None

    def _needed(self, option: str, path: Path | None) -> Path:
        if path is not None:
            return path
        hint = f" (or `python -m eval fetch {self.name}`)" if self.name in PUBLISHED else ""
        raise typer.BadParameter(f"--dataset {self.name} needs --{option}{hint}")

    def _check_files(self, *allowed: str) -> None:
        for option in ("docs", "queries", "data"):
            if getattr(self, option) is not None and option not in allowed:
                raise typer.BadParameter(f"--dataset {self.name} takes no --{option}")

    def _check_labels(self) -> None:
        """Raise BadParameter if the set has no corrected labels or paraphrases that are wanted."""
        in_json_lines = self.name == "jsonl" or self.name in _IN_JSON_LINES
        if self.audit is not None and self.name != "locomo":
            raise typer.BadParameter(f"--dataset {self.name} takes no --audit")
        if self.audit_gold and self.name == "locomo" and self._corrections() is None:
            raise typer.BadParameter(
                "LoCoMo's published file has no corrected labels: get them with `python -m eval "
                "fetch locomo-audit`, or name them with --audit FILE"
            )
        if self.audit_gold and not in_json_lines and self.name != "locomo":
            raise typer.BadParameter(f"--dataset {self.name} has no corrected labels")
        if self.paraphrases and not in_json_lines:
            raise typer.BadParameter(f"--dataset {self.name} has no paraphrases")
