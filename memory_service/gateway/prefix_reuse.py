"""How much of a prompt begins the conversation's previous one too: what a cache can reuse."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

from memory_service.items.chat_messages import Message
from memory_service.items.strict_json import dumps
from memory_service.tokens.counting import TokenCounter, count_message

MAX_IN_MEMORY = 10_000
_DIGEST_BYTES = 8


class Prefixes:
    """The messages of each conversation's last prompt, as hashes; in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: OrderedDict[int, Sequence[bytes]] = OrderedDict()

    def shared_tokens(
        self, conversation_key: int, messages: Sequence[Message], counter: TokenCounter
    ) -> int:
        """Return the tokens of the messages that began the last prompt too; remember these."""
        digests = [
            hashlib.blake2b(
                dumps(one).encode("utf-8", "replace"), digest_size=_DIGEST_BYTES
            ).digest()
            for one in messages
        ]
        with self._lock:
            before = self._last.get(conversation_key, ())
            self._last[conversation_key] = digests
            self._last.move_to_end(conversation_key)
            while len(self._last) > MAX_IN_MEMORY:
                self._last.popitem(last=False)
        shared = 0
        for message, digest, last in zip(messages, digests, before, strict=False):
            if digest != last:
                break
            shared += count_message(message, counter)
        return shared
