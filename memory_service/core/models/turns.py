"""Turns, as they are appended and as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.core.models.values import Metadata


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A checked item that is to be appended; `raw` is its JSON exactly as it was sent.

    `message_hash` identifies it in the histories that clients send again. An item is `from_request`
    if it came among the messages of a chat completion: the client may have written it, whatever
    its role.
    """

    id: str
    kind: str
    role: str
    name: str | None
    text: str
    raw: str
    metadata: Metadata | None
    created_at: int | None
    utc_offset_minutes: int | None
    content_hash: bytes
    message_hash: bytes
    calls: tuple[str, ...] = ()
    answers: str | None = None
    id_given: bool = False
    from_request: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message or item of a conversation, as stored."""

    key: int
    id: str
    conversation_key: int
    seq: int
    parent_key: int | None
    tool_group_key: int | None
    active: bool
    gap_before: bool
    kind: str
    role: str
    name: str | None
    text: str
    raw: str
    metadata: Metadata | None
    created_at: int
    utc_offset_minutes: int | None
    stored_at: int
    content_hash: bytes

    @property
    def speaker(self) -> str:
        """The speaker: the given name, else the role."""
        return self.name or self.role
