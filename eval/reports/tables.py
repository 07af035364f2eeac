"""`python -m eval tables`: the tables of the documentation, written where they stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.console import complain, input_file
from eval.reports import markdown
from eval.runs.run_folder import RunError, RunFolder

BEGIN, END = "<!-- results -->", "<!-- /results -->"
"""Between these lines of a document its tables stand."""


def tables(
    run: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs; of a set also one with --exact-scan-max 0."),
    ],
    growth: Annotated[
        list[Path] | None, input_file("What `growth --json-out` wrote; may be repeated.")
    ] = None,
    into: Annotated[
        Path | None, input_file(f"Document to write them into, between {BEGIN} and {END}.")
    ] = None,
) -> None:
    """Write runs as Markdown tables: each side of the split, leads, ablations, both modes."""
    try:
        grown = [_read(path) for path in growth or ()]
        written = markdown.render([RunFolder(path) for path in run], grown)
        if into is None:
            typer.echo(written)
        else:
            into.write_text(placed(into, written), encoding="utf-8")
    except (RunError, OSError) as error:
        raise complain("tables", error) from error


def placed(document: Path, written: str) -> str:
    """Return a document with other tables; raises RunError unless it says where they stand."""
    lines = document.read_text(encoding="utf-8").splitlines()
    if lines.count(BEGIN) != 1 or END not in lines[_place(lines, BEGIN) :]:
        raise RunError(f"{document} has no line {BEGIN} with a line {END} after it")
    begin = _place(lines, BEGIN)
    end = begin + _place(lines[begin:], END)
    return "\n".join([*lines[: begin + 1], written, *lines[end:]]) + "\n"


def _place(lines: Sequence[str], line: str) -> int:
    return lines.index(line) if line in lines else len(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if not {"plan", "sizes", "dataset"} <= set(found):
        raise RunError(f"{path} is not what `python -m eval growth --json-out` writes")
    return found
