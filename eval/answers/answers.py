"""`python -m eval answers`: a model answers from the prompts, and a model judges the answers.

Any server with OpenAI's chat completions works. The cost is estimated first. Each answer is written
when it arrives, so that an interrupted run continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import openai
import typer
from rich.table import Table

from eval.answers import answering, judging, record
from eval.answers.answering import CostEstimate, QuestionPrompt
from eval.answers.record import AnswersPlan
from eval.console import complain, progress_bar, quiet_settings
from eval.datasets import options, selection
from eval.datasets.catalogue import DatasetSource
from eval.errors import EvaluationError, MeasurementError
from eval.json_files import Json, write_json
from eval.provenance import provenance
from eval.systems.choice import check
from eval.systems.system import PRODUCT
from memory_service.commands.terminal import harmless, stdout
from memory_service.core.errors import ServiceError


def answers(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the record.")],
    model: Annotated[str, typer.Option(help="Model that answers.")],
    judge_model: Annotated[
        str | None, typer.Option(help="Model that judges; by default the same.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Server of the models, ending in /v1; by default that of the settings."),
    ] = None,
    dataset: options.Name = "own",
    system: Annotated[str, typer.Option(help="System whose turns fill the prompts.")] = PRODUCT,
    top_k: Annotated[int, typer.Option(min=1, help="Most turns in a prompt.")] = 50,
    budget: Annotated[int, typer.Option(min=300, help="Tokens of a prompt.")] = 1_000,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Ask only this many, spread over the set.")
    ] = None,
    docs: options.Docs = None,
    queries: options.Queries = None,
    data: options.Data = None,
    price_in: Annotated[float, typer.Option(help="Dollars for a million tokens read.")] = 0.0,
    price_out: Annotated[float, typer.Option(help="Dollars for a million tokens written.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,  # noqa: FBT002 - a flag
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
) -> None:
    """Let a model answer from the prompts of a system, and a model judge the answers."""
    source = DatasetSource(dataset, docs, queries, data)
    check([system])
    try:
        settings = quiet_settings("error", upstream_base_url=base_url)
        answering.check_upstream(settings)
        loaded = source.load()
        asked = selection.spread(selection.with_answer(loaded), questions)
        prompts, counter = answering.build_prompts(loaded, asked, system, top_k, budget, settings)
        plan = AnswersPlan(
            dataset=loaded.name,
            dataset_hash=loaded.fingerprint(),
            system=system,
            top_k=top_k,
            token_budget=budget,
            counter=counter.name,
            model=model,
            judge_model=judge_model or model,
            prompts_hash=record.hash_of(prompts),
        )
        done = record.resume(out, plan)
        waiting = [prompt for prompt in prompts if prompt.question.id not in done]
        _confirm(waiting, answering.estimate(waiting, counter), price_in, price_out, yes=yes)
        with closing(answering.open_client(settings)) as client:
            _ask_all(client, waiting, plan, out)
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("answers", error) from error
    except openai.OpenAIError as error:
        message = f"{error} No answer is lost: run the same command again."
        raise complain("answers", MeasurementError(message)) from error
    result = {
        **plan.as_json(),
        **record.summarise(record.answers(out), seed),
        **provenance(settings, seed=seed, dataset_hash=plan.dataset_hash).as_json(),
    }
    write_json(out / "answers.json", result)
    show(result)


def _confirm(
    waiting: Sequence[QuestionPrompt],
    cost: CostEstimate,
    price_in: float,
    price_out: float,
    *,
    yes: bool,
) -> None:
    """Print the estimate and ask for consent; ends the command if the answer is no."""
    money = f", at most ${cost.dollars(price_in, price_out):,.2f}" if price_in or price_out else ""
    stdout().print(
        f"{len(waiting)} questions: {cost.calls:,} calls, about {cost.input_tokens:,} tokens to "
        f"read and at most {cost.output_tokens:,} to write{money}."
    )
    if waiting and not yes:
        typer.confirm("Continue?", abort=True)


def _ask_all(
    client: openai.OpenAI, waiting: Sequence[QuestionPrompt], plan: AnswersPlan, out: Path
) -> None:
    """Ask and judge one question after the other; each is on disk before the next is asked."""
    with progress_bar() as progress, (out / "answers.jsonl").open("a", encoding="utf-8") as file:
        prompts = progress.track(waiting, description="ask")
        for line in answering.ask(client, prompts, plan.model, plan.judge_model):
            file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
            file.flush()


def show(result: Json) -> None:
    """Print the table, and that its numbers are not comparable with published ones."""
    table = Table(
        title=harmless(
            f"{result['dataset']}: {result['model']}, judged by {result['judge_model']}"
        ),
        caption=judging.NOT_COMPARABLE,
    )
    for name in ("", "questions", "mean", "95 % interval"):
        table.add_column(name, justify="right" if name else "left")
    rows = [("judged correct", result["judged_correct"])]
    rows += [(f"  {name}", metric) for name, metric in result["by_category"].items()]
    rows += [("exact match", result["exact_match"]), ("F1", result["f1"])]
    for name, metric in rows:
        if metric is not None:
            number = metric.get("questions", result["questions"])
            interval = f"[{metric['low']:.3f}, {metric['high']:.3f}]"
            table.add_row(harmless(name), str(number), f"{metric['mean']:.3f}", interval)
    stdout().print(table)
    stdout().print(f"{result['unscored']} verdicts could not be read and are not scored.")
