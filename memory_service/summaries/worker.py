"""The use case that folds what left the recent window into summaries, in the background.

A conversation is queued in the log when its window is cut, and when a deletion took summaries with
it. What is to be written next follows from the log alone, so a step that was cut short is found
again. A summary is kept only if everything that it was made of is still there. Nobody waits for any
of this: a model that is slow or down delays summaries and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from memory_service.core import clock
from memory_service.core.errors import (
    ChatModelDown,
    ChatModelRefused,
    EmbedderDown,
    EmbedderRefused,
    ServiceError,
)
from memory_service.core.models import Conversation, QueuedConversation, Summary, SummaryStatus
from memory_service.core.protocols import ChatModel, Embedder
from memory_service.summaries.model_prompts import kept_text, messages
from memory_service.summaries.planner import Place, Work, next_work
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

logger = structlog.get_logger(__name__)

ASIDE_SECONDS = 600.0
"""What was refused is tried again after that: somebody may have loaded the model meanwhile."""

_IDLE_SECONDS = 1.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 300.0
_STOP_SECONDS = 2.0
"""A model that answers later finds nobody any more: what it was asked is asked again."""
_VECTORS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class SummaryRules:
    """What settings say: `by_default` is for conversations that say nothing themselves.

    `model` None takes the one that a conversation's prompts are for.
    """

    by_default: bool
    model: str | None
    max_tokens: int

    def wants(self, conversation: Conversation) -> bool:
        """Return whether a conversation is summarised."""
        return self.by_default if conversation.summaries is None else conversation.summaries


class Summarizer:
    """Threads that write summaries, each conversation in the hands of one at a time."""

    def __init__(
        self,
        log: TurnLog,
        model: ChatModel,
        embedder: Embedder,
        counter: Callable[[str | None], TokenCounter],
        rules: SummaryRules,
        *,
        threads: int,
    ) -> None:
        self._log = log
        self._model = model
        self._embedder = embedder
        self._counter = counter
        self._rules = rules
        self._desk = _Desk()
        self._stopping = threading.Event()
        self._storing = threading.Lock()
        self._failures = 0
        self._error: str | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"summarizer-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to work in the background."""
        for thread in self._threads:
            thread.start()

    @property
    def is_running(self) -> bool:
        """Whether one of the threads lives."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End the threads; what a model answers from now on is thrown away."""
        with self._storing:
            self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def status(self) -> SummaryStatus:
        """Return how many conversations wait, and what went wrong since the last success."""
        with self._log.read() as snapshot:
            waiting = len(snapshot.summary_queue.all())
        return SummaryStatus(waiting, len(self._desk.aside()), self._error)

    def drain(self) -> None:
        """Work in the calling thread until there is nothing to do, or something fails."""
        while self.step():
            pass

    def step(self) -> bool:
        """Do the next piece of work of some conversation; return whether to go on at once."""
        with self._log.read() as snapshot:
            queue = snapshot.summary_queue.all()
        queued = self._desk.take(queue)
        if queued is None:
            return False
        try:
            if not self._advance(queued.conversation_key):
                self._leave(queued)
        except (ChatModelDown, EmbedderDown) as error:
            self._wait_longer(error)
            return False
        finally:
            self._desk.put_back(queued.conversation_key)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                goes_on = self.step()
            except ServiceError as error:
                # The log is busy or full: it stays the truth, and the queue stays in it.
                logger.warning("summarising is waiting", error=error.message)
                goes_on = False
            if not goes_on:
                self._stopping.wait(_IDLE_SECONDS)

    def _advance(self, conversation_key: int) -> bool:
        """Write one summary, or embed some; return whether there was anything to do."""
        aside = self._desk.aside()
        with self._log.read() as snapshot:
            conversation = snapshot.conversations.by_key(conversation_key)
            if conversation is None or not self._rules.wants(conversation):
                return False
            model = self._model_of(snapshot, conversation_key)
            unembedded = self._unembedded(snapshot, conversation_key, aside)
            counter = self._counter(model)
            work = None if unembedded else next_work(snapshot, conversation, counter, aside)
        if not unembedded and work is None:
            return False
        try:
            if work is None:
                self._embed(unembedded)
            else:
                self._write(work, model, counter)
        except (ChatModelRefused, EmbedderRefused) as error:
            place = _embedding_of(conversation_key) if work is None else work.place
            self._desk.set_aside(place)
            self._error = error.message
            logger.warning("a summary was refused", error=error.message, place=place)
        else:
            self._failures, self._error = 0, None
        return True

    def _write(self, work: Work, model: str | None, counter: TokenCounter) -> None:
        """Ask the model, and keep what it says if all that it was told of is still there."""
        if model is None:
            raise ChatModelRefused("No model is known for summaries: set MEMORY_SUMMARY_MODEL.")
        limit = self._rules.max_tokens
        asked = messages(work.lines, level=work.new.level, max_tokens=limit)
        text = kept_text(self._model.answer(asked, model=model, max_tokens=limit), limit, counter)
        vector = self._embedder.embed_documents([text])[0] if self._embeds_with_write else None
        with self._storing:
            if self._stopping.is_set():
                return
            with self._log.write() as transaction:
                kept = transaction.summaries.add(
                    work.conversation_key,
                    work.new,
                    text=text,
                    model=model,
                    vector=vector,
                    now=clock.now(),
                )
        logger.info(
            "a summary was written" if kept else "what a summary tells of was deleted meanwhile",
            conversation=work.conversation_key,
            of_level=work.new.level,
            seqs=(work.new.first_seq, work.new.last_seq),
        )

    @property
    def _embeds_with_write(self) -> bool:
        return self._embedder.embeds_with_write

    def _model_of(self, snapshot: ReadTransaction, conversation_key: int) -> str | None:
        if self._rules.model is not None:
            return self._rules.model
        state = snapshot.prompt_states.get(conversation_key)
        return None if state is None else state.model

    def _unembedded(
        self, snapshot: ReadTransaction, conversation_key: int, aside: Collection[Place]
    ) -> list[Summary]:
        if self._embeds_with_write or _embedding_of(conversation_key) in aside:
            return []
        return snapshot.summaries.without_vector(conversation_key, _VECTORS_AT_ONCE)

    def _embed(self, summaries: Sequence[Summary]) -> None:
        """Embed what was written without a vector; one with nothing to embed is set aside."""
        made = self._embedder.embed_documents([one.text for one in summaries])
        vectors = {
            one.key: vector
            for one, vector in zip(summaries, made, strict=True)
            if vector is not None
        }
        if not vectors:
            raise EmbedderRefused("A summary holds nothing that can be embedded.")
        with self._storing:
            if not self._stopping.is_set():
                with self._log.write() as transaction:
                    transaction.summaries.store_vectors(vectors)

    def _leave(self, queued: QueuedConversation) -> None:
        """Take a conversation off the queue; one that something was set aside of comes back."""
        if self._desk.rest(queued.conversation_key):
            return
        with self._log.write() as transaction:
            transaction.summary_queue.finish(queued)

    def _wait_longer(self, error: ChatModelDown | EmbedderDown) -> None:
        """Leave the model alone, after each failure for twice as long."""
        self._error = error.message
        wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**self._failures)
        # Not counted on for ever: two to the power of a week's failures is no number.
        self._failures = min(self._failures + 1, 16)
        logger.warning("summaries wait", error=error.message, seconds=wait)
        self._stopping.wait(min(_LONGEST_WAIT_SECONDS, max(wait, error.retry_after_seconds or 0.0)))


