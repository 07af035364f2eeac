"""Recall: the turns of a scope that a query is about.

Candidates come from two channels, vectors and words. The vectors of a small scope are all compared,
in memory; those of a large one are asked of the vector index, and what it does not have yet is
compared. The best candidates, widened by their neighbours on the live path, are scored exactly with
what the log holds, and ranked.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from memory_service.core import clock
from memory_service.core.errors import EmbedderDown, EmbedderRefused, NotFound, VectorIndexDown
from memory_service.core.models import (
    MICROSECONDS,
    Considered,
    Hit,
    Outcome,
    Recall,
    RecalledSpan,
    Scope,
    ScopeMember,
    StoredPassage,
    Turn,
    Vector,
)
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.dates import expressions, timeline
from memory_service.recall import features, matching, ranking
from memory_service.recall.path_cache import LivePath, PathCache
from memory_service.recall.ranking import ALL_PARTS, Part, Ranking
from memory_service.recall.relevance import calls_for_memory
from memory_service.recall.selection import Selection, outstanding
from memory_service.recall.token_arrays import Lexicon
from memory_service.recall.vector_cache import ConversationVectors, VectorCache
from memory_service.text.spans import Span
from memory_service.text.terms import term_spans
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

logger = structlog.get_logger(__name__)

CANDIDATES_PER_CHANNEL = 50
CANDIDATES = 60
MAX_COUNTED = 20_000
"""Passages up to which a term's are counted; one in more of them weighs next to nothing."""
MAX_POSTINGS = 4_000
"""Postings read to find candidates, of the rarest terms; common ones are looked up for these."""
MAX_QUERY_TERMS = 32
MAX_UNINDEXED = 5_000
_HITS_READ_AT_ONCE = 32
"""Turns read with their texts at a time, until enough of them pass the filters."""
_MAX_SAID_THEN = 300
"""Turns of a time that are looked at whatever they say."""
_WIDER = 4
"""By how much more candidates are taken where a time or a filter turns some away."""
_EVENT_TURNS = 6
_EVENT_DAYS = 3
"""Turns that may tell when an event was, and how many days are taken from them."""
_REACH = max(matching.WINDOW)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; `exclude` holds keys of turns that the prompt has anyway.

    With `relevant_only` a message that calls for no memory gets none. `context` is what was said
    just before a text that is too short to be looked for alone; it does not decide about that.
    `now` is when it is asked, in microseconds, by default the clock; days are those of
    `utc_offset_minutes`, by default the offset that the newest turn was written in.
    """

    text: str
    top_k: int
    roles: frozenset[str] = frozenset()
    created_after: int | None = None
    created_before: int | None = None
    exclude: frozenset[int] = frozenset()
    relevant_only: bool = False
    context: str = ""
    now: int | None = None
    utc_offset_minutes: int | None = None

    @property
    def searched(self) -> str:
        """All that is looked for."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    def admits(self, turn: Turn) -> bool:
        """Return whether the filters let a turn through; both times are inclusive."""
        return (
            (not self.roles or turn.role in self.roles)
            and (self.created_after is None or turn.created_at >= self.created_after)
            and (self.created_before is None or turn.created_at <= self.created_before)
        )

    @property
    def is_filtered(self) -> bool:
        """Return whether turns may be turned away for their role or time."""
        return bool(self.roles) or self.created_after is not None or self.created_before is not None


class _Stages:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """Count the time since the last stage ended for this one."""
        now = time.perf_counter()
        self.milliseconds[name] = round((now - self._last) * 1000, 3)
        self._last = now


class _Scored(NamedTuple):
    """A passage in the running, and its similarity to the query if that is known."""

    passage_key: int
    turn_key: int
    cosine: float | None


class _Near(NamedTuple):
    """Candidates of one conversation: places on its live path, and their turns."""

    path: LivePath
    places: npt.NDArray[np.intp]

    @property
    def turn_keys(self) -> npt.NDArray[np.int64]:
        """The keys of the turns."""
        return self.path.turns[self.places]


