"""The values that a ConversationWriter takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memory_service.core.models import Conversation, Metadata, Turn


@dataclass(frozen=True, slots=True)
class NewConversation:
    """The properties of a conversation to create.

    None lets the service choose: a new `id`, no `user`, no `title`, the current time for
    `created_at` (microseconds since 1970), and the settings for `summaries`.
    """

    id: str | None
    user: str | None
    title: str | None
    metadata: Metadata
    created_at: int | None = None
    summaries: bool | None = None


class Below(Enum):
    """Where to append if not below a named item: below the head, or as a new root."""

    HEAD = "head"
    ROOT = "root"


class Switch(Enum):
    """A choice between on, off and the value of the settings."""

    ON = True
    OFF = False
    AS_SET = None


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """The properties of a conversation to replace; None leaves a property as it is.

    `head_id` is the item whose branch becomes active.
    """

    metadata: Metadata | None = None
    title: str | None = None
    head_id: str | None = None
    summaries: Switch | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The conversation after a request, the request's turns, and how many of them are new."""

    conversation: Conversation
    turns: Sequence[Turn] = ()
    new_count: int = 0
