"""`python -m eval fetch`: downloads a published set from its official place and checks its hash.

If no hash is known, the hash of the first download is shown and stored next to the file, and later
downloads must have it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from eval.console import complain
from eval.datasets.catalogue import FETCHED
from eval.datasets.publications import FILES, PUBLICATIONS, Publication
from eval.errors import FetchError
from memory_service.commands.terminal import harmless, stderr, stdout

_TIMEOUT_SECONDS = 30.0


def fetch(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(PUBLICATIONS)}.")],
    folder: Annotated[Path, typer.Option(file_okay=False, help="Folder for the file.")] = FETCHED,
) -> None:
    """Download a published set from its official place, and check that its bytes are the published.

    Shows its licence.
    """
    if name not in PUBLICATIONS:
        raise typer.BadParameter(f"there is no {name!r}; there are {', '.join(PUBLICATIONS)}")
    publication = PUBLICATIONS[name]
    stdout().print(f"{name}: published at {publication.home}, licence: {publication.licence}.")
    try:
        path = obtain(name, publication, folder)
    except (FetchError, OSError) as error:
        raise complain("fetch", error) from error
    stdout().print(harmless(f"Fetched {path}. docs/evaluation.md says how to use it."))


def obtain(name: str, publication: Publication, folder: Path) -> Path:
    """Return the set's file, downloaded unless it exists; raises FetchError."""
    if publication.url is None:
        raise FetchError(
            f"{name} is not published in a form that can be read here. Get it at "
            f"{publication.home} and write its turns and questions as JSON lines: "
            "docs/evaluation.md says how."
        )
    path = folder / FILES[name]
    kept_hash = path.with_name(f"{path.name}.sha256")
    expected = publication.sha256
    if expected is None and kept_hash.exists():
        expected = kept_hash.read_text(encoding="ascii").strip()
    if path.exists():
        _check(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), expected)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        part = Path(unfinished) / path.name
        actual = _download(publication.url, part)
        _check(publication.url, actual, expected)
        part.replace(path)
    if expected is None:
        kept_hash.write_text(f"{actual}\n", encoding="ascii")
        stdout().print(f"No hash of {path.name} was known; from now on it is {actual}.")
    return path


def _download(url: str, path: Path) -> str:
    """Write what a URL returns to a file; return its SHA-256."""
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
            f"{url} cannot be fetched: {error or type(error).__name__}. Without a network, fetch "
            "it elsewhere and name the file with --data."
        ) from error
    return digest.hexdigest()


def _check(source: str, actual: str, expected: str | None) -> None:
    if expected not in {None, actual}:
        raise FetchError(
            f"{source} is not the published file: its SHA-256 is {actual}, not {expected}. A "
            "download is not kept; move away a file that existed before."
        )
