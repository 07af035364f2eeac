"""`python -m eval COMMAND`: the commands of the evaluation, each in a file of its own."""

from __future__ import annotations

import typer

from eval.answers import answers
from eval.benchmarks import ingest
from eval.benchmarks.gateway import command as gateway
from eval.benchmarks.growth import command as growth
from eval.benchmarks.speed import command as speed
from eval.benchmarks.windows import command as windows
from eval.datasets import fetch
from eval.fitting import fit_ranking, fit_token_factors
from eval.reports import compare, plots, report, tables
from eval.retrieval import prompts, recall, run

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog="Example: python -m eval speed --turns 1000 --json-out speed.json")(speed.speed)
app.command(
    epilog="Example: python -m eval recall --dataset jsonl --docs set.docs.jsonl "
    "--queries set.queries.jsonl --run set.run"
)(recall.recall)
app.command(
    epilog="Example: python -m eval run --out runs/own, or python -m eval run "
    "--dataset locomo --data locomo10.json --systems product,bm25 --out runs/locomo"
)(run.run)
app.command(epilog="Example: python -m eval report runs/own runs/locomo --html report.html")(
    report.report
)
app.command(epilog="Example: python -m eval compare eval/baseline/own.jsonl runs/own")(
    compare.compare
)
app.command(epilog="Example: python -m eval baseline runs/own --out eval/baseline/own.jsonl")(
    compare.baseline
)
app.command(epilog="Example: python -m eval plots runs/locomo --out docs")(plots.plots)
app.command(
    epilog="Example: python -m eval tables runs/own runs/own-chroma --into docs/evaluation.md"
)(tables.tables)
app.command(
    epilog="Example: python -m eval answers --model qwen3 --base-url http://127.0.0.1:11434/v1 "
    "--questions 50 --out answers/own"
)(answers.answers)
app.command(epilog="Example: python -m eval fetch locomo")(fetch.fetch)
app.command(
    epilog="Example: python -m eval growth --size 1000 --size 100000 --keep stores "
    "--json-out growth.json"
)(growth.growth)
app.command(epilog="Example: python -m eval growth-plot growth.json --out docs/growth.svg")(
    plots.growth_plot
)
app.command(
    epilog="Example: python -m eval fit-ranking --profile people "
    "--docs locomo.docs.jsonl --queries locomo.queries.jsonl"
)(fit_ranking.fit_ranking)
app.command(epilog="Example: python -m eval fit-token-factors --docs benchmarks")(
    fit_token_factors.fit_token_factors
)
app.command(epilog="Example: python -m eval prompts --data locomo10.json --questions 5")(
    prompts.prompts
)
app.command(epilog="Example: python -m eval ingest export.zip --json-out ingest.json")(
    ingest.ingest
)
app.command(epilog="Example: python -m eval gateway --streams 1 --streams 16 --json-out g.json")(
    gateway.gateway
)
app.command(
    epilog="Example: python -m eval windows --dataset locomo --data locomo10.json --questions 300"
)(windows.windows)


@app.callback()
def common() -> None:
    """Measure the service. Run from a checkout; every result names what it was taken on."""


if __name__ == "__main__":
    app(prog_name="python -m eval")
