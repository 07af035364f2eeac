"""Transactions on the turn log: a snapshot that reads, and the one transaction that writes.

A transaction has one repository per noun. It is passed to the functions that work within it.
"""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from memory_service.turn_log import sqlite
from memory_service.turn_log.repositories.api_keys import ApiKeyQueries, ApiKeyRepository
from memory_service.turn_log.repositories.collections import CollectionQueries, CollectionRepository
from memory_service.turn_log.repositories.completions import CompletionQueries, CompletionRepository
from memory_service.turn_log.repositories.conversations import (
    ConversationQueries,
    ConversationRepository,
)
from memory_service.turn_log.repositories.deletions import DeletionRepository
from memory_service.turn_log.repositories.history_index import (
    HistoryIndexQueries,
    HistoryIndexRepository,
)
from memory_service.turn_log.repositories.idempotency import (
    IdempotencyQueries,
    IdempotencyRepository,
)
from memory_service.turn_log.repositories.index_queue import IndexQueueQueries, IndexQueueRepository
from memory_service.turn_log.repositories.media import MediaQueries, MediaRepository
from memory_service.turn_log.repositories.passages import PassageQueries, PassageRepository
from memory_service.turn_log.repositories.placements import PlacementQueries, PlacementRepository
from memory_service.turn_log.repositories.postings import PostingQueries, PostingRepository
from memory_service.turn_log.repositories.projects import ProjectQueries, ProjectRepository
from memory_service.turn_log.repositories.prompt_states import (
    PromptStateQueries,
    PromptStateRepository,
)
from memory_service.turn_log.repositories.properties import PropertyQueries, PropertyRepository
from memory_service.turn_log.repositories.receipts import ReceiptQueries, ReceiptRepository
from memory_service.turn_log.repositories.residues import ResidueQueries, ResidueRepository
from memory_service.turn_log.repositories.responses import ResponseQueries, ResponseRepository
from memory_service.turn_log.repositories.summaries import SummaryQueries, SummaryRepository
from memory_service.turn_log.repositories.summary_queue import (
    SummaryQueueQueries,
    SummaryQueueRepository,
)
from memory_service.turn_log.repositories.traces import TraceQueries, TraceRepository
from memory_service.turn_log.repositories.turn_writes import TurnRepository
from memory_service.turn_log.repositories.turns import TurnQueries
from memory_service.turn_log.repositories.users import UserQueries, UserRepository


class ReadTransaction:
    """A transaction that only reads; what it sees does not change while it is open."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @cached_property
    def properties(self) -> PropertyQueries:
        """Properties of the data folder: the embedder, its dimension, the version of the terms."""
        return PropertyQueries(self._connection)

    @cached_property
    def projects(self) -> ProjectQueries:
        """Projects: the tenants that own API keys, users and conversations."""
        return ProjectQueries(self._connection)

    @cached_property
    def api_keys(self) -> ApiKeyQueries:
        """API keys: only their hashes are stored."""
        return ApiKeyQueries(self._connection)

    @cached_property
    def users(self) -> UserQueries:
        """Users: opaque ids inside a project."""
        return UserQueries(self._connection)

    @cached_property
    def conversations(self) -> ConversationQueries:
        """Conversations: creating, finding, listing and changing them."""
        return ConversationQueries(self._connection)

    @cached_property
    def turns(self) -> TurnQueries:
        """Turns: reading them by id, by key and along the active branch."""
        return TurnQueries(self._connection)

    @cached_property
    def history_index(self) -> HistoryIndexQueries:
        """The history index: finds the turns that a client sends again."""
        return HistoryIndexQueries(self._connection)

    @cached_property
    def completions(self) -> CompletionQueries:
        """Stored completions: those that callers have asked to store."""
        return CompletionQueries(self._connection)

    @cached_property
    def media(self) -> MediaQueries:
        """Media: the images, audio and files of turns."""
        return MediaQueries(self._connection)

    @cached_property
    def passages(self) -> PassageQueries:
        """Passages with their vectors."""
        return PassageQueries(self._connection)

    @cached_property
    def postings(self) -> PostingQueries:
        """Postings: which passage holds which term, and the statistics of a scope."""
        return PostingQueries(self._connection)

    @cached_property
    def collections(self) -> CollectionQueries:
        """Collections of the vector index, and the passages that each should hold."""
        return CollectionQueries(self._connection)

    @cached_property
    def placements(self) -> PlacementQueries:
        """Placements: which collection holds the vectors of a conversation."""
        return PlacementQueries(self._connection)

    @cached_property
    def index_queue(self) -> IndexQueueQueries:
        """The index queue: changes that the vector index has not applied yet."""
        return IndexQueueQueries(self._connection)

    @cached_property
    def residues(self) -> ResidueQueries:
        """Residues: places where bytes of deleted data may remain until files are rewritten."""
        return ResidueQueries(self._connection)

    @cached_property
    def idempotency(self) -> IdempotencyQueries:
        """Idempotency keys: what a keyed request stored, by reference."""
        return IdempotencyQueries(self._connection)

    @cached_property
    def receipts(self) -> ReceiptQueries:
        """Receipts of deletions: kind and counts, never any text."""
        return ReceiptQueries(self._connection)

    @cached_property
    def prompt_states(self) -> PromptStateQueries:
        """Prompt states: how each conversation's last prompt was built."""
        return PromptStateQueries(self._connection)

    @cached_property
    def traces(self) -> TraceQueries:
        """Traces: the record of how a prompt or a search came about."""
        return TraceQueries(self._connection)

    @cached_property
    def summaries(self) -> SummaryQueries:
        """Summaries: what a model wrote of turns, or of summaries of a lower level."""
        return SummaryQueries(self._connection)

    @cached_property
    def summary_queue(self) -> SummaryQueueQueries:
        """The summary queue: conversations that may have something to summarise."""
        return SummaryQueueQueries(self._connection)

    @cached_property
    def responses(self) -> ResponseQueries:
        """Responses of the Responses API: their input and output are turns."""
        return ResponseQueries(self._connection)

    def integrity_problems(self) -> list[str]:
        """Return what the database itself finds wrong with its files and foreign keys."""
        return sqlite.integrity_problems(self._connection)


