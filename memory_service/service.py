"""The composition root: opens everything a service needs, and closes it in reverse."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import replace
from typing import Self

import structlog

from memory_service.chroma.process import ChromaProcess
from memory_service.composition.data_folder import own_folder
from memory_service.composition.stored_properties import (
    check_stored_properties,
    stored_embedder_name,
)
from memory_service.composition.upstreams import (
    chat_model_of,
    model_lists_of,
    upstream_table_of,
)
from memory_service.composition.vendors import embedder_of
from memory_service.conversations.deletion import DeletionService
from memory_service.conversations.idempotency import WriterLimits
from memory_service.conversations.preparation import TurnPreparer
from memory_service.conversations.writer import ConversationWriter
from memory_service.core import clock
from memory_service.core.models import IndexStatus
from memory_service.core.protocols import ChatModel, Embedder, VectorIndex
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.gateway.chat_completions import Gateway, GatewayOptions, GatewayStages
from memory_service.gateway.completion_store import CompletionStore
from memory_service.gateway.locating import RequestLocator
from memory_service.gateway.read_only import RequestReader
from memory_service.gateway.storing import AnswerStorer, RequestStorer
from memory_service.gateway.upstream_prompts import UpstreamPromptBuilder
from memory_service.items.conversation_items import ItemLimits
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.request import PromptDefaults
from memory_service.prompts.state import PromptStates
from memory_service.prompts.summary_choice import SummaryChooser
from memory_service.prompts.traces import Traces
from memory_service.recall import ranking
from memory_service.recall.caches.vector_cache import VectorCache
from memory_service.recall.ranking import ALL_COMPONENTS, Component, RankFunction
from memory_service.recall.recaller import Recaller
from memory_service.responses.archive import ResponseArchive
from memory_service.responses.continuation import Continuations
from memory_service.responses.creation import ResponseGateway
from memory_service.responses.storing import ResponseStorer
from memory_service.responses.upstream_api import UpstreamApis
from memory_service.summaries.rules import SummaryRules
from memory_service.summaries.search import SummaryFinder
from memory_service.summaries.worker import Summarizer
from memory_service.text.languages import load_detector
from memory_service.tokens.context_window import ContextWindow
from memory_service.tokens.counting import ModelCounter, TokenCounter
from memory_service.tokens.encodings import counter_of
from memory_service.tokens.media_rules import media_rules
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog
from memory_service.upstreams.learner import UpstreamLearner
from memory_service.upstreams.listed_windows import with_windows
from memory_service.upstreams.pass_routes import PassPolicy
from memory_service.upstreams.table import UpstreamTable
from memory_service.upstreams.token_corrections import TokenCorrections
from memory_service.upstreams.window_probe import WindowProbe, learn_listed
from memory_service.upstreams.windows import ContextWindows, SetWindows
from memory_service.vector_index.indexer import Indexer

logger = structlog.get_logger(__name__)

LOCAL_PROJECT = "local"
"""The only project of keyless mode."""


def new_instance_id() -> str:
    """Return an id for a running service; requests to upstreams have it."""
    return uuid.uuid4().hex


class Service:
    """Everything that is open while the service runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        log: TurnLog,
        index: VectorIndex,
        embedder: Embedder,
        chat_model: ChatModel | None = None,
        upstreams: UpstreamTable | None = None,
        instance_id: str | None = None,
    ) -> None:
        self.settings = settings
        self.instance_id = instance_id or new_instance_id()
        self.pass_policy = PassPolicy(settings.pass_routes)
        self.log = log
        self.index = index
        self.embedder = embedder
        self.item_limits = ItemLimits(settings.max_text_chars, settings.max_nesting)
        self.indexer = Indexer(
            log,
            index,
            embedder,
            batch=settings.index_batch,
            collection_vectors=settings.collection_vectors,
        )
        self.writer = self._writer()
        self.deletions = DeletionService(log, on_deleted=self.indexer.wake)
        self._vectors = VectorCache(embedder.dimension, settings.vector_cache_mib * 1024 * 1024)
        self.recaller = self.new_recaller()
        self.deferred_writer = DeferredWriter(log)
        self.traces = Traces(
            log, self.deferred_writer, keep=settings.traces_kept, keep_days=settings.trace_days
        )
        self.summary_finder = SummaryFinder(log, embedder)
        rules = SummaryRules(settings.summaries, settings.summary_model, settings.summary_tokens)
        self.summarizer = None
        if chat_model is not None:
            self.summarizer = Summarizer(
                log, chat_model, embedder, self.counter, rules, threads=settings.summary_threads
            )
        self.windows = ContextWindows(
            log,
            self.deferred_writer,
            SetWindows(settings.context_window, settings.context_windows),
        )
        self.prompts = self.new_prompt_builder(
            self.prompt_defaults(), self.deferred_writer, rules if chat_model else None
        )
        self.gateway = self._gateway(upstreams or upstream_table_of(settings, self.instance_id))
        self.responses = ResponseGateway(
            self.gateway,
            Continuations(log),
            ResponseStorer(log, self.writer, self.item_limits),
            UpstreamApis(settings.upstream_api),
            self.deletions,
            log,
        )
        self.response_archive = ResponseArchive(log)
        self._closing = ExitStack()

    def _writer(self) -> ConversationWriter:
        settings = self.settings
        preparer = TurnPreparer(
            self.embedder,
            passage_words=settings.passage_words,
            passage_overlap_words=settings.passage_overlap_words,
        )
        limits = WriterLimits(
            retry_window_seconds=settings.retry_window_seconds,
            idempotency_hours=settings.idempotency_hours,
        )
        return ConversationWriter(self.log, preparer, limits, on_stored=self.indexer.wake)

    def prompt_defaults(self) -> PromptDefaults:
        """Return what the settings say of prompts."""
        settings = self.settings
        return PromptDefaults(
            token_budget=settings.token_budget,
            reserved_output_tokens=settings.reserved_output_tokens,
            recent_tokens=settings.recent_tokens,
            recent_turns=settings.recent_turns,
            top_k=settings.top_k,
            context_window=self.context_window,
            recent_media_bytes=settings.recent_media_mib * 1024 * 1024,
        )

    def new_prompt_builder(
        self,
        defaults: PromptDefaults,
        deferred_writer: DeferredWriter,
        rules: SummaryRules | None = None,
    ) -> PromptBuilder:
        """Return a builder with states of its own; without `rules` no summaries are requested."""
        share = self.settings.summary_token_share
        return PromptBuilder(
            self.log,
            self.recaller,
            self.counter,
            PromptStates(deferred_writer),
            self.traces,
            defaults,
            SummaryChooser(deferred_writer, rules, token_share=share),
        )

    def _gateway(self, upstreams: UpstreamTable) -> Gateway:
        settings = self.settings
        corrections = TokenCorrections(self.log, self.deferred_writer)
        limits = replace(self.item_limits, lenient=True)
        return Gateway(
            upstreams,
            GatewayStages(
                RequestLocator(self.log, settings.retry_window_seconds),
                RequestStorer(self.log, self.writer, limits),
                RequestReader(self.log, limits),
                UpstreamPromptBuilder(self.prompts, self.counter, corrections),
                AnswerStorer(self.writer, limits),
                CompletionStore(self.log),
            ),
            UpstreamLearner(self.windows, corrections),
            WindowProbe(self.windows, model_lists_of(settings)),
            GatewayOptions(settings.recall_timeout_seconds, settings.strict_recall),
        )

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        purpose: str,
        embedder: Embedder | None = None,
        chat_model: ChatModel | None = None,
    ) -> Service:
        """Open the log, the embedder and the index, and start indexing in the background."""
        with ExitStack() as stack:
            folder = settings.data_dir
            stack.enter_context(own_folder(folder, purpose))
            log = TurnLog.open(
                folder, cache_mib=settings.log_cache_mib, mmap_mib=settings.log_mmap_mib
            )
            stack.callback(log.close)
            chosen = embedder or embedder_of(settings, stored_embedder_name(log))
            stack.callback(chosen.close)
            check_stored_properties(log, chosen)
            index = ChromaProcess(
                folder / "chroma",
                embedder=chosen.name,
                dimension=chosen.dimension,
                restart_vectors=settings.index_restart_vectors,
            )
            stack.callback(index.close)
            instance_id = new_instance_id()
            upstreams = upstream_table_of(settings, instance_id)
            model = chat_model or chat_model_of(settings, upstreams, instance_id)
            service = cls(
                settings,
                log=log,
                index=index,
                embedder=chosen,
                chat_model=model,
                upstreams=upstreams,
                instance_id=instance_id,
            )
            stack.callback(service.deletions.close)
            stack.callback(service.indexer.stop)
            service.indexer.start()
            stack.callback(service.deferred_writer.stop)
            service.deferred_writer.start()
            if service.summarizer is not None and model is not None:
                stack.callback(service.summarizer.stop)
                stack.callback(model.close)
                service.summarizer.start()
            service._closing = stack.pop_all()
        return service

    def close(self) -> None:
        """Finish the current batch and close everything in reverse order."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Load what the first request would wait for, such as the language detector (1 s)."""
        load_detector()
        if isinstance(self.embedder, LocalEmbedder):
            self.embedder.load()
        self.counter(None)

    def new_recaller(
        self,
        components: frozenset[Component] = ALL_COMPONENTS,
        rank: RankFunction = ranking.rank,
    ) -> Recaller:
        """Return a recaller over the same data.

        Evaluation leaves out components to measure them, and passes a `rank` to observe candidates.
        """
        return Recaller(
            self.log,
            self.index,
            self.embedder,
            self._vectors,
            exact_scan_max=self.settings.exact_scan_max,
            pause_hours=self.settings.neighbour_pause_hours,
            components=components,
            rank=rank,
        )

    def counter(self, model: str | None) -> TokenCounter:
        """Return the token counter for a model."""
        return ModelCounter(counter_of(self.settings, model), media_rules(model))

    def context_window(self, model: str | None, upstream_name: str | None = None) -> ContextWindow:
        """Return the context window of a model, by its name on an upstream or in a request."""
        if upstream_name is not None:
            return self.windows.of(upstream_name, model)
        route = self.gateway.upstreams.remembered_route(model or "")
        if route is None:
            return self.windows.of(None, model)
        return self.windows.of(route.upstream.name, route.model or None)

    def with_windows(self, models: bytes, upstream_name: str | None = None) -> bytes:
        """Return a list of models with each model's window, after learning from an upstream's."""
        if upstream_name is not None:
            learn_listed(self.windows, upstream_name, models)
        return with_windows(models, self.context_window)

    def local_project(self) -> int:
        """Return the project of keyless mode; it is made at the first use."""
        with self.log.read() as snapshot:
            key = snapshot.projects.key_of(LOCAL_PROJECT)
        if key is not None:
            return key
        with self.log.write() as transaction:
            return transaction.projects.ensure(LOCAL_PROJECT, clock.now())

    def index_lag(self) -> int:
        """Return how many changes the vector index has not applied yet."""
        with self.log.read() as snapshot:
            return snapshot.index_queue.lag()

    def index_status(self) -> IndexStatus:
        """Return how many changes the index has not applied, and what keeps it from that."""
        with self.log.read() as snapshot:
            status = snapshot.index_queue.status()
        return replace(status, error=status.error or self.indexer.problem)
