"""What an ingestion read, stored and left out, and why: for people, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from ingest.runs import Ready
from ingest.storing import Outcome
from ingest.transcripts import Place
from memory_service.commands.terminal import harmless, stdout
from memory_service.core.clock import to_datetime

MAX_WARNINGS = 10_000
_SHOWN_WARNINGS = 20


@dataclass(slots=True)
class Report:
    """Counts of conversations and turns: `read` is the sum of what became of them.

    A turn is read and then stored, already there, or skipped for a reason. Times are in
    microseconds since the epoch, and `tokens` is about the turns that were not skipped.
    """

    formats: dict[str, None] = field(default_factory=dict)
    conversations: Counter[str] = field(
        default_factory=lambda: Counter(read=0, stored=0, grown=0, unchanged=0)
    )
    turns: Counter[str] = field(default_factory=lambda: Counter(read=0, stored=0, already_there=0))
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: list[dict[str, str | int]] = field(default_factory=list)
    warned: int = 0
    first: int | None = None
    last: int | None = None
    tokens: int = 0
    counter: str = ""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def exit_code(self) -> int:
        """0: all stored; 1: some records failed; 2: nothing usable."""
        if self.conversations["read"] == 0:
            return 2
        return 1 if self.warned else 0

    def warn(self, place: Place, message: str) -> None:
        """Note a record that was not used, or not whole."""
        with self._lock:  # One thread reads while another stores: all else is counted by one.
            self.warned += 1
            if self.warned == MAX_WARNINGS + 1:
                message = f"more warnings than {MAX_WARNINGS:,}: the rest is not listed"
            if self.warned <= MAX_WARNINGS + 1:
                self.warnings.append({**place._asdict(), "message": message})

    def skip(self, reason: str, turns: int) -> None:
        """Count turns that are not stored."""
        if turns:
            self.skipped[reason] += turns

    def add(self, place: Place, items: list[Ready], outcome: Outcome) -> None:
        """Count a conversation that was stored, as far as it could be."""
        if outcome.new or outcome.known:
            kind = "stored" if outcome.made else "grown" if outcome.new else "unchanged"
            self.conversations[kind] += 1
        self.turns["stored"] += outcome.new
        self.turns["already_there"] += outcome.known
        self.skip("refused", len(outcome.refused))
        for message in outcome.refused:
            self.warn(place, message)
        for item in items:
            time = item.turn.created_at
            if time is not None:
                self.first = time if self.first is None else min(self.first, time)
                self.last = time if self.last is None else max(self.last, time)

    def add_tokens(self, tokens: int, counter: str) -> None:
        """Count the tokens of turns that were not skipped, as somebody counted them."""
        self.tokens += tokens
        self.counter = counter

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "format": ", ".join(self.formats),
            "conversations": dict(self.conversations),
            "turns": {**self.turns, "skipped": dict(self.skipped)},
            "warnings": self.warnings,
            "first": _text(self.first),
            "last": _text(self.last),
            "tokens": self.tokens,
        }

    def show(self, *, dry_run: bool) -> None:
        """Print it for people."""
        console = stdout()
        conversations, turns = self.conversations, self.turns
        stored = "to be stored" if dry_run else "stored"
        console.print(
            f"{', '.join(self.formats)}: {conversations['read']:,} conversations read, "
            f"{conversations['stored']:,} {stored}, {conversations['grown']:,} grown, "
            f"{conversations['unchanged']:,} unchanged; {turns['read']:,} turns read, "
            f"{turns['stored']:,} {stored}, {turns['already_there']:,} already there."
        )
        if self.first is not None:
            console.print(f"From {_text(self.first)} to {_text(self.last)}.")
        if self.tokens:
            console.print(f"{self.tokens:,} tokens ({self.counter}).")
        for reason, count in sorted(self.skipped.items()):
            console.print(harmless(f"Skipped, {reason}: {count:,} turns."))
        for warning in self.warnings[:_SHOWN_WARNINGS]:
            place = f"{warning['file']}, record {warning['record']}"
            console.print(harmless(f"{place}: {warning['message']}"))
        if self.warned > _SHOWN_WARNINGS:
            console.print(
                f"… and {self.warned - _SHOWN_WARNINGS:,} more warnings (--json has them)."
            )


def _text(time: int | None) -> str | None:
    return None if time is None else to_datetime(time).isoformat()
