"""`python -m eval answers`: a model answers from the prompts, and a model judges what it says.

Any server that speaks OpenAI's chat completions will do. What is asked, of whom, with how much
context stands in the record; each answer is written when it comes, so that a run that was broken
off goes on where it was. The estimate of what it will cost comes first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import openai
import typer
from rich.table import Table

from eval.answers import answering, judging
from eval.answers.answering import Prepared
from eval.console import complain, input_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question
from eval.datasets.catalogue import DatasetName, Source
from eval.metrics import statistics
from eval.reports.summary import ADVERSARIAL
from eval.runs import provenance, run_folder
from eval.runs.run import PACKAGES, spread
from eval.runs.run_folder import RunError
from eval.systems import PRODUCT
from eval.systems.choice import check
from eval.systems.stored import MeasurementError
from memory_service.commands.terminal import harmless, stdout
from memory_service.core import logs
from memory_service.core.errors import ServiceError
from memory_service.core.settings import load_settings
from memory_service.tokens.counting import TokenCounter

Json = dict[str, Any]


def answers(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the record.")],
    model: Annotated[str, typer.Option(help="Model that answers.")],
    judge_model: Annotated[
        str | None, typer.Option(help="Model that judges; else the same.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Its server, up to and with /v1; else the settings'.")
    ] = None,
    dataset: Annotated[DatasetName, typer.Option(help="The set; own is bundled.")] = "own",
    system: Annotated[str, typer.Option(help="Whose turns fill the prompts.")] = PRODUCT,
    top_k: Annotated[int, typer.Option(min=1, help="Most turns in a prompt.")] = 50,
    budget: Annotated[int, typer.Option(min=300, help="Tokens of a prompt.")] = 1_000,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many, spread over the set.")
    ] = None,
    docs: Annotated[Path | None, input_file("Turns, for jsonl.")] = None,
    queries: Annotated[Path | None, input_file("Questions, for jsonl.")] = None,
    data: Annotated[Path | None, typer.Option(exists=True, help="The published file.")] = None,
    price_in: Annotated[float, typer.Option(help="Dollars for a million tokens read.")] = 0.0,
    price_out: Annotated[float, typer.Option(help="Dollars for a million tokens written.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it costs.")] = False,  # noqa: FBT002 - a flag
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
) -> None:
    """Let a model answer from each prompt, and a model judge; prompts are the project's own."""
    source = Source(dataset, docs, queries, data)
    check([system])
    try:
        settings = load_settings(log_level="error", upstream_base_url=base_url)
        logs.configure(settings.log_format, settings.log_level)
        answering.check_server(settings)
        loaded = source.load()
        prepared, counter = answering.prepare(
            loaded, _answerable(loaded, questions), system, top_k, budget, settings
        )
        plan = _plan(loaded, prepared, system, top_k, budget, model, judge_model or model, counter)
        done = _resume(out, plan)
        waiting = [one for one in prepared if one.question.id not in done]
        _agree(waiting, counter, price_in, price_out, yes=yes)
        with closing(answering.open_client(settings)) as client:
            _ask_all(client, waiting, plan, out)
    except (DatasetError, RunError, MeasurementError, ServiceError, OSError) as error:
        raise complain("answers", error) from error
    except openai.OpenAIError as error:
        said = f"{error} Nothing that was answered is lost: run the same command again."
        raise complain("answers", MeasurementError(said)) from error
    lines = run_folder.read_lines(out / "answers.jsonl")
    result = {**plan, **summarise(lines, seed), **provenance.provenance(PACKAGES)}
    provenance.write_json(out / "answers.json", result)
    show(result)


def summarise(lines: Sequence[Json], seed: int) -> Json:
    """Return the share judged correct (unreadable verdicts apart), exact match and F1."""
    groups = [line["group"] for line in lines]
    scored = [line for line in lines if line["correct"] is not None]
    found: Json = {"questions": len(lines), "unscored": len(lines) - len(scored)}
    for name in ("exact_match", "f1"):
        values = [line[name] for line in lines]
        found[name] = asdict(statistics.interval(values, groups, seed=seed)) if lines else None
    found["judged_correct"] = _judged(scored, seed)
    categories = sorted({line["category"] for line in lines})
    found["by_category"] = {
        name: _judged([line for line in scored if line["category"] == name], seed)
        for name in categories
    }
    return found


