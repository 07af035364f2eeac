"""The client's history: the messages of a request, as the client sent them.

A prompt has these messages for the turns that they are stored as. The other turns are what the
client left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memory_service.core.models import Turn
from memory_service.items.chat_messages import ClientMessage, Message
from memory_service.items.conversation_items import SYSTEM_ROLES


@dataclass(frozen=True, slots=True)
class ClientHistory:
    """The messages of a request, without those of the system, oldest first.

    From `first_stored` on they are stored, one after the other; between them, the client may have
    left out turns of tool calls and items that are no messages. `digest` hashes the content of a
    message.
    """

    messages: Sequence[Message]
    first_stored: int
    digest: Callable[[Message], bytes]

    def of_turns(self, turns: Sequence[Turn]) -> Mapping[int, ClientMessage]:
        """Return the messages by the keys of their turns; `turns` end with the last message."""
        sent: dict[int, ClientMessage] = {}
        position = len(self.messages) - 1
        for turn in reversed(turns):
            if position < self.first_stored:
                break
            message = self.messages[position]
            if _may_be_left_out(turn):
                is_sent = self._turn_digest(turn) == self.digest(message)
            elif turn.role == message["role"]:
                is_sent = True
            else:
                break
            if is_sent:
                sent[turn.key] = ClientMessage(position, message)
                position -= 1
        return sent

    def preamble(self, turns: Sequence[Turn]) -> Sequence[Message]:
        """Return the messages before the stored ones, such as a summary that the client wrote.

        There are none if one of these turns equals one of them: the history then has a gap.
        """
        messages = self.messages[: self.first_stored]
        if not messages:
            return ()
        stored = {self._turn_digest(turn) for turn in turns}
        return () if any(self.digest(message) in stored for message in messages) else messages

    def _turn_digest(self, turn: Turn) -> bytes:
        return self.digest(json.loads(turn.raw))


def _may_be_left_out(turn: Turn) -> bool:
    return turn.tool_group_key is not None or turn.kind != "message" or turn.role in SYSTEM_ROLES
