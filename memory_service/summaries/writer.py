"""Writing summaries: one task of a conversation at a time, from its plan to the log.

A summary is stored only if all its sources still exist. A model that is slow or down delays
summaries and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

import structlog

from memory_service.core import clock
from memory_service.core.errors import ChatModelRefused, EmbedderRefused
from memory_service.core.models import Conversation, Summary, Vector
from memory_service.core.protocols import ChatModel, Embedder
from memory_service.summaries.model_prompts import kept_text, summary_request
from memory_service.summaries.planner import (
    EmbeddingTask,
    SummaryPlanner,
    SummaryTask,
    TaskId,
    embedding_task_id,
)
from memory_service.summaries.rules import SummaryRules
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

logger = structlog.get_logger(__name__)

_VECTORS_AT_ONCE = 16


class SummaryWriter:
    """Finds the next task of a conversation, and performs it."""

    def __init__(
        self,
        log: TurnLog,
        model: ChatModel,
        embedder: Embedder,
        counter: Callable[[str | None], TokenCounter],
        rules: SummaryRules,
    ) -> None:
        self._log = log
        self._model = model
        self._embedder = embedder
        self._counter = counter
        self._rules = rules
        self._storing = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Store nothing from now on: answers that a model gives later are discarded."""
        with self._storing:
            self._closed = True

    def next_task(
        self, conversation_key: int, set_aside: Collection[TaskId]
    ) -> SummaryTask | EmbeddingTask | None:
        """Return the next task that is not set aside; None if there is none."""
        with self._log.read() as snapshot:
            conversation = snapshot.conversations.by_key(conversation_key)
            if conversation is None or not self._rules.apply_to(conversation):
                return None
            unembedded = self._unembedded(snapshot, conversation_key, set_aside)
            if unembedded:
                return EmbeddingTask(conversation_key, unembedded)
            return self._planner(snapshot, conversation).next_task(set_aside)

    def perform(self, task: SummaryTask | EmbeddingTask) -> None:
        """Do a task; raises the errors of the chat model and of the embedder."""
        if isinstance(task, SummaryTask):
            self._write(task)
        else:
            self._embed(task)

    def _planner(self, snapshot: ReadTransaction, conversation: Conversation) -> SummaryPlanner:
        model = self._rules.model
        if model is None:
            state = snapshot.prompt_states.get(conversation.key)
            model = None if state is None else state.model
        return SummaryPlanner(snapshot, conversation, self._counter(model), model)

    def _unembedded(
        self, snapshot: ReadTransaction, conversation_key: int, set_aside: Collection[TaskId]
    ) -> Sequence[Summary]:
        embeds_later = not self._embedder.embeds_with_write
        if embeds_later and embedding_task_id(conversation_key) not in set_aside:
            return snapshot.summaries.without_vector(conversation_key, _VECTORS_AT_ONCE)
        return []

    def _write(self, task: SummaryTask) -> None:
        """Ask the model for a summary, and store it with its vector if the embedder is local."""
        if task.model is None:
            raise ChatModelRefused("No model is known for summaries: set MEMORY_SUMMARY_MODEL.")
        limit = self._rules.max_tokens
        request = summary_request(task.lines, level=task.new.level, max_tokens=limit)
        answer = self._model.answer(request, model=task.model, max_tokens=limit)
        text = kept_text(answer, limit, self._counter(task.model))
        vector = None
        if self._embedder.embeds_with_write:
            vector = self._embedder.embed_documents([text])[0]
        self._store(task, task.model, text, vector)

    def _store(self, task: SummaryTask, model: str, text: str, vector: Vector | None) -> None:
        with self._storing:
            if self._closed:
                return
            with self._log.write() as transaction:
                is_stored = transaction.summaries.add(
                    task.conversation_key,
                    task.new,
                    text=text,
                    model=model,
                    vector=vector,
                    now=clock.now(),
                )
        logger.info(
            "a summary was written" if is_stored else "a summary's sources were deleted meanwhile",
            conversation=task.conversation_key,
            level_of_summary=task.new.level,
            seqs=(task.new.first_seq, task.new.last_seq),
        )

    def _embed(self, task: EmbeddingTask) -> None:
        """Embed summaries; raises EmbedderRefused if none of them can be embedded."""
        made = self._embedder.embed_documents([summary.text for summary in task.summaries])
        vectors = {
            summary.key: vector
            for summary, vector in zip(task.summaries, made, strict=True)
            if vector is not None
        }
        if not vectors:
            raise EmbedderRefused("A summary holds nothing that can be embedded.")
        with self._storing:
            if self._closed:
                return
            with self._log.write() as transaction:
                transaction.summaries.store_vectors(vectors)
