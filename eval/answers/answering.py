"""Asking models: the prompts, what they will take, the answers and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openai
import typer

from eval.answers import judging
from eval.console import progress_bar
from eval.datasets import Dataset, Question
from eval.metrics.evidence import as_hits, fill
from eval.metrics.short_answers import exact_match, token_f1
from eval.systems import stored
from eval.systems.choice import choose
from memory_service.core.settings import Settings
from memory_service.tokens.counting import PRIMING_TOKENS, TokenCounter, count_message

ANSWER_TOKENS = 200
"""Most tokens of an answer; one that is cut off is judged as it is."""
VERDICT_TOKENS = 10
_RETRIES = 4
_TIMEOUT_SECONDS = 120.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with the prompt that asks it."""

    question: Question
    group: str
    messages: Sequence[Mapping[str, Any]]
    turn_ids: Sequence[str]
    tokens: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the calls will take at most."""

    calls: int
    input_tokens: int
    output_tokens: int

    def dollars(self, per_million_in: float, per_million_out: float) -> float:
        """Return the price."""
        price = self.input_tokens * per_million_in + self.output_tokens * per_million_out
        return price / 1_000_000


def estimate(prepared: Sequence[Prepared], counter: TokenCounter) -> Estimate:
    """Return what answering and judging take at most: an answer of full length is judged too."""
    reading = sum(one.tokens for one in prepared)
    for one in prepared:
        judged = judging.to_judge(one.question, "")
        reading += PRIMING_TOKENS + sum(count_message(message, counter) for message in judged)
    number = len(prepared)
    writing = number * (ANSWER_TOKENS + VERDICT_TOKENS)
    return Estimate(2 * number, reading + number * ANSWER_TOKENS, writing)


def prepare(
    dataset: Dataset,
    questions: Sequence[Question],
    name: str,
    top_k: int,
    budget: int,
    settings: Settings,
) -> tuple[list[Prepared], TokenCounter]:
    """Return the prompts that a system's turns fill, and what counted them."""
    with progress_bar() as progress, stored.stored(dataset, settings, progress) as service:
        counter = service.counter(None)
        systems = choose([name], dataset, service)
        if len(systems) != 1:
            raise typer.BadParameter(f"--system: {name} is not one system")
        prepared = []
        for question in progress.track(questions, description="build prompts"):
            found = systems[0].for_prompt(question, top_k)
            said = judging.instructions(question.now)
            prompt = fill(question, as_hits(found), budget, counter, said)
            prepared.append(
                Prepared(
                    question,
                    dataset.group(question),
                    prompt.messages,
                    prompt.turn_ids,
                    prompt.tokens,
                )
            )
    return prepared, counter


def check_server(settings: Settings) -> None:
    """Raise BadParameter unless it is said where a model is."""
    if settings.upstream_base_url is None and settings.upstream_api_key is None:
        raise typer.BadParameter(
            "no model's server is named: give --base-url (or MEMORY_UPSTREAM_BASE_URL), or "
            "MEMORY_UPSTREAM_API_KEY for OpenAI's"
        )


def open_client(settings: Settings) -> openai.OpenAI:
    """Return the official client of the server that the settings name."""
    key = settings.upstream_api_key
    return openai.OpenAI(
        base_url=settings.upstream_base_url,
        # Servers without keys need none; the client insists on one.
        api_key="none-needed" if key is None else key.get_secret_value(),
        max_retries=_RETRIES,
        timeout=_TIMEOUT_SECONDS,
    )


def ask(client: openai.OpenAI, waiting: Iterable[Prepared], plan: Json) -> Iterator[Json]:
    """Yield what each question was answered, and how that was judged, as it comes."""
    for one in waiting:
        said = _complete(client, plan["model"], one.messages, ANSWER_TOKENS)
        judged = judging.to_judge(one.question, said)
        verdict = _complete(client, plan["judge_model"], judged, VERDICT_TOKENS)
        yield {
            "id": one.question.id,
            "category": one.question.category,
            "group": one.group,
            "question": one.question.text,
            "reference": one.question.answer,
            "answer": said,
            "verdict": verdict,
            "correct": judging.verdict(verdict),
            "exact_match": exact_match(said, str(one.question.answer)),
            "f1": token_f1(said, str(one.question.answer)),
            "turns": list(one.turn_ids),
            "prompt_tokens": one.tokens,
        }


def _complete(
    client: openai.OpenAI, model: str, messages: Sequence[Mapping[str, Any]], tokens: int
) -> str:
    sent: Any = list(messages)
    reply = client.chat.completions.create(
        model=model, messages=sent, temperature=0, max_completion_tokens=tokens
    )
    return (reply.choices[0].message.content or "") if reply.choices else ""
