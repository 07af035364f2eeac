"""Chat completions that callers have asked to store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.models.values import Metadata


@dataclass(frozen=True, slots=True)
class StoredCompletion:
    """A stored chat completion, and the messages of its request without their media."""

    key: int
    id: str
    metadata: Metadata
    completion: Mapping[str, Any]
    messages: Sequence[Any]
    conversation_key: int | None
