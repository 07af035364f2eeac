"""Read stored responses, their events and their input items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.errors import NotFound
from memory_service.core.models import Turn
from memory_service.responses.objects import Item
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.responses import StoredResponse
from memory_service.turn_log.transactions import ReadTransaction


@dataclass(frozen=True, slots=True)
class ResponseInput:
    """The input of a response: the system items that are not stored as turns, and the turns."""

    system: Sequence[Item]
    turns: Sequence[Turn]


class ResponseArchive:
    """Reads stored responses."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log

    def response(self, project_key: int, response_id: str) -> Mapping[str, Any]:
        """Return a response with its output; raises NotFound."""
        with self._log.read() as snapshot:
            stored = _find(snapshot, project_key, response_id)
            turns = _turns(snapshot, project_key, stored.output_keys)
        output = [{**json.loads(turn.raw), "id": turn.id} for turn in turns]
        return {**stored.detail["response"], "output": output}

    def input(self, project_key: int, response_id: str) -> ResponseInput:
        """Return the input of a response; raises NotFound."""
        with self._log.read() as snapshot:
            stored = _find(snapshot, project_key, response_id)
            turns = _turns(snapshot, project_key, stored.input_keys)
        return ResponseInput(stored.detail["system"], turns)


def _find(snapshot: ReadTransaction, project_key: int, response_id: str) -> StoredResponse:
    stored = snapshot.responses.get(project_key, response_id)
    if stored is None:
        raise NotFound(f"Response with id {response_id!r} not found.", param="response_id")
    return stored


def _turns(snapshot: ReadTransaction, project_key: int, keys: Sequence[int]) -> list[Turn]:
    """Return the turns of the keys in their order; deleted ones are missing."""
    turns = snapshot.turns.by_keys(project_key, keys)
    return snapshot.media.with_media([turns[key] for key in keys if key in turns])
