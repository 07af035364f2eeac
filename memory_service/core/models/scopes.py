"""Scopes: the conversations that a recall searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from memory_service.core.models.conversations import Conversation


@dataclass(frozen=True, slots=True)
class ScopeMember:
    """A conversation of a scope: its language, and the numbers of its passages and their terms.

    Data that was read earlier is valid while `erasures` (for passages) or `path_changes` (for the
    active branch) is the same. The conversation has then only grown, up to `next_seq`.
    """

    language: str | None
    passages: int
    terms: int
    erasures: int
    path_changes: int
    next_seq: int

    @classmethod
    def of(cls, conversation: Conversation) -> Self:
        """Return a conversation as a member of a scope."""
        return cls(
            language=conversation.language,
            passages=conversation.passages,
            terms=conversation.terms,
            erasures=conversation.erasures,
            path_changes=conversation.path_changes,
            next_seq=conversation.next_seq,
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a recall searches: conversations of one project, by key."""

    project_key: int
    members: Mapping[int, ScopeMember]

    @property
    def conversation_keys(self) -> tuple[int, ...]:
        """The keys of its conversations."""
        return tuple(self.members)

    @property
    def languages(self) -> tuple[str | None, ...]:
        """The distinct languages of its conversations, in a fixed order."""
        return tuple(sorted({member.language for member in self.members.values()}, key=str))

    @property
    def statistics(self) -> ScopeStatistics:
        """The number of its passages, and their mean length."""
        passages = sum(member.passages for member in self.members.values())
        terms = sum(member.terms for member in self.members.values())
        return ScopeStatistics(passages, terms / passages if passages else 0.0)


@dataclass(frozen=True, slots=True)
class ScopeStatistics:
    """The statistics that BM25 needs: the number of passages, and their mean length in terms."""

    passages: int
    mean_length: float
