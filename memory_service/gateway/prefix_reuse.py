"""Measure how much of a prompt the upstream's prefix cache can reuse.

A provider caches the beginning of a prompt. It can reuse the first messages that are the same as in
the previous prompt of the conversation.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import takewhile

from cachetools import LRUCache

from memory_service.items.chat_messages import Message
from memory_service.items.strict_json import dumps
from memory_service.tokens.counting import TokenCounter, count_message

_MAX_CONVERSATIONS = 10_000
_HASH_BYTES = 8


class PromptPrefixes:
    """The last prompt of each conversation, as hashes of its messages, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: LRUCache[int, Sequence[bytes]] = LRUCache(_MAX_CONVERSATIONS)

    def shared_tokens(
        self, conversation_key: int, messages: Sequence[Message], counter: TokenCounter
    ) -> int:
        """Return the tokens that a prompt shares with the previous one; remember this one."""
        digests = [_digest(message) for message in messages]
        with self._lock:
            previous = self._last.get(conversation_key, ())
            self._last[conversation_key] = digests
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(digests, previous, strict=False))
        count = sum(1 for _ in shared)
        return sum(count_message(message, counter) for message in messages[:count])


def _digest(message: Message) -> bytes:
    content = dumps(message).encode("utf-8", "replace")
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()
