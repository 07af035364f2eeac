"""`python -m eval fetch`: a published set from its official place, its bytes checked.

The hashes are those of the published files at a fixed revision, so that a set is the same for
everybody. Where none is known, the one of the first fetch is kept beside the file and shown, and
other bytes are refused from then on. Nothing of a set is part of the project: who fetches one has
its licence to keep.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from eval.console import complain
from eval.datasets.catalogue import AUDIT, FETCHED, PUBLISHED
from memory_service.commands.terminal import harmless, stderr, stdout

FILES: Mapping[str, str] = {**PUBLISHED, "locomo-audit": AUDIT}
"""What can be fetched, and under what name it is kept."""

_TIMEOUT_SECONDS = 30.0
_LONGMEMEVAL = (
    "https://huggingface.co/datasets/xiaowu0162/longmemeval-cleaned/resolve/"
    "98d7416c24c778c2fee6e6f3006e7a073259d48f/"
)


class FetchError(Exception):
    """A set could not be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a set is published, under what licence.

    `url` is None where it is published in a form that is not read here, `sha256` where it is not
    known.
    """

    home: str
    licence: str
    url: str | None = None
    sha256: str | None = None


PUBLICATIONS: Mapping[str, Publication] = {
    "locomo": Publication(
        home="https://github.com/snap-research/locomo",
        licence="CC BY-NC 4.0",
        url="https://raw.githubusercontent.com/snap-research/locomo/"
        "3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376/data/locomo10.json",
        sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
    ),
    "locomo-audit": Publication(
        home="https://github.com/dial481/locomo-audit",
        licence="CC BY-NC 4.0",
        url="https://raw.githubusercontent.com/dial481/locomo-audit/"
        "ded8d0f08903d72b5a5eeda4fee5ced76126e7bc/errors.json",
    ),
    "longmemeval-s": Publication(
        home="https://github.com/xiaowu0162/LongMemEval",
        licence="MIT",
        url=f"{_LONGMEMEVAL}longmemeval_s_cleaned.json",
        sha256="d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
    ),
    "longmemeval-oracle": Publication(
        home="https://github.com/xiaowu0162/LongMemEval",
        licence="MIT",
        url=f"{_LONGMEMEVAL}longmemeval_oracle.json",
        sha256="821a2034d219ab45846873dd14c14f12cfe7776e73527a483f9dac095d38620c",
    ),
    "realtalk": Publication("https://github.com/danny911kr/REALTALK", "none is named"),
    "beam": Publication("https://huggingface.co/datasets/Mohammadta/BEAM", "see its page"),
    "tmd": Publication("https://github.com/Zyphra/TemporalMemoryDataset", "CC BY-NC 4.0"),
}


def fetch(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(PUBLICATIONS)}.")],
    folder: Annotated[Path, typer.Option(file_okay=False, help="Where to put it.")] = FETCHED,
) -> None:
    """Fetch a published set from its official place, and check that it is the published one."""
    if name not in PUBLICATIONS:
        raise typer.BadParameter(f"there is no {name!r}; there are {', '.join(PUBLICATIONS)}")
    one = PUBLICATIONS[name]
    stdout().print(f"{name}: published at {one.home}, licence: {one.licence}.")
    try:
        path = obtain(name, one, folder)
    except (FetchError, OSError) as error:
        raise complain("fetch", error) from error
    stdout().print(harmless(f"{path} is there. docs/evaluation.md says what to do with it."))


def obtain(name: str, one: Publication, folder: Path) -> Path:
    """Return the set's file, fetched unless it is there; raises FetchError."""
    if one.url is None:
        raise FetchError(
            f"{name} is not published in a form that is read here. Get it at {one.home} and write "
            "its turns and questions as JSON lines: docs/evaluation.md says how."
        )
    path = folder / FILES[name]
    kept = path.with_name(f"{path.name}.sha256")
    wanted = one.sha256 or (kept.read_text(encoding="ascii").strip() if kept.exists() else None)
    if path.exists():
        _check(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), wanted)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        part = Path(unfinished) / path.name
        found = _download(one.url, part)
        _check(one.url, found, wanted)
        part.replace(path)
    if wanted is None:
        kept.write_text(f"{found}\n", encoding="ascii")
        stdout().print(f"No hash of {path.name} was known; from now on it is {found}.")
    return path


def _download(url: str, path: Path) -> str:
    """Write what is at a URL to a file; return its SHA-256."""
    digest = hashlib.sha256()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TransferSpeedColumn(), console=stderr(), transient=True)
    try:
        with (
            httpx2.stream("GET", url, timeout=_TIMEOUT_SECONDS, follow_redirects=True) as response,
            path.open("wb") as file,
            bar,
        ):
            response.raise_for_status()
            size = response.headers.get("content-length")
            task = bar.add_task("fetch", total=None if size is None else int(size))
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
                bar.advance(task, len(chunk))
    except httpx2.HTTPError as error:
        raise FetchError(
            f"{url} cannot be had: {error or type(error).__name__}. Without a network, fetch it "
            "elsewhere and name the file with --data."
        ) from error
    return digest.hexdigest()


def _check(what: str, found: str, wanted: str | None) -> None:
    if wanted not in {None, found}:
        raise FetchError(
            f"{what} is not the published file: its SHA-256 is {found}, not {wanted}. Nothing was "
            "kept of a download; a file that was there before should be moved away."
        )
