"""Input turns: the turns that the model is asked to answer, oldest first.

They are one user message, or all results of one message with tool calls. An answer is stored below
the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_service.conversations.echo import with_echoes_marked
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.gateway.locating import LocatedRequest
from memory_service.gateway.pending import PendingRequest
from memory_service.gateway.request import ChatRequest
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.turn_log.log import TurnLog

_MAX_RESULTS = 256
"""The most consecutive tool results that are one input."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request whose new messages are stored; its answer will be stored too.

    `asked_keys` are the turns that it added, after tool calls together with their question. It is
    `pending` while it waits for its answer. `open_keys` are as in its alignment.
    """

    chat: ChatRequest
    project_key: int
    conversation: Conversation
    input_turns: Sequence[Turn]
    asked_keys: Sequence[int] = ()
    pending: PendingRequest | None = None
    open_keys: frozenset[int] = frozenset()

    @property
    def hidden(self) -> frozenset[int]:
        """The turns that its prompt must not have: those of parallel requests."""
        others = frozenset() if self.pending is None else self.pending.others()
        return self.open_keys | others


@dataclass(frozen=True, slots=True)
class ReadOnlyRequest:
    """A request in a stored conversation that stores nothing, neither messages nor the answer.

    Its prompt does not have the `hidden` turns, whose answers others wait for.
    """

    chat: ChatRequest
    project_key: int
    conversation: Conversation
    input_turns: Sequence[Turn]
    hidden: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class UnstoredConversationRequest:
    """A request that stores nothing, in a conversation that is not stored.

    The user's other conversations are recalled. `earlier_turns` are the history before the input.
    """

    chat: ChatRequest
    project_key: int
    conversation: Conversation
    input_turns: Sequence[Turn]
    earlier_turns: Sequence[Turn]


AnswerableRequest = StoredRequest | ReadOnlyRequest | UnstoredConversationRequest
"""A request that a prompt can be built for."""


def stop_waiting(request: AnswerableRequest | None) -> None:
    """Stop waiting for the answer to a request: it is stored, or will never come."""
    if isinstance(request, StoredRequest) and request.pending is not None:
        request.pending.end()


def new_turns(located: LocatedRequest, limits: ItemLimits) -> list[NewTurn]:
    """Return the turns of the new messages; raises InvalidRequest that names the invalid one."""
    turns = []
    for entry in located.new_messages:
        param = f"{located.chat.messages_field}.{entry.position}"
        raw = located.chat.storable_json(entry)
        turn = parse_item(entry.message, raw, {}, limits, param)
        turns.append(replace(with_echoes_marked(turn, (), param), from_request=True))
    return turns


def aligned_turn(log: TurnLog, located: LocatedRequest) -> Turn:
    """Return the stored turn that the history continues; raises NotFound if it was deleted."""
    key = located.alignment.parent_key
    with log.read() as snapshot:
        turns = {} if key is None else snapshot.turns.by_keys(located.project_key, [key])
    if key is None or key not in turns:
        raise NotFound("The turn that this request continues was deleted.")
    return turns[key]


def input_ending_with(log: TurnLog, turn: Turn) -> Sequence[Turn]:
    """Return the input that ends with a stored turn: a tool result with those before it.

    The turns have their media.
    """
    with log.read() as snapshot:
        earlier = snapshot.turns.before(turn, _MAX_RESULTS) if turn.role == "tool" else ()
        return snapshot.media.with_media([*trailing_results(earlier), turn])


def trailing_results(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Return the tool results at the end of consecutive turns."""
    begin = len(turns)
    while begin and turns[begin - 1].role == "tool":
        begin -= 1
    return turns[begin:]