class _Point(NamedTuple):
    """A candidate: its place on the live path of its conversation."""

    conversation_key: int
    place: int
    turn_key: int
    stretch: int
    created_at: int
    by_user: bool

    def follows(self, before: _Point) -> bool:
        """Return whether it is the next turn of the same uninterrupted stretch."""
        return (self.conversation_key, self.stretch, self.place) == (
            before.conversation_key,
            before.stretch,
            before.place + 1,
        )


@dataclass(slots=True)
class _Scanned:
    """A conversation whose vectors were all compared."""

    entry: ConversationVectors
    scores: npt.NDArray[np.float32]

    def of_turns(self, turn_keys: npt.NDArray[np.int64]) -> list[_Scored]:
        """Return the passages of some turns with their scores."""
        first = np.searchsorted(self.entry.turns, turn_keys, side="left")
        after = np.searchsorted(self.entry.turns, turn_keys, side="right")
        return [
            _Scored(int(self.entry.passages[place]), int(turn_key), float(self.scores[place]))
            for turn_key, start, end in zip(turn_keys, first, after, strict=True)
            for place in range(start, end)
        ]

    def best(self, limit: int) -> dict[int, float]:
        """Return the best scores by passage key."""
        if len(self.scores) > limit:
            places = np.argpartition(-self.scores, limit)[:limit]
        else:
            places = np.arange(len(self.scores))
        return {int(self.entry.passages[place]): float(self.scores[place]) for place in places}


@dataclass(frozen=True, slots=True)
class _When:
    """The turns that were said at the time a query means, by conversation, as places on its path.

    With `only` the query asks for nothing else.
    """

    places: Mapping[int, npt.NDArray[np.intp]]
    only: bool


@dataclass(slots=True)
class _Search:
    """The state of one recall: the query's words and vector, and what each channel found.

    `text` is the query without its time, `best` the passage of each turn that matches best.
    """

    log: ReadTransaction
    scope: Scope
    text: str
    limit: int
    stages: _Stages
    weights: dict[str, float] = field(default_factory=dict)
    known_terms: list[str] = field(default_factory=list)
    common_terms: list[str] = field(default_factory=list)
    vector: Vector | None = None
    words: dict[int, float] = field(default_factory=dict)
    vectors: dict[int, float] = field(default_factory=dict)
    scanned: dict[int, _Scanned] = field(default_factory=dict)
    best: dict[int, int] = field(default_factory=dict)
    when: _When | None = None
    degraded: str | None = None


