"""The client's history: the messages of a request, as the client sent them.

A prompt has these messages for the turns that they are stored as. The other turns are what the
client left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from memory_service.core.models import Turn
from memory_service.items.chat_messages import ClientMessage, Message
from memory_service.items.conversation_items import SYSTEM_ROLES


@dataclass(frozen=True, slots=True)
class ClientHistory:
    """The messages of a request, without those of the system, oldest first.

    `digest` hashes the content of a message: it is equal for a message and its turn.
    """

    messages: Sequence[Message]
    digest: Callable[[Message], bytes]

    def of_turns(self, turns: Sequence[Turn]) -> Mapping[int, ClientMessage]:
        """Return the messages by the keys of their turns; `turns` end with the last message.

        Between two messages there may be turns that the client has not sent.
        """
        sent: dict[int, ClientMessage] = {}
        digests = [self.digest(message) for message in self.messages]
        for turn in reversed(turns):
            if not digests:
                break
            if digests[-1] == self._digest_of_turn(turn):
                digests.pop()
                sent[turn.key] = ClientMessage(len(digests), self.messages[len(digests)])
        return sent

    def preamble(
        self, turns: Sequence[Turn], sent: Mapping[int, ClientMessage]
    ) -> Sequence[Message]:
        """Return the messages that the client sent before turns of which it left out the beginning.

        They are a summary that the client wrote, or the messages with which it begins each session.
        `sent` are the messages of the turns. There is no preamble if the turns begin with messages
        of the client, or if one of the turns equals a message before them: then the client has
        changed a message in the middle.
        """
        first = min((message.position for message in sent.values()), default=len(self.messages))
        left_out = takewhile(lambda turn: turn.key not in sent, turns)
        if first == 0 or all(map(_may_be_left_out, left_out)):
            return ()
        stored = set(map(self._digest_of_turn, turns))
        preamble = self.messages[:first]
        return () if any(self.digest(message) in stored for message in preamble) else preamble

    def _digest_of_turn(self, turn: Turn) -> bytes:
        return self.digest(json.loads(turn.raw))


def _may_be_left_out(turn: Turn) -> bool:
    """Return whether clients leave such turns out of a history that they send as a whole."""
    return turn.tool_group_key is not None or turn.kind != "message" or turn.role in SYSTEM_ROLES
