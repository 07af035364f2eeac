"""What a caller asks a recall for."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.core.models import Turn


@dataclass(frozen=True, slots=True)
class Query:
    """The text that is looked for, and which turns may be hits.

    `exclude` holds keys of turns that the prompt has already. With `relevant_only` a message that
    does not call for memory gets no hits. `context` is the text before a query that is too short
    to be searched alone; `relevant_only` ignores it. `now` is when the query is asked, in
    microseconds, by default the clock. Days are those of `utc_offset_minutes`, by default the
    offset in which the newest turn was written.
    """

    text: str
    top_k: int
    roles: frozenset[str] = frozenset()
    created_after: int | None = None
    created_before: int | None = None
    exclude: frozenset[int] = frozenset()
    relevant_only: bool = False
    context: str = ""
    now: int | None = None
    utc_offset_minutes: int | None = None

    @property
    def search_text(self) -> str:
        """The text that is looked for, with its context."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    def admits(self, turn: Turn) -> bool:
        """Return whether the filters let a turn through; both times are inclusive."""
        return (
            (not self.roles or turn.role in self.roles)
            and (self.created_after is None or turn.created_at >= self.created_after)
            and (self.created_before is None or turn.created_at <= self.created_before)
        )

    @property
    def is_filtered(self) -> bool:
        """Whether turns may be rejected for their role or time."""
        return bool(self.roles) or self.created_after is not None or self.created_before is not None