class Recaller:
    """The use case that finds turns."""

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        embedder: Embedder,
        cache: VectorCache,
        *,
        exact_scan_max: int,
        pause_hours: float,
        parts: frozenset[Part] = ALL_PARTS,
        rank: Ranking = ranking.rank,
    ) -> None:
        self._log = log
        self._index = index
        self._embedder = embedder
        self._cache = cache
        self._exact_scan_max = exact_scan_max
        self._parts = parts
        self._rank = rank
        self._lexicon = Lexicon(embedder.word_vectors)
        self._paths = PathCache(round(pause_hours * 3600 * MICROSECONDS))

    def in_conversation(self, project_key: int, conversation_id: str, query: Query) -> Recall:
        """Recall inside one conversation; raises NotFound if the project has no such."""
        stages = _Stages()
        with self._log.read() as snapshot:
            found = snapshot.conversations.get(project_key, conversation_id)
            if found is None:
                raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
            scope = Scope(project_key, {found.key: ScopeMember.of(found)})
            return self._recall(snapshot, scope, query, stages)

    def of_user(self, project_key: int, user_id: str, query: Query) -> Recall:
        """Recall over all of a user's conversations; raises NotFound if there is no such user."""
        stages = _Stages()
        with self._log.read() as snapshot:
            user = snapshot.users.key_of(project_key, user_id)
            if user is None:
                raise NotFound(f"No user {user_id!r}.", param="user_id")
            return self._recall(
                snapshot, snapshot.conversations.scope_of_user(project_key, user), query, stages
            )

    def again(self, project_key: int, stretches: Sequence[RecalledSpan]) -> Recall:
        """Return hits as they were recalled before, without those that were forgotten since."""
        with self._log.read() as snapshot:
            turns = snapshot.turns.by_keys(project_key, [one.turn_key for one in stretches])
            kept = [(turns[one.turn_key], one) for one in stretches if one.turn_key in turns]
            return Recall(_as_hits(snapshot, project_key, kept))

    def _recall(
        self, snapshot: ReadTransaction, scope: Scope, query: Query, stages: _Stages
    ) -> Recall:
        limit = CANDIDATES_PER_CHANNEL * (_WIDER if query.is_filtered else 1)
        search = _Search(snapshot, scope, query.searched, limit, stages)
        stages.end("scope")
        if scope.statistics.passages == 0 or query.top_k == 0:
            return Recall([], stages_ms=stages.milliseconds)
        self._read_time(search, query)
        stages.end("time")
        self._score_words(search)
        stages.end("words")
        if query.relevant_only and Part.FLOOR in self._parts and not _is_relevant(search, query):
            return Recall([], stages_ms=stages.milliseconds)
        if Part.WORDS not in self._parts:
            search.words, search.common_terms = {}, []
        if Part.VECTORS in self._parts:
            self._embed(search)
        stages.end("embed")
        self._score_vectors(search)
        stages.end("vectors")
        ranked = self._rank(self._exact(search, self._candidates(search)), self._parts)
        stages.end("rank")
        hits, considered = self._hits(search, query, ranked)
        stages.end("read")
        return Recall(hits, search.degraded, considered, stages.milliseconds)

    def _read_time(self, search: _Search, query: Query) -> None:
        """Find the turns of the time that the query means, and take its words out of the query."""
        at = clock.now() if query.now is None else query.now
        languages = search.scope.languages
        events = expressions.event_spans(query.text, languages)
        today = clock.to_datetime(at).date()
        if not events and not expressions.time_reference(query.text, today, languages):
            return
        offset = query.utc_offset_minutes
        if offset is None:
            offset = search.log.turns.utc_offset_minutes(search.scope)
        now = clock.to_datetime(at, offset)
        paths = {
            key: self._paths.get(search.log, key, member)
            for key, member in search.scope.members.items()
        }
        times = np.concatenate([path.created_at for path in paths.values()])
        said_then = np.zeros(len(times), dtype=np.bool_)
        for happened in self._happened(search, query, events, offset):
            reference = expressions.time_reference(query.text, now.date(), languages, happened)
            said_then |= timeline.select_turns(reference, times, now)
        if not said_then.any():
            return
        bounds = np.cumsum([len(path.turns) for path in paths.values()])[:-1]
        masks = zip(paths, np.split(said_then, bounds), strict=True)
        only = timeline.is_only_time(query.text, reference, languages) and not events
        search.when = _When({key: np.flatnonzero(mask) for key, mask in masks}, only)
        search.limit *= _WIDER
        if not only:
            search.text = replace(query, text=reference.without(query.text)).searched

    def _happened(
        self, search: _Search, query: Query, events: Sequence[Span], offset: int | None
    ) -> list[dict[Span, date]]:
        """Return what days the events of a query may have been on: those of the turns about each.

        An event is recalled by its own words, which are fewer than the query's.
        """
        found: list[dict[Span, date]] = [{}]
        for start, end in events:
            about = replace(
                query,
                text=query.text[start:end],
                context="",
                top_k=_EVENT_TURNS,
                exclude=frozenset(),
            )
            hits = self._recall(search.log, search.scope, about, _Stages()).hits
            every = dict.fromkeys(
                timeline.day_of(hit.turn, offset, search.scope.languages) for hit in hits
            )
            days = list(every)[:_EVENT_DAYS]
            found = [{**known, Span(start, end): day} for known in found for day in days] or found
        return found

    def _score_words(self, search: _Search) -> None:
        """Weigh the query's terms by the scope and score the passages that hold them."""
        wanted = _query_terms(search.text, search.scope)
        frequencies = search.log.postings.document_frequencies(
            search.scope, wanted, at_most=MAX_COUNTED
        )
        statistics = search.scope.statistics
        search.weights = {
            term: ranking.inverse_document_frequency(count, statistics.passages)
            for term, count in frequencies.items()
        }
        search.known_terms = [term for term, count in frequencies.items() if count]
        rarest = sorted(search.known_terms, key=lambda term: (frequencies[term], term))
        rarest = rarest[:MAX_QUERY_TERMS]
        totals = itertools.accumulate(frequencies[term] for term in rarest)
        read = max(1, sum(total <= MAX_POSTINGS for total in totals))
        search.common_terms = rarest[read:]
        postings = search.log.postings.in_scope(search.scope, rarest[:read]) if rarest else []
        search.words = ranking.bm25(postings, search.weights, statistics)

    def _embed(self, search: _Search) -> None:
        """Embed the query, each word weighted by how rare it is in the scope."""
        languages = search.scope.languages if Part.QUERY_WEIGHTS in self._parts else ()
        spans = [
            (span.start, span.end, search.weights.get(span.term, 0.0))
            for language in languages
            for span in term_spans(search.text, language)
        ]
        try:
            search.vector = self._embedder.embed_query(search.text, spans)
        except (EmbedderDown, EmbedderRefused) as error:
            logger.warning("recall goes on without the embedder", error=error.message)
            search.degraded = "embedder"

    def _score_vectors(self, search: _Search) -> None:
        if search.vector is None:
            return
        if search.scope.statistics.passages <= self._exact_scan_max:
            self._scan(search, search.vector)
        else:
            self._ask_index(search, search.vector)

    def _scan(self, search: _Search, vector: Vector) -> None:
        """Compare the query with every vector of the scope."""
        for conversation_key, member in search.scope.members.items():
            entry = self._cache.get(search.log, conversation_key, member)
            if len(entry.passages):
                scanned = _Scanned(entry, entry.cosines(vector))
                search.scanned[conversation_key] = scanned
                search.vectors.update(scanned.best(search.limit))

    def _ask_index(self, search: _Search, vector: Vector) -> None:
        """Ask the index for the nearest passages, and compare those it does not have yet."""
        try:
            for collection, members in search.log.placements.of_scope(search.scope).items():
                groups = self._groups(search.log, collection, members)
                search.vectors.update(self._index.query(collection, vector, groups, search.limit))
        except VectorIndexDown as error:
            logger.warning("recall goes on without the vector index", error=error.message)
            search.degraded = "vector_index"
        waiting = search.log.passages.unindexed(search.scope, MAX_UNINDEXED)
        if len(waiting) == MAX_UNINDEXED:
            # A collection that is built again: what waits beyond these is not compared at all.
            search.degraded = "vector_index"
        search.vectors.update(_cosines(vector, waiting))

    def _groups(
        self, snapshot: ReadTransaction, collection: int, members: Sequence[int]
    ) -> list[int] | None:
        """Return the conversations to filter on; None where the collection has no others."""
        found = snapshot.collections.get(collection)
        return None if found is not None and found.conversation_key is not None else list(members)

    def _candidates(self, search: _Search) -> dict[int, _Near]:
        """Return the best turns of both channels with their neighbours, by conversation."""
        by_vector = ranking.top(search.vectors, search.limit)
        by_words = ranking.top(search.words, search.limit)
        best = ranking.top(
            ranking.reciprocal_ranks(by_vector, by_words), max(CANDIDATES, search.limit)
        )
        turns: dict[int, list[int]] = {}
        for place in search.log.passages.places(best):
            if place.conversation_key in search.scope.members:
                turns.setdefault(place.conversation_key, []).append(place.turn_key)
        then = _sample(search.when.places) if search.when else {}
        near: dict[int, _Near] = {}
        for conversation_key in sorted(turns.keys() | then.keys()):
            member = search.scope.members[conversation_key]
            path = self._paths.get(search.log, conversation_key, member)
            places = path.around(turns.get(conversation_key, ()), _REACH)
            if search.when:
                places = np.union1d(places, then.get(conversation_key, places[:0]))
            if search.when and search.when.only:
                said_then = search.when.places[conversation_key]
                places = places[np.isin(places, said_then)]
            near[conversation_key] = _Near(path, places)
        return near

    def _exact(self, search: _Search, near: Mapping[int, _Near]) -> list[ranking.Candidate]:
        """Score each turn by its best passage, and by what that says."""
        vectors = self._compared(search, near)
        points = [
            _Point(conversation_key, *point)
            for conversation_key, (path, places) in near.items()
            for point in zip(
                places.tolist(),
                path.turns[places].tolist(),
                path.stretches[places].tolist(),
                path.created_at[places].tolist(),
                path.by_user[places].tolist(),
                strict=True,
            )
        ]
        then = (
            {key: set(some.tolist()) for key, some in search.when.places.items()}
            if search.when
            else {}
        )
        readings = features.read(
            search.text,
            search.weights,
            search.scope.languages,
            self._said(search, points),
            self._lexicon,
        )
        return [
            ranking.Candidate(
                turn_key=point.turn_key,
                path=(point.conversation_key, point.stretch),
                position=point.place,
                created_at=point.created_at,
                vector=vectors.get(point.turn_key),
                by_user=point.by_user,
                then=point.place in then.get(point.conversation_key, ()),
                words=read.words,
                said=read.said,
                phrase=read.phrase,
                speaker=read.speaker,
                answers=read.answers,
                length=read.length,
                asks=read.asks,
            )
            for point, read in zip(points, readings, strict=True)
        ]

    def _said(self, search: _Search, points: Sequence[_Point]) -> list[features.Said]:
        """Return the words of the best passage of each turn."""
        rows = search.log.turns.passage_texts(search.scope.project_key, search.best.values())
        said = {row.turn_key: row for row in rows}
        found, before = [], None
        for point in points:
            row = said.get(point.turn_key)
            found.append(
                features.Said(
                    speaker="" if row is None else row.name or row.role,
                    role="user" if point.by_user else "",
                    text="" if row is None else row.text,
                    language=search.scope.members[point.conversation_key].language,
                    follows=before is not None and point.follows(before),
                )
            )
            before = point
        return found

    def _compared(self, search: _Search, near: Mapping[int, _Near]) -> dict[int, float]:
        """Return the best similarity of each turn, and note its best passage."""
        vectors: dict[int, float] = {}
        strength: dict[int, tuple[float, float]] = {}
        for key, turn_key, cosine in self._scored(search, near):
            scores = search.words.get(key, 0.0), -1.0 if cosine is None else cosine
            if cosine is not None:
                vectors[turn_key] = max(vectors.get(turn_key, -1.0), cosine)
            if turn_key not in strength or scores > strength[turn_key]:
                strength[turn_key] = scores
                search.best[turn_key] = key
        return vectors

    def _scored(self, search: _Search, near: Mapping[int, _Near]) -> list[_Scored]:
        """Return the candidates' passages, and look the commonest words up in these."""
        passages: dict[int, list[_Scored]] = {}
        for conversation_key, one in near.items():
            scanned = search.scanned.get(conversation_key)
            passages[conversation_key] = (
                self._read_scored(search, one)
                if scanned is None
                else scanned.of_turns(one.turn_keys)
            )
        if search.common_terms:
            keys = {
                conversation_key: [one.passage_key for one in some]
                for conversation_key, some in passages.items()
            }
            common = search.log.postings.in_passages(search.common_terms, keys)
            more = ranking.bm25(common, search.weights, search.scope.statistics)
            for key, score in more.items():
                search.words[key] = search.words.get(key, 0.0) + score
        return list(itertools.chain.from_iterable(passages.values()))

    def _read_scored(self, search: _Search, near: _Near) -> list[_Scored]:
        """Return the passages of turns whose conversation was not scanned, compared now."""
        stored = search.log.passages.of_turns(near.turn_keys.tolist())
        cosines = {} if search.vector is None else _cosines(search.vector, stored)
        return [_Scored(one.key, one.turn_key, cosines.get(one.key)) for one in stored]

    def _hits(
        self, search: _Search, query: Query, ranked: Sequence[ranking.Ranked]
    ) -> tuple[list[Hit], list[Considered]]:
        """Read the best turns again under the caller's project, until enough may be recalled."""
        selection = Selection(
            query.top_k,
            shared=len(search.scope.members) > 1,
            bound=outstanding(ranked),
            # A prompt collapses repetitions itself, and reports them.
            collapse=not query.relevant_only,
        )
        for start in range(0, len(ranked), _HITS_READ_AT_ONCE):
            some = ranked[start : start + _HITS_READ_AT_ONCE]
            turns = search.log.turns.by_keys(
                search.scope.project_key, [one.turn_key for one in some]
            )
            for one in some:
                turn = turns.get(one.turn_key)
                if turn is not None and turn.text:
                    selection.offer(one, turn, _barred(turn, query))
            if selection.is_full:
                break
        selection.fill_up()
        recalled = self._stretches(search, selection.chosen)
        return _as_hits(search.log, search.scope.project_key, recalled), selection.considered

    def _stretches(
        self, search: _Search, chosen: Sequence[tuple[ranking.Ranked, Turn]]
    ) -> list[tuple[Turn, RecalledSpan]]:
        """Return the turns with the stretch of each that matches best."""
        best = [search.best[turn.key] for _, turn in chosen if turn.key in search.best]
        places = {
            place.turn_key: (place.start, place.end) for place in search.log.passages.places(best)
        }
        return [
            (
                turn,
                RecalledSpan(
                    turn.key,
                    *places.get(turn.key, (0, len(turn.text))),
                    score=one.score,
                    channels=one.channels,
                ),
            )
            for one, turn in chosen
        ]