class WriteTransaction(ReadTransaction):
    """The transaction that writes; when it ends, all of its changes are durable, or none."""

    @cached_property
    def properties(self) -> PropertyRepository:
        """Properties of the data folder: the embedder, its dimension, the version of the terms."""
        return PropertyRepository(self._connection)

    @cached_property
    def projects(self) -> ProjectRepository:
        """Projects: the tenants that own API keys, users and conversations."""
        return ProjectRepository(self._connection)

    @cached_property
    def api_keys(self) -> ApiKeyRepository:
        """API keys: only their hashes are stored."""
        return ApiKeyRepository(self._connection)

    @cached_property
    def users(self) -> UserRepository:
        """Users: opaque ids inside a project."""
        return UserRepository(self._connection)

    @cached_property
    def conversations(self) -> ConversationRepository:
        """Conversations: creating, finding, listing and changing them."""
        return ConversationRepository(self._connection)

    @cached_property
    def turns(self) -> TurnRepository:
        """Turns: appending them to the tree, and moving the head."""
        return TurnRepository(self._connection)

    @cached_property
    def history_index(self) -> HistoryIndexRepository:
        """The history index: finds the turns that a client sends again."""
        return HistoryIndexRepository(self._connection)

    @cached_property
    def completions(self) -> CompletionRepository:
        """Stored completions: those that callers have asked to store."""
        return CompletionRepository(self._connection)

    @cached_property
    def media(self) -> MediaRepository:
        """Media: the images, audio and files of turns."""
        return MediaRepository(self._connection)

    @cached_property
    def passages(self) -> PassageRepository:
        """Passages with their vectors."""
        return PassageRepository(self._connection)

    @cached_property
    def postings(self) -> PostingRepository:
        """Postings: which passage holds which term, and the statistics of a scope."""
        return PostingRepository(self._connection)

    @cached_property
    def collections(self) -> CollectionRepository:
        """Collections of the vector index, and the passages that each should hold."""
        return CollectionRepository(self._connection)

    @cached_property
    def placements(self) -> PlacementRepository:
        """Placements: which collection holds the vectors of a conversation."""
        return PlacementRepository(self._connection)

    @cached_property
    def index_queue(self) -> IndexQueueRepository:
        """The index queue: changes that the vector index has not applied yet."""
        return IndexQueueRepository(self._connection)

    @cached_property
    def residues(self) -> ResidueRepository:
        """Residues: places where bytes of deleted data may remain until files are rewritten."""
        return ResidueRepository(self._connection)

    @cached_property
    def idempotency(self) -> IdempotencyRepository:
        """Idempotency keys: what a keyed request stored, by reference."""
        return IdempotencyRepository(self._connection)

    @cached_property
    def receipts(self) -> ReceiptRepository:
        """Receipts of deletions: kind and counts, never any text."""
        return ReceiptRepository(self._connection)

    @cached_property
    def prompt_states(self) -> PromptStateRepository:
        """Prompt states: how each conversation's last prompt was built."""
        return PromptStateRepository(self._connection)

    @cached_property
    def traces(self) -> TraceRepository:
        """Traces: the record of how a prompt or a search came about."""
        return TraceRepository(self._connection)

    @cached_property
    def summaries(self) -> SummaryRepository:
        """Summaries: what a model wrote of turns, or of summaries of a lower level."""
        return SummaryRepository(self._connection)

    @cached_property
    def summary_queue(self) -> SummaryQueueRepository:
        """The summary queue: conversations that may have something to summarise."""
        return SummaryQueueRepository(self._connection)

    @cached_property
    def responses(self) -> ResponseRepository:
        """Responses of the Responses API: their input and output are turns."""
        return ResponseRepository(self._connection)

    @cached_property
    def deletions(self) -> DeletionRepository:
        """Deletion of turns, conversations and users from every table."""
        return DeletionRepository(self._connection)