def show(result: Json) -> None:
    """Print the table, and what the numbers are not."""
    table = Table(
        title=harmless(
            f"{result['dataset']}: {result['model']}, judged by {result['judge_model']}"
        ),
        caption=judging.NOT_COMPARABLE,
    )
    for name in ("", "questions", "mean", "95 % interval"):
        table.add_column(name, justify="right" if name else "left")
    rows = [("judged correct", result["judged_correct"])]
    rows += [(f"  {name}", one) for name, one in result["by_category"].items()]
    rows += [("exact match", result["exact_match"]), ("F1", result["f1"])]
    for name, one in rows:
        if one is not None:
            number = one.get("questions", result["questions"])
            interval = f"[{one['low']:.3f}, {one['high']:.3f}]"
            table.add_row(harmless(name), str(number), f"{one['mean']:.3f}", interval)
    stdout().print(table)
    stdout().print(f"{result['unscored']} verdicts could not be read and are not scored.")


def _answerable(dataset: Dataset, number: int | None) -> list[Question]:
    """Return the questions with an answer to compare with; those of adversaries have none."""
    kept = [one for one in dataset.questions if one.answer and one.category != ADVERSARIAL]
    if not kept:
        raise DatasetError("no question has an answer")
    return spread(kept, number)


def _plan(
    dataset: Dataset,
    prepared: Sequence[Prepared],
    system: str,
    top_k: int,
    budget: int,
    model: str,
    judge_model: str,
    counter: TokenCounter,
) -> Json:
    """Return what makes answers comparable: only answers of one plan stand in one record."""
    prompts = json.dumps([[one.question.id, one.messages] for one in prepared])
    return {
        "format": "memory_service.answers/1",
        "note": judging.NOT_COMPARABLE,
        "dataset": dataset.name,
        "dataset_hash": dataset.fingerprint(),
        "system": system,
        "top_k": top_k,
        "token_budget": budget,
        "counter": counter.name,
        "model": model,
        "judge_model": judge_model,
        "temperature": 0,
        "prompts": {
            "answer": judging.ANSWERING,
            "judge": judging.JUDGING,
            "judged": judging.JUDGED,
        },
        "prompts_hash": hashlib.sha256(prompts.encode()).hexdigest(),
    }


def _resume(out: Path, plan: Json) -> set[str]:
    """Return the questions that are answered already; raises RunError for another plan's folder."""
    path = out / "plan.json"
    if not path.exists():
        run_folder.create(out)
        provenance.write_json(path, plan)
        return set()
    if json.loads(path.read_text(encoding="utf-8")) != plan:
        raise RunError(f"{out} holds answers to other prompts: choose another folder")
    # It may have been broken off before the first answer.
    (out / "answers.jsonl").touch()
    _forget_torn_line(out / "answers.jsonl")
    return {line["id"] for line in run_folder.read_lines(out / "answers.jsonl")}


def _forget_torn_line(path: Path) -> None:
    """Cut off a last line that was not written to its end."""
    written = path.read_bytes()
    path.write_bytes(written[: written.rfind(b"\n") + 1])


def _agree(
    waiting: Sequence[Prepared],
    counter: TokenCounter,
    price_in: float,
    price_out: float,
    *,
    yes: bool,
) -> None:
    """Show the estimate and ask; ends the command if the answer is no."""
    found = answering.estimate(waiting, counter)
    money = f", at most ${found.dollars(price_in, price_out):,.2f}" if price_in or price_out else ""
    stdout().print(
        f"{len(waiting)} questions: {found.calls:,} calls, about {found.input_tokens:,} tokens to "
        f"read and at most {found.output_tokens:,} to write{money}."
    )
    if waiting and not yes:
        typer.confirm("Ask?", abort=True)


def _ask_all(client: openai.OpenAI, waiting: Sequence[Prepared], plan: Json, out: Path) -> None:
    """Ask and judge one question after the other; each is on disk before the next is asked."""
    with progress_bar() as progress, (out / "answers.jsonl").open("a", encoding="utf-8") as file:
        for line in answering.ask(client, progress.track(waiting, description="ask"), plan):
            file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
            file.flush()


def _judged(scored: Sequence[Json], seed: int) -> Json | None:
    if not scored:
        return None
    values = [float(line["correct"]) for line in scored]
    groups = [line["group"] for line in scored]
    found = asdict(statistics.interval(values, groups, seed=seed))
    return {"questions": len(scored), **found}
