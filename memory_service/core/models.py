"""The values that travel between layers. Immutable, free of I/O, free of vendor types.

Times are integers: microseconds since the Unix epoch, UTC. `utc_offset_minutes` keeps the offset
that a caller wrote beside a time, so that an export gives back what was sent and "yesterday" can
be resolved in the speaker's own day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

MICROSECONDS = 1_000_000

Vector = npt.NDArray[np.float32]
"""One embedding, shape (dimension,), unit length."""

Matrix = npt.NDArray[np.float32]
"""Embeddings, shape (count, dimension), each row of unit length."""

Integers = npt.NDArray[np.int64]
"""A column of keys or counts, shape (n,)."""

Metadata = Mapping[str, str]
"""OpenAI's metadata: up to 16 pairs, keys of up to 64 and values of up to 512 characters."""

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key: never the key, never its hash."""

    id: int
    project: str
    hint: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class User:
    """An opaque id inside a project, with what the log knows of it."""

    key: int
    id: str
    created_at: int
    last_seen_at: int
    conversations: int
    turns: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of turns of one user, of which one path, from the root to `head`, is live."""

    key: int
    id: str
    user_key: int | None
    user: str | None
    title: str | None
    metadata: Metadata
    created_at: int
    head_key: int | None
    next_seq: int
    language: str | None
    passages: int
    terms: int
    erasures: int
    path_changes: int
    summaries: bool | None = None


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A checked item on its way into the log; `raw` is its JSON exactly as it was sent."""

    id: str
    kind: str
    role: str
    name: str | None
    text: str
    raw: str
    metadata: Metadata | None
    created_at: int | None
    utc_offset_minutes: int | None
    content_hash: bytes
    calls: tuple[str, ...] = ()
    answers: str | None = None
    id_given: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message or item of a conversation, as stored."""

    key: int
    id: str
    conversation_key: int
    seq: int
    parent_key: int | None
    unit_key: int | None
    live: bool
    gap_before: bool
    kind: str
    role: str
    name: str | None
    text: str
    raw: str
    metadata: Metadata | None
    created_at: int
    utc_offset_minutes: int | None
    stored_at: int
    content_hash: bytes

    @property
    def speaker(self) -> str:
        """Who says it: the given name, else the role."""
        return self.name or self.role


@dataclass(frozen=True, slots=True)
class Passage:
    """What is embedded: a turn, or a window of a long one; `start` and `end` count characters.

    `tf` are its terms, each with how often it occurs; `length` is the sum of that.
    """

    ordinal: int
    start: int
    end: int
    tf: Mapping[str, int]
    length: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage's place in the log, without its text: `length` counts terms."""

    key: int
    turn_key: int
    conversation_key: int
    ordinal: int
    start: int
    end: int
    length: int
    vector: Vector | None


class PassagePlace(NamedTuple):
    """A passage, the turn and the conversation it is of, and its stretch of the text."""

    key: int
    turn_key: int
    conversation_key: int
    start: int
    end: int


class Posting(NamedTuple):
    """A term and the passages that hold it: all that BM25 needs of them.

    Columns of shape (n,): the passages' keys, how often each holds the term, and its length in
    terms. A query reads thousands, and anything made of each one takes longer than reading them.
    """

    term: str
    passage_keys: Integers
    tf: Integers
    lengths: Integers

    @classmethod
    def of(cls, term: str, rows: Iterable[tuple[int, int, int]]) -> Self:
        """Return the posting of a term from (passage key, how often, length) of each passage."""
        return cls(term, *np.array(list(rows), dtype=np.int64).reshape(-1, 3).T)


