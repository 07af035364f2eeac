"""`python -m eval prompts`: stores LoCoMo through the official client and shows prompts.

The conversations are stored over HTTP with times and speakers. For some of the questions the prompt
is built and its recalled turns are printed, with a mark at each that answers.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import openai
import typer
from rich.table import Table

from eval.console import complain, input_file, quiet_settings
from eval.datasets import locomo
from eval.datasets.models import ADVERSARIAL, Dataset, DatasetTurn, Question
from eval.errors import EvaluationError, MeasurementError
from eval.systems.ids import service_id
from memory_service.commands.terminal import harmless, stdout
from memory_service.core.errors import ServiceError
from memory_service.server import running

_BATCH = 500
_GOLD = "gold"
_QUESTIONS_APART = 17
"""One of this many questions of a conversation is shown: neighbouring questions are alike."""


def prompts(
    data: Annotated[Path, input_file("LoCoMo's published file.")],
    questions: Annotated[int, typer.Option(min=1, help="Number of questions to show.")] = 5,
    token_budget: Annotated[int, typer.Option(min=300, help="Tokens of each prompt.")] = 1_500,
) -> None:
    """Store LoCoMo through the official client and show the prompts of some of its questions."""
    try:
        dataset = locomo.load(data)
        with_gold = _store_and_show(dataset, questions, token_budget)
    except (EvaluationError, ServiceError, openai.OpenAIError, OSError) as error:
        raise complain("prompts", error) from error
    stdout().print(
        f"Gold turns in the prompt: {sum(with_gold)} of {len(with_gold)} questions have one."
    )


def _store_and_show(dataset: Dataset, number: int, token_budget: int) -> list[bool]:
    """Return for each question that is shown whether a gold turn is in its prompt."""
    with tempfile.TemporaryDirectory() as folder:
        settings = quiet_settings("error", data_dir=Path(folder) / "data", port=0)
        with running(settings, "python -m eval prompts") as address:
            client = openai.OpenAI(base_url=f"{address}/v1", api_key="none-needed")
            turns = sum(
                _store(client, conversation, turns)
                for conversation, turns in dataset.conversations.items()
            )
            stdout().print(f"{dataset.name}: {turns:,} turns stored and listed again.")
            return [
                _show(client, dataset, question, token_budget)
                for question in itertools.islice(_choose(dataset), number)
            ]


def _choose(dataset: Dataset) -> Iterator[Question]:
    """Yield questions of one conversation after another, of rising categories."""
    by_conversation: dict[str, list[Question]] = {}
    for question in dataset.questions:
        if question.gold and question.category != ADVERSARIAL:
            by_conversation.setdefault(str(question.conversation), []).append(question)
    for index in itertools.count(step=_QUESTIONS_APART):
        row = [questions[index] for questions in by_conversation.values() if index < len(questions)]
        if not row:
            return
        yield from row


def _store(client: openai.OpenAI, conversation: str, turns: Sequence[DatasetTurn]) -> int:
    """Store a conversation and list it again; raises MeasurementError if a turn differs."""
    name = service_id(conversation)
    client.conversations.create(extra_body={"id": name})
    items: list[Any] = [
        {
            "role": turn.role,
            "content": turn.text,
            "id": service_id(turn.id),
            "name": turn.speaker,
            "created_at": turn.time.isoformat(),
        }
        for turn in turns
    ]
    for start in range(0, len(items), _BATCH):
        client.conversations.items.create(name, items=items[start : start + _BATCH])
    listed = [item.to_dict() for item in client.conversations.items.list(name, order="asc")]
    for item, turn in zip(listed, turns, strict=True):
        if item["id"] != service_id(turn.id) or item["created_at"] != turn.time.timestamp():
            raise MeasurementError(f"{turn.id} did not come back as it was stored")
    return len(listed)


def _show(client: openai.OpenAI, dataset: Dataset, question: Question, budget: int) -> bool:
    """Print the prompt of a question; return whether it quotes a gold turn."""
    conversation = str(question.conversation)
    prompt = client.post(
        f"/conversations/{service_id(conversation)}/context",
        cast_to=dict[str, Any],
        body={"input": question.text, "token_budget": budget, "recent_turns": 6},
    )
    gold = {service_id(turn_id) for turn_id in question.gold}
    texts = {service_id(turn.id): turn.text for turn in dataset.conversations[conversation]}
    console = stdout()
    console.print(harmless(f"\n{question.id} ({question.category}): {question.text}", "bold"))
    tokens = prompt["tokens"]
    console.print(
        f"{tokens['total']} of {budget} tokens by {tokens['counter']}: recent {tokens['recent']}, "
        f"recalled {tokens['recalled']}, input {tokens['input']}."
    )
    table = Table("", "rank", "turn", "by", "said")
    for hit in prompt["recalled"]:
        _add_row(table, hit, _GOLD if hit["item_id"] in gold else "")
    console.print(table)
    missing = gold - {hit["item_id"] for hit in prompt["recalled"]}
    for turn_id in sorted(missing):
        console.print(harmless(f"  not recalled: {texts.get(turn_id, turn_id)}", "yellow"))
    return len(missing) < len(gold)


def _add_row(table: Table, hit: Mapping[str, Any], mark: str) -> None:
    table.add_row(
        mark,
        str(hit["rank"]),
        f"seq {hit['seq']}",
        harmless(hit["name"] or hit["role"]),
        harmless(hit["text"]),
        style="green" if mark else "",
    )