class _Desk:
    """Who works on which conversation, and what is left alone for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._served: dict[int, int] = {}
        self._aside_until: dict[Place, float] = {}
        self._rests_until: dict[int, float] = {}

    def take(self, queue: Sequence[QueuedConversation]) -> QueuedConversation | None:
        """Return the conversation that was served longest ago of those that nobody works on."""
        now = time.monotonic()
        with self._lock:
            free = [
                one
                for one in queue
                if one.conversation_key not in self._busy
                and self._rests_until.get(one.conversation_key, now) <= now
            ]
            if not free:
                return None
            # What has left the queue is forgotten here.
            self._served = {
                one.conversation_key: self._served.get(one.conversation_key, 0) for one in queue
            }
            chosen = min(free, key=lambda one: self._served[one.conversation_key])
            self._served[chosen.conversation_key] = 1 + max(self._served.values())
            self._busy.add(chosen.conversation_key)
        return chosen

    def put_back(self, conversation_key: int) -> None:
        """Let others work on a conversation."""
        with self._lock:
            self._busy.discard(conversation_key)

    def set_aside(self, place: Place) -> None:
        """Leave a piece of work alone for a while."""
        with self._lock:
            self._aside_until[place] = time.monotonic() + ASIDE_SECONDS

    def aside(self) -> set[Place]:
        """Return what is to be left alone now."""
        now = time.monotonic()
        with self._lock:
            self._aside_until = {
                place: until for place, until in self._aside_until.items() if until > now
            }
            return set(self._aside_until)

    def rest(self, conversation_key: int) -> bool:
        """Leave a conversation alone while something of it is set aside; return whether it is."""
        with self._lock:
            ends = [
                until for place, until in self._aside_until.items() if place[0] == conversation_key
            ]
            if ends:
                self._rests_until[conversation_key] = min(ends)
            else:
                self._rests_until.pop(conversation_key, None)
            return bool(ends)


def _embedding_of(conversation_key: int) -> Place:
    """Return the place of embedding what a conversation has; no summary is of that level."""
    return conversation_key, 0, 0, 0