@dataclass(frozen=True, slots=True)
class ScopeMember:
    """A conversation of a scope: its language, its passages and their terms.

    What was read of it before is still true if `erasures` (for passages) or `path_changes` (for
    the live path) is the same; it has then only grown, up to `next_seq`.
    """

    language: str | None
    passages: int
    terms: int
    erasures: int
    path_changes: int
    next_seq: int

    @classmethod
    def of(cls, conversation: Conversation) -> Self:
        """Return a conversation as a member of a scope."""
        return cls(
            language=conversation.language,
            passages=conversation.passages,
            terms=conversation.terms,
            erasures=conversation.erasures,
            path_changes=conversation.path_changes,
            next_seq=conversation.next_seq,
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a recall looks: conversations of one project, by key."""

    project_key: int
    members: Mapping[int, ScopeMember]

    @property
    def conversation_keys(self) -> tuple[int, ...]:
        """The keys of its conversations."""
        return tuple(self.members)

    @property
    def languages(self) -> tuple[str | None, ...]:
        """The distinct languages of its conversations, always in the same order."""
        return tuple(sorted({member.language for member in self.members.values()}, key=str))

    @property
    def statistics(self) -> ScopeStatistics:
        """The number of its passages, and their mean length."""
        passages = sum(member.passages for member in self.members.values())
        terms = sum(member.terms for member in self.members.values())
        return ScopeStatistics(passages, terms / passages if passages else 0.0)


@dataclass(frozen=True, slots=True)
class ScopeStatistics:
    """What BM25 needs to know of a scope: its size and its mean passage length, in terms."""

    passages: int
    mean_length: float


@dataclass(frozen=True, slots=True)
class QueuedPassage:
    """A passage that waits to enter the vector index (or to leave it)."""

    queue_key: int
    action: Literal["upsert", "delete", "drop"]
    passage_key: int | None
    conversation_key: int | None
    collection_key: int | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of the vector index: shared by small conversations, or of one large one."""

    key: int
    project_key: int
    conversation_key: int | None
    vectors: int


ResiduePlace = Literal["log", "index", "collection"]
"""The log's file, the database of the vector index, or the files of one collection."""


@dataclass(frozen=True, slots=True)
class Residue:
    """A place where bytes of deleted data may still lie."""

    key: int
    place: ResiduePlace
    collection_key: int | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a recall brought back, with its scores by channel; `rank` counts from 1.

    `start` and `end` are the stretch of the turn's text that matched best, in characters: all of a
    short turn, one passage of a long one.
    """

    turn: Turn
    start: int
    end: int
    conversation_id: str
    user_id: str | None
    score: float
    channels: Mapping[str, float]
    rank: int


Outcome = Literal[
    "recalled", "in_recent_window", "filtered", "duplicate", "over_share", "below_top_k"
]
"""What became of a turn that was ranked; `over_share`: its conversation has its share of hits."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A turn that was ranked, and what became of it."""

    turn_key: int
    score: float
    channels: Mapping[str, float]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recall:
    """The outcome of a recall. `degraded` names what was down, if anything.

    `considered` are the ranked turns, best first; `stages_ms` says where the time went.
    """

    hits: Sequence[Hit]
    degraded: str | None = None
    considered: Sequence[Considered] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecalledStretch:
    """A hit by key, so that the same block can be made again."""

    turn_key: int
    start: int
    end: int
    score: float
    channels: Mapping[str, float]

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return what is needed to make the hit again."""
        return cls(hit.turn.key, hit.start, hit.end, hit.score, dict(hit.channels))


@dataclass(frozen=True, slots=True)
class PromptState:
    """How a conversation's last prompt was built.

    `window_seq` is where its recent window began; `input_parent_key` and `input_hash` tell the user
    message that its block was made for; `recalled` is what is in that block, `left_out` what is not
    and why, by turn. `summaries` are the keys of those in its summary part; `model` is the newest
    that a prompt was for.
    """

    window_seq: int | None = None
    input_parent_key: int | None = None
    input_hash: bytes | None = None
    recalled: tuple[RecalledStretch, ...] = ()
    left_out: tuple[tuple[int, DropReason], ...] = ()
    model: str | None = None
    summaries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryPlace:
    """Which turns of a path a summary covers: both ends are meant."""

    key: int
    level: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class NewSummary:
    """A summary on its way into the log, and what it was made of.

    `tip_key` is the last turn it covers; `began_at` and `ended_at` are when the first and the last
    were said. Of `turn_keys` and `summary_keys` one is empty.
    """

    level: int
    first_seq: int
    last_seq: int
    tip_key: int
    began_at: int
    ended_at: int
    turn_keys: tuple[int, ...] = ()
    summary_keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model wrote of turns (level 1), or of summaries one level below or lower."""

    key: int
    id: str
    conversation_key: int
    level: int
    first_seq: int
    last_seq: int
    tip_key: int
    began_at: int
    ended_at: int
    text: str
    model: str
    created_at: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class SummaryHit:
    """A summary that a search brought back; `rank` counts from 1 among summaries."""

    summary: Summary
    conversation_id: str
    user_id: str | None
    score: float
    channels: Mapping[str, float]
    rank: int


@dataclass(frozen=True, slots=True)
class QueuedConversation:
    """A conversation that may have something to summarise, as of its newest request."""

    conversation_key: int
    requests: int


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """How a prompt or a search came about, in keys and numbers."""

    id: str
    created_at: int
    detail: Mapping[str, Any]


DropReason = Literal["budget", "duplicate", "orphan_tool_result", "unanswered_tool_call"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A turn that was a candidate for a prompt and stayed out, and why."""

    item_id: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Tokens by part; `total` covers the whole prompt and total + reserved_output <= budget."""

    system: int
    summary: int
    recent: int
    recalled: int
    input: int
    tools: int
    total: int
    reserved_output: int
    budget: int
    counter: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Chat-completions messages that fit, and how they came about."""

    messages: Sequence[Mapping[str, Any]]
    tokens: PromptTokens
    recalled: Sequence[Hit]
    recent_first_seq: int | None
    recent_last_seq: int | None
    summaries: Sequence[Summary] = ()
    dropped: Sequence[Dropped] = ()
    degraded: str | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said; `is_whole` is False where it was cut at its limit of tokens."""

    text: str
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that something was forgotten: what kind and how much, never what it said."""

    id: str
    kind: Literal["item", "conversation", "user"]
    counts: Mapping[str, int]
    created_at: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    data: Sequence[Any]
    has_more: bool


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How far the vector index is behind the log, and what keeps failing.

    While a scrub is pending, files may still hold bytes of what was deleted.
    """

    lag: int
    parked: int
    error: str | None = None
    scrub_is_pending: bool = False


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild of the vector index did; `waiting` changes are left to the next start."""

    vectors: int
    collections: int
    resumed: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class SummaryStatus:
    """How many conversations wait to be summarised, what was refused, and the last failure."""

    waiting: int
    set_aside: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement that `verify` found."""

    check: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` compared, and what did not agree."""

    checked: Mapping[str, int]
    findings: Sequence[Finding] = field(default_factory=tuple)
