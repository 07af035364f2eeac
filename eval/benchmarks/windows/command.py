"""`python -m eval windows`: what a prompt's size gives and costs.

For each token budget, size of the recent window and number of recalled turns: the evidence in the
prompts of a set's questions, and in growing conversations the tokens that a provider cannot reuse,
beside those that no prompt can avoid.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from eval.benchmarks.windows.evidence import answerable, measure_evidence
from eval.benchmarks.windows.reuse import measure_reuse
from eval.benchmarks.windows.sizes import sizes
from eval.benchmarks.windows.table import evidence_table, reuse_table
from eval.console import complain, output_file, progress_bar, quiet_settings
from eval.datasets import options, selection
from eval.datasets.catalogue import DatasetSource
from eval.errors import EvaluationError
from eval.json_files import write_json
from eval.provenance import provenance
from eval.systems.dataset_store import stored
from memory_service.commands.terminal import stdout
from memory_service.core.errors import ServiceError

_BUDGETS, _RECENT_TOKENS, _TOP_KS = (
    (4_000, 8_000, 16_000, 32_000),
    (1_000, 2_000, 4_000, 8_000),
    (10,),
)
_WORDS = (40, 300)


def windows(
    dataset: options.Name = "own",
    docs: options.Docs = None,
    queries: options.Queries = None,
    data: options.Data = None,
    skip_category: options.SkipCategory = None,
    budget: Annotated[
        list[int] | None, typer.Option(min=1_000, help="Token budget; repeatable.")
    ] = None,
    recent_tokens: Annotated[
        list[int] | None, typer.Option(min=0, help="Most tokens of recent turns; repeatable.")
    ] = None,
    top_k: Annotated[
        list[int] | None, typer.Option(min=0, max=100, help="Recalled turns; repeatable.")
    ] = None,
    words: Annotated[
        list[int] | None, typer.Option(min=1, help="Words of a turn; repeatable.")
    ] = None,
    exchanges: Annotated[int, typer.Option(min=4, help="Exchanges of each talk.")] = 200,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Ask only this many, spread over the set.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the made texts.")] = 0,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Compare sizes of prompts: evidence, and the tokens that a provider cannot reuse."""
    chosen = sizes(budget or _BUDGETS, recent_tokens or _RECENT_TOKENS, top_k or _TOP_KS)
    try:
        settings = quiet_settings("error")
        loaded = DatasetSource(dataset, docs, queries, data).load()
        kept = selection.of_categories(loaded.questions, skipped=skip_category or (), only=())
        asked = selection.spread(answerable(kept), questions)
        with progress_bar() as progress, stored(loaded, settings, progress) as service:
            evidence = measure_evidence(service, asked, chosen, progress)
            talks = [
                measure_reuse(
                    service,
                    chosen,
                    words=length,
                    exchanges=exchanges,
                    seed=seed,
                    progress=progress,
                )
                for length in words or _WORDS
            ]
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("windows", error) from error
    if json_out is not None:
        about = provenance(settings, seed=seed).as_json()
        write_json(
            json_out,
            {
                "provenance": {**about, "dataset": loaded.name},
                "evidence": [asdict(measured) for measured in evidence],
                "reuse": [asdict(measured) for talk in talks for measured in talk],
            },
        )
    stdout().print(evidence_table(evidence, loaded.name))
    for talk in talks:
        stdout().print(reuse_table(talk))
