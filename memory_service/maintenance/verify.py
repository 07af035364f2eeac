"""`verify`: derive again what can be derived, and report what does not agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from memory_service.conversations.echo import indexed_windows
from memory_service.core.errors import InvalidRequest, VectorIndexDown
from memory_service.core.models import (
    Collection,
    Conversation,
    Finding,
    NewTurn,
    StoredPassage,
    Summary,
    Turn,
    Vector,
    Verification,
)
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.items.conversation_items import SYSTEM_ROLES, ItemLimits, parse_item
from memory_service.text.chunking import Window, passage_text
from memory_service.text.terms import terms
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

VECTOR_TOLERANCE = 2e-3
"""Half floats keep three digits; two ways of adding up the same tokens differ by less."""
INDEX_TOLERANCE = 5e-3
"""The index makes vectors of unit length again; together with half floats that is more."""

_COMPARED_AT_ONCE = 1_000

_NO_LIMITS = ItemLimits(max_text_chars=2**31, max_nesting=1_000)


class Verifier:
    """Compares the log with itself, and the vector index with the log.

    Without an embedder (one that costs money, or is elsewhere) vectors are not derived again; that
    they are finite, of `dimension` numbers and of unit length is checked all the same.
    """

    def __init__(
        self,
        log: TurnLog,
        embedder: Embedder | None,
        index: VectorIndex | None,
        *,
        dimension: int,
        passage_words: int,
        passage_overlap_words: int,
    ) -> None:
        self._log = log
        self._embedder = embedder
        self._index = index
        self._dimension = dimension
        self._words = passage_words
        self._overlap = passage_overlap_words

    def run(self, on_conversation: Callable[[], None] = lambda: None) -> Verification:
        """Check every conversation of every project, then every collection."""
        checked: Counter[str] = Counter()
        findings: list[Finding] = []
        with self._log.read() as snapshot:
            findings += [
                Finding("database", "file", said) for said in snapshot.integrity_problems()
            ]
            for project_key in snapshot.projects.names():
                for conversation in snapshot.conversations.all(project_key):
                    turns = list(snapshot.turns.all(conversation.key))
                    passages = snapshot.passages.of_turns(turn.key for turn in turns)
                    checked.update(conversations=1, turns=len(turns), passages=len(passages))
                    findings += self._conversation(snapshot, conversation, turns, passages)
                    summaries = snapshot.summaries.all(conversation.key)
                    checked.update(summaries=len(summaries))
                    findings += self._summaries(conversation, turns, summaries)
                    on_conversation()
            findings += [
                Finding("queue", "index_queue", said) for said in snapshot.index_queue.problems()
            ]
            if self._index is not None:
                checked["collections"] = len(snapshot.collections.all())
                findings += self._collections(snapshot, self._index)
        return Verification(checked, findings)

    def _conversation(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        turns: Sequence[Turn],
        passages: Sequence[StoredPassage],
    ) -> Iterator[Finding]:
        yield from _tree(conversation, turns)
        by_key = {turn.key: turn for turn in turns}
        parsed: dict[int, NewTurn] = {}
        for turn in turns:
            yield from _derived(turn, parsed)
            yield from self._cut(turn, [one for one in passages if one.turn_key == turn.key])
        yield from _units(turns, parsed)
        texts = {
            passage.key: passage_text(
                by_key[passage.turn_key].speaker,
                by_key[passage.turn_key].text,
                Window(passage.start, passage.end),
            )
            for passage in passages
        }
        totals = len(passages), sum(passage.length for passage in passages)
        if totals != snapshot.passages.totals(conversation.key):
            yield Finding("passages", conversation.id, "the totals differ from the passages")
        stored_terms = snapshot.postings.term_counts(conversation.key)
        for passage in passages:
            derived = Counter(terms(texts[passage.key], conversation.language))
            if derived != stored_terms.pop(passage.key, {}) or derived.total() != passage.length:
                yield Finding("postings", by_key[passage.turn_key].id, "terms differ from the text")
        for key in stored_terms:
            yield Finding("postings", f"passage {key}", "terms of a passage that does not exist")
        yield from self._vectors(passages, texts, by_key)

    def _summaries(
        self,
        conversation: Conversation,
        turns: Sequence[Turn],
        summaries: Sequence[Summary],
    ) -> Iterator[Finding]:
        """Check that summaries lie on paths that exist, and have the vectors of their texts."""
        by_key = {turn.key: turn for turn in turns}
        for one in summaries:
            tip = by_key.get(one.tip_key)
            if tip is None or tip.seq != one.last_seq or one.first_seq > one.last_seq:
                yield Finding("summaries", one.id, "its range does not end in its last turn")
        live = [one for one in summaries if (tip := by_key.get(one.tip_key)) and tip.active]
        yield from _covered(conversation, turns, live)
        if self._embedder is None or not summaries:
            return
        derived = self._embedder.embed_documents([one.text for one in summaries])
        for one, vector in zip(summaries, derived, strict=True):
            # One that is not embedded yet is queued.
            if one.vector is not None and _differ(vector, one.vector):
                yield Finding("vectors", one.id, "vector differs from the text")

    def _cut(self, turn: Turn, passages: Sequence[StoredPassage]) -> Iterator[Finding]:
        expected = indexed_windows(
            turn.text, turn.metadata, words=self._words, overlap=self._overlap
        )
        stored = sorted(passages, key=lambda one: one.ordinal)
        if [(one.start, one.end) for one in stored] != [(one.start, one.end) for one in expected]:
            yield Finding("passages", turn.id, "passages differ from the text's windows")

    def _vectors(
        self,
        passages: Sequence[StoredPassage],
        texts: dict[int, str],
        turns: dict[int, Turn],
    ) -> Iterator[Finding]:
        for passage in passages:
            if passage.vector is not None and not self._is_usable(passage.vector):
                yield Finding("vectors", turns[passage.turn_key].id, "vector is not usable")
        if self._embedder is None or not passages:
            return
        derived = self._embedder.embed_documents([texts[passage.key] for passage in passages])
        for passage, vector in zip(passages, derived, strict=True):
            if _differ(vector, passage.vector):
                yield Finding("vectors", turns[passage.turn_key].id, "vector differs from the text")

    def _is_usable(self, vector: Vector) -> bool:
        length = float(np.linalg.norm(vector))
        return vector.shape == (self._dimension,) and abs(length - 1) < INDEX_TOLERANCE

    def _collections(self, snapshot: ReadTransaction, index: VectorIndex) -> Iterator[Finding]:
        dropped, known = snapshot.index_queue.drops(), snapshot.collections.all()
        for collection in known:
            if collection.key in dropped:
                continue
            name = f"collection {collection.key}"
            if collection.vectors != snapshot.collections.passage_count(collection.key):
                yield Finding("index", name, "its count of vectors differs from what is placed")
            if snapshot.placements.foreign_conversations(collection):
                yield Finding("index", name, "it holds conversations that do not belong there")
            try:
                yield from self._collection(snapshot, index, collection, name)
            except VectorIndexDown as error:
                yield Finding("index", name, f"cannot be read: {error.message}")
        try:
            unknown = index.collections() - {one.key for one in known} - dropped
        except VectorIndexDown as error:
            yield Finding("index", "folder", f"cannot be read: {error.message}")
        else:
            for key in sorted(unknown):
                yield Finding("index", f"collection {key}", "the log does not know it")

    def _collection(
        self, snapshot: ReadTransaction, index: VectorIndex, collection: Collection, name: str
    ) -> Iterator[Finding]:
        expected, stored = (
            snapshot.collections.expected_keys(collection.key),
            index.keys(collection.key),
        )
        # What is queued may be in the index already: the service can stop between the two.
        queued = snapshot.index_queue.deletions(collection.key) | snapshot.index_queue.upserts(
            collection.key
        )
        missing, extra = expected - stored, stored - expected - queued
        if missing:
            yield Finding("index", name, f"{len(missing)} vectors missing")
        if extra:
            yield Finding("index", name, f"{len(extra)} vectors too many")
        both = sorted(expected & stored)
        different = 0
        for start in range(0, len(both), _COMPARED_AT_ONCE):
            some = both[start : start + _COMPARED_AT_ONCE]
            held = index.vectors(collection.key, some)
            for key, passage in snapshot.passages.by_keys(some).items():
                vector = passage.vector
                if vector is not None and not _is_close(held[key], vector, INDEX_TOLERANCE):
                    different += 1
        if different:
            yield Finding("index", name, f"{different} vectors differ from the log")


def _is_close(one: Vector, other: Vector, tolerance: float) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, atol=tolerance))


def _units(turns: Sequence[Turn], parsed: Mapping[int, NewTurn]) -> Iterator[Finding]:
    """Check that a tool call and its results are in one unit."""
    callers: dict[str, set[int | None]] = {}
    for turn in turns:
        new = parsed.get(turn.key)
        if new is None:
            continue
        if new.calls and turn.tool_group_key is None:
            yield Finding("units", turn.id, "a tool call is in no unit")
        if new.answers in callers and turn.tool_group_key not in callers[new.answers]:
            yield Finding("units", turn.id, "a tool result is not in the unit of its call")
        for call in new.calls:
            callers.setdefault(call, set()).add(turn.tool_group_key)


def _differ(derived: Vector | None, stored: Vector | None) -> bool:
    if derived is None or stored is None:
        return derived is not stored
    return not _is_close(derived, stored, VECTOR_TOLERANCE)


def _covered(
    conversation: Conversation, turns: Sequence[Turn], live: Sequence[Summary]
) -> Iterator[Finding]:
    """Check that every turn below a summary of summaries is told of by one of turns."""
    told = {seq for one in live if one.level == 1 for seq in range(one.first_seq, one.last_seq + 1)}
    said = {turn.seq for turn in turns if turn.active and turn.role not in SYSTEM_ROLES}
    untold = said - told
    for one in live:
        if any(one.first_seq <= seq <= one.last_seq for seq in untold):
            yield Finding("summaries", conversation.id, f"{one.id} covers turns that nothing tells")


def _tree(conversation: Conversation, turns: Sequence[Turn]) -> Iterator[Finding]:
    by_key = {turn.key: turn for turn in turns}
    path: set[int] = set()
    key = conversation.head_key
    while key is not None and key in by_key and key not in path:
        path.add(key)
        key = by_key[key].parent_key
    if key is not None:
        yield Finding("tree", conversation.id, "the live path does not lead to the root")
    if {turn.key for turn in turns if turn.active} != path:
        yield Finding("tree", conversation.id, "live turns differ from the path of the head")
    if turns and turns[-1].seq >= conversation.next_seq:
        yield Finding("tree", conversation.id, "a seq would be given twice")


def _derived(turn: Turn, parsed: dict[int, NewTurn]) -> Iterator[Finding]:
    try:
        again = parse_item(json.loads(turn.raw), turn.raw, {"id": turn.id}, _NO_LIMITS, turn.id)
    except (ValueError, InvalidRequest) as error:
        yield Finding("turns", turn.id, f"its JSON cannot be read: {type(error).__name__}")
        return
    parsed[turn.key] = again
    if (again.text, again.role, again.kind) != (turn.text, turn.role, turn.kind):
        yield Finding("turns", turn.id, "text, role or kind differ from its JSON")
    if again.content_hash != turn.content_hash:
        yield Finding("turns", turn.id, "the content hash differs from its JSON")
