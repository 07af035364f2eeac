"""Asking models: the prompts, what they will cost, the answers and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openai
import typer

from eval.answers import judging
from eval.console import progress_bar
from eval.datasets.models import Dataset, Question
from eval.json_files import Json
from eval.metrics.short_answers import exact_match, token_f1
from eval.systems.choice import choose
from eval.systems.dataset_store import stored
from eval.systems.prompt import as_hits, count_messages, fill
from memory_service.core.settings import Settings
from memory_service.tokens.counting import TokenCounter

ANSWER_TOKENS = 200
"""Most tokens of an answer; one that is cut off is judged as it is."""
VERDICT_TOKENS = 10
_RETRIES = 4
_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class QuestionPrompt:
    """A question with the prompt that asks it."""

    question: Question
    group: str
    messages: Sequence[Mapping[str, Any]]
    turn_ids: Sequence[str]
    tokens: int


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What the calls will take at most."""

    calls: int
    input_tokens: int
    output_tokens: int

    def dollars(self, per_million_in: float, per_million_out: float) -> float:
        """Return the price."""
        price = self.input_tokens * per_million_in + self.output_tokens * per_million_out
        return price / 1_000_000


def estimate(prompts: Sequence[QuestionPrompt], counter: TokenCounter) -> CostEstimate:
    """Return what answering and judging take at most: judges read answers of full length."""
    number = len(prompts)
    input_tokens = number * ANSWER_TOKENS + sum(
        prompt.tokens + count_messages(judging.judge_messages(prompt.question, ""), counter)
        for prompt in prompts
    )
    return CostEstimate(2 * number, input_tokens, number * (ANSWER_TOKENS + VERDICT_TOKENS))


def build_prompts(
    dataset: Dataset,
    questions: Sequence[Question],
    system_name: str,
    top_k: int,
    budget: int,
    settings: Settings,
) -> tuple[list[QuestionPrompt], TokenCounter]:
    """Return the prompts that a system's turns fill, and the counter of their tokens."""
    with progress_bar() as progress, stored(dataset, settings, progress) as service:
        counter = service.counter(None)
        systems = choose([system_name], dataset, service)
        if len(systems) != 1:
            raise typer.BadParameter(f"--system: {system_name} is not one system")
        prompts = []
        for question in progress.track(questions, description="build prompts"):
            hits = as_hits(systems[0].for_prompt(question, top_k))
            instructions = judging.instructions(question.now)
            prompt = fill(question, hits, budget, counter, instructions)
            group = dataset.group(question)
            prompts.append(
                QuestionPrompt(question, group, prompt.messages, prompt.turn_ids, prompt.tokens)
            )
    return prompts, counter


def check_upstream(settings: Settings) -> None:
    """Raise BadParameter unless the settings name an upstream."""
    if settings.upstream_base_url is None and settings.upstream_api_key is None:
        raise typer.BadParameter(
            "no upstream is named: give --base-url (or MEMORY_UPSTREAM_BASE_URL), or "
            "MEMORY_UPSTREAM_API_KEY for OpenAI's"
        )


def open_client(settings: Settings) -> openai.OpenAI:
    """Return the official client of the upstream that the settings name."""
    key = settings.upstream_api_key
    return openai.OpenAI(
        base_url=settings.upstream_base_url,
        # Servers without keys need none, but the client requires one.
        api_key="none-needed" if key is None else key.get_secret_value(),
        max_retries=_RETRIES,
        timeout=_TIMEOUT_SECONDS,
    )


def ask(
    client: openai.OpenAI, prompts: Iterable[QuestionPrompt], model: str, judge_model: str
) -> Iterator[Json]:
    """Yield each answer with its verdict, as it arrives."""
    for prompt in prompts:
        question = prompt.question
        answer = _complete(client, model, prompt.messages, ANSWER_TOKENS)
        to_judge = judging.judge_messages(question, answer)
        verdict = _complete(client, judge_model, to_judge, VERDICT_TOKENS)
        yield {
            "id": question.id,
            "category": question.category,
            "group": prompt.group,
            "question": question.text,
            "reference": question.answer,
            "answer": answer,
            "verdict": verdict,
            "correct": judging.read_verdict(verdict),
            "exact_match": exact_match(answer, str(question.answer)),
            "f1": token_f1(answer, str(question.answer)),
            "turns": list(prompt.turn_ids),
            "prompt_tokens": prompt.tokens,
        }


def _complete(
    client: openai.OpenAI, model: str, messages: Sequence[Mapping[str, Any]], tokens: int
) -> str:
    body: Any = list(messages)
    reply = client.chat.completions.create(
        model=model, messages=body, temperature=0, max_completion_tokens=tokens
    )
    return (reply.choices[0].message.content or "") if reply.choices else ""
