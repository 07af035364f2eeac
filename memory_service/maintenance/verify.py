"""Verification: derived data is derived again from the log and compared; so is the vector index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from memory_service.core.models import Conversation, Finding, Verification
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.maintenance.index_checks import check_collections
from memory_service.maintenance.media_checks import check_media
from memory_service.maintenance.passage_checks import PassageChecks
from memory_service.maintenance.summary_checks import check_summaries
from memory_service.maintenance.turn_checks import (
    check_history_index,
    check_tool_groups,
    check_tree,
    check_turn,
    parse_stored,
)
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction


class Verifier:
    """Compares the log with itself, and the vector index with the log.

    Without an embedder (one that costs money or needs a network) vectors are not derived again;
    they are still checked to be finite, of `dimension` numbers and of unit length.
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
        self._passages = PassageChecks(
            embedder, dimension, words=passage_words, overlap=passage_overlap_words
        )

    def run(self, on_conversation: Callable[[], None] = lambda: None) -> Verification:
        """Check every conversation of every project, then every collection."""
        checked: Counter[str] = Counter()
        findings: list[Finding] = []
        with self._log.read() as snapshot:
            findings += [
                Finding("database", "file", problem) for problem in snapshot.integrity_problems()
            ]
            for project_key in snapshot.projects.names():
                for conversation in snapshot.conversations.all(project_key):
                    findings += self._conversation(snapshot, conversation, checked)
                    on_conversation()
            findings += check_media(snapshot, checked)
            findings += [
                Finding("queue", "index_queue", problem)
                for problem in snapshot.index_queue.problems()
            ]
            if self._index is not None:
                checked["collections"] = len(snapshot.collections.all())
                findings += check_collections(snapshot, self._index)
        return Verification(checked, findings)

    def _conversation(
        self, snapshot: ReadTransaction, conversation: Conversation, checked: Counter[str]
    ) -> Iterator[Finding]:
        """Check a conversation, and count what is checked."""
        turns = snapshot.media.with_media(list(snapshot.turns.all(conversation.key)))
        passages = snapshot.passages.of_turns(turn.key for turn in turns)
        summaries = snapshot.summaries.all(conversation.key)
        checked.update(
            conversations=1, turns=len(turns), passages=len(passages), summaries=len(summaries)
        )
        parsed = parse_stored(turns)
        yield from check_tree(conversation, turns)
        for turn in turns:
            yield from check_turn(turn, parsed[turn.key])
        hashes = snapshot.history_index.hashes(turn.key for turn in turns)
        yield from check_history_index(turns, parsed, hashes)
        yield from check_tool_groups(turns, parsed)
        yield from self._passages.check(snapshot, conversation, turns, passages)
        yield from check_summaries(conversation, turns, summaries, self._embedder)
