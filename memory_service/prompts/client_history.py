"""The client's history: the messages of a request, as the client sent them.

A prompt has these messages for the turns that they are stored as. The other turns are what the
client left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

from memory_service.core.models import Turn
from memory_service.items.chat_messages import ClientMessage, Message
from memory_service.items.conversation_items import SYSTEM_ROLES

_MESSAGES_PER_TURN = 2
"""So many messages are compared with each turn of a window: some have no turn."""


@dataclass(frozen=True, slots=True)
class ClientHistory:
    """The messages of a request, without those of the system, oldest first.

    `digest` hashes the content of a message: it is equal for a message and its turn.
    """

    messages: Sequence[Message]
    digest: Callable[[Message], bytes]

    def of_turns(self, turns: Sequence[Turn]) -> Mapping[int, ClientMessage]:
        """Return the messages by the keys of their turns; `turns` end with the last message.

        Between two messages there may be turns that the client has not sent. A message that differs
        from its turn is found between two that do not: clients shorten old tool results.
        """
        first = max(0, len(self.messages) - _MESSAGES_PER_TURN * len(turns))
        sent = [
            ClientMessage(position, message)
            for position, message in enumerate(self.messages[first:], start=first)
        ]
        turn_digests = [self._digest_of_turn(turn) for turn in turns]
        digests = [self.digest(entry.message) for entry in sent]
        pairs: list[tuple[Turn, ClientMessage]] = []
        for tag, begin, end, first_sent, last_sent in _opcodes(turn_digests, digests):
            if tag == "equal":
                pairs += zip(turns[begin:end], sent[first_sent:last_sent], strict=True)
            elif tag == "replace" and pairs and end < len(turns):
                pairs += _changed(turns[begin:end], sent[first_sent:last_sent])
        return {turn.key: entry for turn, entry in pairs}

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


def _opcodes(
    stored: Sequence[bytes], sent: Sequence[bytes]
) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield the opcodes of `difflib` from stored to sent messages, aligned at the end.

    Both end with the newest message. It may repeat an older one ("yes"), which the client left out.
    """
    pairs = zip(reversed(stored), reversed(sent), strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    stored_end, sent_end = len(stored) - common, len(sent) - common
    # Of several places, a matcher takes the first: here it reads backwards.
    before = stored[:stored_end][::-1], sent[:sent_end][::-1]
    for tag, *places in reversed(SequenceMatcher(None, *before, autojunk=False).get_opcodes()):
        begin, end, first_sent, last_sent = places
        yield tag, stored_end - end, stored_end - begin, sent_end - last_sent, sent_end - first_sent
    if common:
        yield "equal", stored_end, len(stored), sent_end, len(sent)


def _changed(
    turns: Sequence[Turn], sent: Sequence[ClientMessage]
) -> list[tuple[Turn, ClientMessage]]:
    """Return turns with the messages that stand in their place; none if that is uncertain."""
    slots = [(turn.role, json.loads(turn.raw).get("tool_call_id")) for turn in turns]
    changed = [(entry.message["role"], entry.message.get("tool_call_id")) for entry in sent]
    return list(zip(turns, sent, strict=True)) if slots == changed else []


def _may_be_left_out(turn: Turn) -> bool:
    """Return whether clients leave such turns out of a history that they send as a whole."""
    return turn.tool_group_key is not None or turn.kind != "message" or turn.role in SYSTEM_ROLES
