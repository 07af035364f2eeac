"""Traces: records of how a prompt was built or a search was answered.

A trace holds keys, scores, reasons and times. Texts and ids are joined when it is read, so that
deleted turns are gone from old traces too. Traces are bounded in number and age.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from cachetools import FIFOCache

from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import (
    MICROSECONDS,
    Conversation,
    DropReason,
    Prompt,
    Recall,
    StoredTrace,
    Turn,
)
from memory_service.items.fields import new_id
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog

_DAY = 24 * 3600 * MICROSECONDS
_IN_MEMORY = 1_000
_PRUNE_EVERY = 100
_JOINED_FIELDS = frozenset({"candidates", "conversation", "recalled"})
"""Fields of a stored trace that hold keys; callers get ids and texts instead."""


class _OwnedTrace(NamedTuple):
    project_key: int
    trace: StoredTrace


class Traces:
    """Keeps traces, and returns them with the texts of their turns.

    `keep` is the number of traces that a project keeps, `keep_days` their greatest age.
    """

    def __init__(
        self, log: TurnLog, deferred_writer: DeferredWriter, *, keep: int, keep_days: float
    ) -> None:
        self._log = log
        self._deferred_writer = deferred_writer
        self._keep = keep
        self._keep_for = round(keep_days * _DAY)
        self._lock = threading.Lock()
        self._added = itertools.count()
        # Traces that are not written yet can be read too.
        self._newest: FIFOCache[str, _OwnedTrace] = FIFOCache(_IN_MEMORY)

    def add_search(self, project_key: int, recall: Recall) -> str:
        """Store the trace of a search; return its id."""
        trace_id = new_id("trace")
        self._add(project_key, trace_id, {"kind": "search", **_recall_detail(recall, {})})
        return trace_id

    def add_prompt(
        self,
        project_key: int,
        conversation_key: int,
        prompt: Prompt,
        recall: Recall,
        *,
        reused: bool,
    ) -> None:
        """Store the trace of a prompt, under the prompt's `trace_id`."""
        detail = {
            "kind": "prompt",
            "conversation": conversation_key,
            "block_reused": reused,
            "tokens": asdict(prompt.tokens),
            "recent": [prompt.recent_first_seq, prompt.recent_last_seq],
            "recalled": [hit.turn.key for hit in prompt.recalled],
            **_recall_detail(recall, _drop_reasons(prompt, recall)),
        }
        self._add(project_key, prompt.trace_id, detail)

    def get(self, project_key: int, trace_id: str, *, user: str | None = None) -> dict[str, Any]:
        """Return a trace with the texts that its turns have now; raises NotFound.

        With a `user` only traces are found that are about this user's conversations alone.
        """
        newest = self._in_memory(project_key, trace_id)
        with self._log.read() as snapshot:
            trace = newest or snapshot.traces.get(project_key, trace_id)
            if trace is None:
                raise NotFound(f"No trace {trace_id!r}.", param="trace_id")
            candidates = trace.detail["candidates"]
            turns = snapshot.turns.by_keys(
                project_key, [candidate["turn"] for candidate in candidates]
            )
            keys = {turn.conversation_key for turn in turns.values()}
            if "conversation" in trace.detail:
                keys.add(trace.detail["conversation"])
            conversations = snapshot.conversations.by_keys(project_key, keys)
        if user is not None and {
            conversations[key].user if key in conversations else None for key in keys
        } - {user}:
            raise NotFound(f"No trace {trace_id!r}.", param="trace_id")
        return _shown(trace, turns, conversations)

    def _in_memory(self, project_key: int, trace_id: str) -> StoredTrace | None:
        with self._lock:
            owned = self._newest.get(trace_id)
        return owned.trace if owned is not None and owned.project_key == project_key else None

    def _add(self, project_key: int, trace_id: str, detail: Mapping[str, Any]) -> None:
        now = clock.now()
        with self._lock:
            trace = StoredTrace(trace_id, now, detail)
            self._newest[trace_id] = _OwnedTrace(project_key, trace)
        self._deferred_writer.submit(
            lambda transaction: transaction.traces.add(project_key, trace_id, now, detail)
        )
        # Pruning reads all rows that are kept, so it is not done each time.
        if next(self._added) % _PRUNE_EVERY == 0:
            delete_before = now - self._keep_for
            self._deferred_writer.submit(
                lambda transaction: transaction.traces.prune(
                    project_key, keep=self._keep, delete_before=delete_before
                )
            )


def _drop_reasons(prompt: Prompt, recall: Recall) -> dict[int, DropReason]:
    """Return why the prompt dropped hits of the recall, by turn."""
    reasons = {dropped.item_id: dropped.reason for dropped in prompt.dropped}
    return {hit.turn.key: reasons[hit.turn.id] for hit in recall.hits if hit.turn.id in reasons}


def _recall_detail(recall: Recall, drop_reasons: Mapping[int, DropReason]) -> dict[str, Any]:
    """Return a recall in keys and numbers; `drop_reasons` replace the outcome "recalled"."""
    return {
        "stages_ms": dict(recall.stages_ms),
        "degraded": recall.degraded,
        "candidates": [
            {
                "turn": candidate.turn_key,
                "score": round(candidate.score, 4),
                "channels": {name: round(score, 4) for name, score in candidate.features.items()},
                "outcome": drop_reasons.get(candidate.turn_key, candidate.outcome),
            }
            for candidate in recall.considered
        ],
    }


def _shown(
    trace: StoredTrace, turns: Mapping[int, Turn], conversations: Mapping[int, Conversation]
) -> dict[str, Any]:
    """Return a trace as callers see it, without candidates whose turns were deleted."""
    recalled = frozenset(trace.detail.get("recalled", ()))
    candidates: Sequence[Mapping[str, Any]] = trace.detail["candidates"]
    return {
        "id": trace.id,
        "object": "trace",
        "created_at": trace.created_at,
        **{name: value for name, value in trace.detail.items() if name not in _JOINED_FIELDS},
        "candidates": [
            {
                "item_id": turn.id,
                "conversation_id": conversations[turn.conversation_key].id,
                "seq": turn.seq,
                "text": turn.text,
                "score": candidate["score"],
                "channels": candidate["channels"],
                "outcome": "recalled" if turn.key in recalled else candidate["outcome"],
            }
            for candidate in candidates
            if (turn := turns.get(candidate["turn"])) is not None
        ],
    }
