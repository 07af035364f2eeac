"""Store responses: their output as turns, and the rest as a record that refers to these turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from memory_service.conversations.echo import with_echoes_marked
from memory_service.conversations.writer import ConversationWriter
from memory_service.core import clock
from memory_service.core.errors import Conflict
from memory_service.core.models import NewTurn, Turn
from memory_service.gateway.input_turns import StoredRequest
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.deltas import storable
from memory_service.items.fields import new_id
from memory_service.items.strict_json import dumps, escaped_surrogates
from memory_service.responses.objects import Item
from memory_service.responses.request import ResponseRequest
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.responses import StoredResponse


@dataclass(frozen=True, slots=True)
class FinishedResponse:
    """A response that has ended: its JSON, its output, and the recalled texts of its prompt.

    `is_kept` is whether the response itself is stored, or only the turns of its conversation.
    """

    response: Mapping[str, Any]
    output: Sequence[Item]
    recalled: Sequence[str]
    is_kept: bool


class ResponseStorer:
    """Stores responses."""

    def __init__(self, log: TurnLog, writer: ConversationWriter, limits: ItemLimits) -> None:
        self._log = log
        self._writer = writer
        self._limits = limits

    def store(
        self, stored: StoredRequest, request: ResponseRequest, finished: FinishedResponse
    ) -> None:
        """Store a response below its input.

        Raises NotFound if the conversation or the input was deleted, InvalidRequest for an output
        that the log cannot hold.
        """
        output = self._append(stored, finished)
        if finished.is_kept:
            record = self._record(stored, request, finished, output)
            with self._log.write() as transaction:
                transaction.responses.add(stored.project_key, record, clock.now())

    def _record(
        self,
        stored: StoredRequest,
        request: ResponseRequest,
        finished: FinishedResponse,
        output: Sequence[Turn],
    ) -> StoredResponse:
        """Return the record of a response with the keys of its input and output."""
        tip = stored.input_turns[-1]
        with self._log.read() as snapshot:
            # It has moved if parallel requests were stored behind it.
            tip = snapshot.turns.by_keys(stored.project_key, [tip.key]).get(tip.key, tip)
            before = snapshot.turns.before(tip, len(request.history) - 1)
        detail = {
            "response": {k: v for k, v in finished.response.items() if k != "output"},
            "system": _unstored_system(request),
            "is_unnamed": request.is_unnamed,
        }
        return StoredResponse(
            id=finished.response["id"],
            conversation_key=stored.conversation.key,
            conversation_id=stored.conversation.id,
            tip_key=(output[-1] if output else tip).key,
            input_keys=[turn.key for turn in (*before, tip)],
            output_keys=[turn.key for turn in output],
            detail=detail,
        )

    def _append(self, stored: StoredRequest, finished: FinishedResponse) -> Sequence[Turn]:
        """Store the output as turns, under ids of this service if those of the upstream are taken.

        Some servers number their items anew in each response.
        """
        if not finished.output:
            return ()
        turns = self._turns(finished)
        place = (stored.project_key, stored.conversation.id, stored.input_turns[-1].id)
        append = partial(self._writer.append_answer_items, *place, asked_keys=stored.asked_keys)
        try:
            return append(turns).turns
        except Conflict:
            renewed = [{k: v for k, v in item.items() if k != "id"} for item in finished.output]
            turns = self._turns(finished, renewed)
            return append(turns).turns

    def _turns(
        self, finished: FinishedResponse, output: Sequence[Item] | None = None
    ) -> list[NewTurn]:
        items = finished.output if output is None else output
        return [self._turn(item, finished.recalled) for item in items]

    def _turn(self, item: Item, recalled: Sequence[str]) -> NewTurn:
        stored = _storable_value(item)
        turn = parse_item(stored, escaped_surrogates(dumps(stored)), {}, self._limits, "output")
        return with_echoes_marked(turn, recalled, "output")


def _storable_value(value: Any) -> Any:
    """Return a value whose texts the log can hold."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(name): _storable_value(inner) for name, inner in value.items()}
    return [_storable_value(inner) for inner in value] if isinstance(value, list) else value


def _unstored_system(request: ResponseRequest) -> list[Item]:
    """Return the system items that a later request continues with and that are no turns."""
    if request.point is not None:
        return list(request.unstored_system)
    return [
        {"type": "message", "status": "completed", **item, "id": new_id("msg")}
        for item in request.system_items
    ]