def _as_hits(
    snapshot: ReadTransaction, project_key: int, recalled: Sequence[tuple[Turn, RecalledSpan]]
) -> list[Hit]:
    """Return turns of the project with their stretches as hits, in this order."""
    conversations = snapshot.conversations.by_keys(
        project_key, {turn.conversation_key for turn, _ in recalled}
    )
    return [
        Hit(
            turn=turn,
            start=one.start,
            end=one.end,
            conversation_id=conversations[turn.conversation_key].id,
            user_id=conversations[turn.conversation_key].user,
            score=one.score,
            channels=one.channels,
            rank=rank,
        )
        for rank, (turn, one) in enumerate(recalled, start=1)
    ]


def _sample(places: Mapping[int, npt.NDArray[np.intp]]) -> dict[int, npt.NDArray[np.intp]]:
    """Return the places, or as many of the last of each conversation as can be looked at."""
    filled = {key: some for key, some in places.items() if len(some)}
    each = max(1, _MAX_SAID_THEN // max(1, len(filled)))
    return {key: some[-each:] for key, some in sorted(filled.items())[-_MAX_SAID_THEN:]}


def _is_relevant(search: _Search, query: Query) -> bool:
    best = max(search.words.values(), default=0.0)
    return calls_for_memory(
        query.text, search.scope.languages, search.weights, search.known_terms, best
    )


def _barred(turn: Turn, query: Query) -> Outcome | None:
    """Return why a turn may not be recalled, however good it is."""
    if turn.key in query.exclude:
        return "in_recent_window"
    return None if query.admits(turn) else "filtered"


def _query_terms(text: str, scope: Scope) -> list[str]:
    """Return the distinct terms of the query in each language of the scope."""
    return list(
        dict.fromkeys(
            span.term for language in scope.languages for span in term_spans(text, language)
        )
    )


def _cosines(vector: Vector, passages: Sequence[StoredPassage]) -> dict[int, float]:
    known = [(passage.key, passage.vector) for passage in passages if passage.vector is not None]
    if not known:
        return {}
    scores = np.stack([stored for _, stored in known]) @ vector
    return {key: float(score) for (key, _), score in zip(known, scores, strict=True)}
