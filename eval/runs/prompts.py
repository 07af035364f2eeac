"""`python -m eval prompts`: store a LoCoMo file through the official client, and show prompts.

The conversations go in over HTTP with times and speakers; for some of the questions the prompt
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

from eval.datasets import Dataset, Question, Turn, locomo
from eval.runs.recall import ADVERSARIAL
from eval.systems.stored import legal_id
from memory_service.commands.terminal import harmless, stdout
from memory_service.core import logs
from memory_service.core.settings import load_settings
from memory_service.server import running

_BATCH = 500
_GOLD = "gold"


def prompts(
    data: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="LoCoMo's own JSON.")],
    questions: Annotated[int, typer.Option(min=1, help="How many questions to show.")] = 5,
    token_budget: Annotated[int, typer.Option(min=300, help="Tokens of each prompt.")] = 1_500,
) -> None:
    """Store LoCoMo through the official client and show the prompts of some of its questions."""
    dataset = locomo.load(data)
    console = stdout()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder) / "data", port=0, log_level="error")
        logs.configure(settings.log_format, settings.log_level)
        with running(settings, "python -m eval prompts") as address:
            client = openai.OpenAI(base_url=f"{address}/v1", api_key="none-needed")
            stored = sum(
                _store(client, conversation, turns)
                for conversation, turns in dataset.conversations.items()
            )
            console.print(f"{dataset.name}: {stored:,} turns stored and listed again.")
            found = [
                _show(client, dataset, question, token_budget)
                for question in itertools.islice(_chosen(dataset), questions)
            ]
    console.print(f"Gold turns in the prompt: {sum(found)} of {len(found)} questions have one.")


def _chosen(dataset: Dataset) -> Iterator[Question]:
    """Yield questions of one conversation after another, of rising categories."""
    of_conversation: dict[str, list[Question]] = {}
    for question in dataset.questions:
        if question.gold and question.category != ADVERSARIAL:
            of_conversation.setdefault(str(question.conversation), []).append(question)
    for number in itertools.count():
        row = [some[number * 17] for some in of_conversation.values() if number * 17 < len(some)]
        if not row:
            return
        yield from row


def _store(client: openai.OpenAI, conversation: str, turns: Sequence[Turn]) -> int:
    """Store a conversation and list it again; raises RuntimeError if a turn is not as it was."""
    name = legal_id(conversation)
    client.conversations.create(extra_body={"id": name})
    items: list[Any] = [
        {
            "role": turn.role,
            "content": turn.text,
            "id": legal_id(turn.id),
            "name": turn.speaker,
            "created_at": turn.time.isoformat(),
        }
        for turn in turns
    ]
    for start in range(0, len(items), _BATCH):
        client.conversations.items.create(name, items=items[start : start + _BATCH])
    listed = [item.to_dict() for item in client.conversations.items.list(name, order="asc")]
    for item, turn in zip(listed, turns, strict=True):
        if item["id"] != legal_id(turn.id) or item["created_at"] != turn.time.timestamp():
            raise RuntimeError(f"{turn.id} did not come back as it was stored")
    return len(listed)


def _show(client: openai.OpenAI, dataset: Dataset, question: Question, budget: int) -> bool:
    conversation = str(question.conversation)
    prompt = client.post(
        f"/conversations/{legal_id(conversation)}/context",
        cast_to=dict[str, Any],
        body={"input": question.text, "token_budget": budget, "recent_turns": 6},
    )
    gold = {legal_id(one) for one in question.gold}
    texts = {legal_id(turn.id): turn.text for turn in dataset.conversations[conversation]}
    console = stdout()
    console.print(harmless(f"\n{question.id} ({question.category}): {question.text}", "bold"))
    tokens = prompt["tokens"]
    console.print(
        f"{tokens['total']} of {budget} tokens by {tokens['counter']}: recent {tokens['recent']}, "
        f"recalled {tokens['recalled']}, input {tokens['input']}."
    )
    table = Table("", "rank", "turn", "by", "said")
    for hit in prompt["recalled"]:
        _add(table, hit, _GOLD if hit["item_id"] in gold else "")
    console.print(table)
    missing = gold - {hit["item_id"] for hit in prompt["recalled"]}
    for one in sorted(missing):
        console.print(harmless(f"  not recalled: {texts.get(one, one)}", "yellow"))
    return len(missing) < len(gold)


def _add(table: Table, hit: Mapping[str, Any], mark: str) -> None:
    table.add_row(
        mark,
        str(hit["rank"]),
        f"seq {hit['seq']}",
        harmless(hit["name"] or hit["role"]),
        harmless(hit["text"]),
        style="green" if mark else "",
    )
