"""`python -m eval tables`: writes runs as Markdown tables, into the documentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.console import complain, input_file
from eval.errors import EvaluationError, RunError
from eval.reports.markdown.document import render
from eval.runs.run_folder import RunFolder

BEGIN, END = "<!-- results -->", "<!-- /results -->"
"""The lines of a document before and after its tables."""


def tables(
    run: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs; of a set also one with --exact-scan-max 0."),
    ],
    growth: Annotated[
        list[Path] | None, input_file("JSON that `growth --json-out` wrote; repeatable.")
    ] = None,
    into: Annotated[
        Path | None, input_file(f"Document to write them into, between {BEGIN} and {END}.")
    ] = None,
) -> None:
    """Write runs as Markdown tables: each side of the split, leads, ablations, both modes."""
    try:
        growths = [_read_growth(path) for path in growth or ()]
        written = render([RunFolder(path) for path in run], growths)
        if into is None:
            typer.echo(written)
        else:
            into.write_text(placed(into, written), encoding="utf-8")
    except (EvaluationError, OSError) as error:
        raise complain("tables", error) from error


def placed(document: Path, written: str) -> str:
    """Return a document with its tables replaced; raises RunError if it does not mark them."""
    lines = document.read_text(encoding="utf-8").splitlines()
    if lines.count(BEGIN) != 1 or END not in lines[_index(lines, BEGIN) :]:
        raise RunError(f"{document} has no line {BEGIN} with a line {END} after it")
    begin = _index(lines, BEGIN)
    end = begin + _index(lines[begin:], END)
    return "\n".join([*lines[: begin + 1], written, *lines[end:]]) + "\n"


def _index(lines: Sequence[str], line: str) -> int:
    """Return the index of a line, or the number of lines if it does not occur."""
    return lines.index(line) if line in lines else len(lines)


def _read_growth(path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if not {"plan", "sizes", "dataset"} <= set(result):
        raise RunError(f"{path} is not what `python -m eval growth --json-out` writes")
    return result
