"""Traces: how a prompt or a search came about, to be asked for afterwards.

Keys, scores, reasons and times are kept, bounded in number and age. What was said is joined when a
trace is read, so a forgotten turn is gone from old traces as well.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import MICROSECONDS, DropReason, Prompt, Recall, StoredTrace
from memory_service.items.conversation_items import new_id
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog

_DAY = 24 * 3600 * MICROSECONDS
_IN_MEMORY = 1_000
_PRUNE_EVERY = 100


class Traces:
    """Keeps and returns traces."""

    def __init__(self, log: TurnLog, later: DeferredWriter, *, keep: int, keep_days: float) -> None:
        self._log = log
        self._later = later
        self._keep = keep
        self._keep_for = round(keep_days * _DAY)
        self._lock = threading.Lock()
        self._added = itertools.count()
        # What is not written yet can be read all the same.
        self._fresh: OrderedDict[str, tuple[int, StoredTrace]] = OrderedDict()

    def add_search(self, project_key: int, recall: Recall) -> str:
        """Keep how a search came about; return the trace's id."""
        return self._add(project_key, new_id("trace"), {"kind": "search", **_recalled(recall, {})})

    def add_prompt(
        self,
        project_key: int,
        conversation_key: int,
        prompt: Prompt,
        recall: Recall,
        *,
        reused: bool,
    ) -> None:
        """Keep how a prompt came about, under the id that the prompt has."""
        reasons = {drop.item_id: drop.reason for drop in prompt.dropped}
        dropped = {
            hit.turn.key: reasons[hit.turn.id] for hit in recall.hits if hit.turn.id in reasons
        }
        detail = {
            "kind": "prompt",
            "conversation": conversation_key,
            "block_reused": reused,
            "tokens": asdict(prompt.tokens),
            "recent": [prompt.recent_first_seq, prompt.recent_last_seq],
            "recalled": [hit.turn.key for hit in prompt.recalled],
            **_recalled(recall, dropped),
        }
        self._add(project_key, prompt.trace_id, detail)

    def get(self, project_key: int, trace_id: str) -> dict[str, Any]:
        """Return a trace with what its turns say today; raises NotFound."""
        with self._lock:
            owner, fresh = self._fresh.get(trace_id, (None, None))
        with self._log.read() as snapshot:
            found = fresh if owner == project_key else snapshot.traces.get(project_key, trace_id)
            if found is None:
                raise NotFound(f"No trace {trace_id!r}.", param="trace_id")
            candidates = found.detail["candidates"]
            turns = snapshot.turns.by_keys(project_key, [one["turn"] for one in candidates])
            conversations = snapshot.conversations.by_keys(
                project_key, {turn.conversation_key for turn in turns.values()}
            )
        shown = {
            key: value
            for key, value in found.detail.items()
            if key not in ("candidates", "conversation", "recalled")
        }
        recalled = set(found.detail.get("recalled", ()))
        shown["candidates"] = [
            {
                "item_id": turn.id,
                "conversation_id": conversations[turn.conversation_key].id,
                "seq": turn.seq,
                "text": turn.text,
                "score": one["score"],
                "channels": one["channels"],
                "outcome": "recalled" if turn.key in recalled else one["outcome"],
            }
            for one in candidates
            if (turn := turns.get(one["turn"])) is not None
        ]
        return {"id": trace_id, "object": "trace", "created_at": found.created_at, **shown}

    def _add(self, project_key: int, trace_id: str, detail: Mapping[str, Any]) -> str:
        now = clock.now()
        with self._lock:
            self._fresh[trace_id] = project_key, StoredTrace(trace_id, now, detail)
            while len(self._fresh) > _IN_MEMORY:
                self._fresh.popitem(last=False)
        self._later.submit(
            lambda transaction: transaction.traces.add(project_key, trace_id, now, detail)
        )
        # Looking for what is too many reads as many rows as are kept, so not each time.
        if next(self._added) % _PRUNE_EVERY == 0:
            forget_before = now - self._keep_for
            self._later.submit(
                lambda transaction: transaction.traces.prune(
                    project_key, keep=self._keep, forget_before=forget_before
                )
            )
        return trace_id


def _recalled(recall: Recall, dropped: Mapping[int, DropReason]) -> dict[str, Any]:
    """Return what a recall found; what it brought back can still have been dropped by a prompt."""
    return {
        "stages_ms": dict(recall.stages_ms),
        "degraded": recall.degraded,
        "candidates": [
            {
                "turn": one.turn_key,
                "score": round(one.score, 4),
                "channels": {name: round(score, 4) for name, score in one.features.items()},
                "outcome": dropped.get(one.turn_key, one.outcome),
            }
            for one in recall.considered
        ],
    }
