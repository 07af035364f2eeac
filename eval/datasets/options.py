"""The command-line options that name a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.console import input_file
from eval.datasets.catalogue import DatasetName

Name = Annotated[DatasetName, typer.Option("--dataset", help="The data set; own is bundled.")]
Docs = Annotated[Path | None, input_file("File of turns, for jsonl.")]
Queries = Annotated[Path | None, input_file("File of questions, for jsonl.")]
Data = Annotated[
    Path | None,
    typer.Option(exists=True, help="The published file; the folder, where a set has two files."),
]
Audit = Annotated[Path | None, input_file("File of corrections of LoCoMo's labels.")]
AuditGold = Annotated[bool, typer.Option(help="Use the corrected labels.")]
SkipCategory = Annotated[
    list[str] | None, typer.Option(help="Leave out the questions of a category; repeatable.")
]
