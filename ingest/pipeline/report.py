"""The report of an ingestion: what was read, stored and skipped, and why; as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from ingest.sinks.storing import StoreOutcome
from ingest.transcripts import Location, Transcript
from ingest.trees.runs import CheckedItem
from memory_service.commands.terminal import harmless, stdout
from memory_service.core.clock import to_datetime

MAX_WARNINGS = 10_000
_SHOWN_WARNINGS = 20


@dataclass(slots=True)
class IngestReport:
    """Counts of conversations and turns: `read` is the sum of the other counts.

    A turn that was read is stored, already there, or skipped for a reason. Times are in
    microseconds since the epoch. `tokens` counts the turns that were not skipped.
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
        """0: everything was used; 1: there are warnings; 2: nothing could be used."""
        if self.conversations["read"] == 0:
            return 2
        return 1 if self.warned else 0

    def warn(self, location: Location, message: str) -> None:
        """Record a warning about a record that was not used, or only partly."""
        with self._lock:  # The reading and the storing thread both warn; other counts have one.
            self.warned += 1
            if self.warned == MAX_WARNINGS + 1:
                message = f"more than {MAX_WARNINGS:,} warnings: the others are not listed"
            if self.warned <= MAX_WARNINGS + 1:
                self.warnings.append({**location._asdict(), "message": message})

    def count_read(self, transcript: Transcript) -> None:
        """Count a conversation that was read, with the turns that its format skipped."""
        self.conversations["read"] += 1
        self.turns["read"] += len(transcript.items) + sum(transcript.skipped.values())
        self.skipped.update(transcript.skipped)

    def skip(self, reason: str, turns: int) -> None:
        """Count turns that are not stored."""
        if turns:
            self.skipped[reason] += turns

    def count_stored(self, items: Sequence[CheckedItem], outcome: StoreOutcome) -> None:
        """Count a conversation that was stored, completely or in part."""
        if outcome.new or outcome.already_there:
            kind = "stored" if outcome.is_new else "grown" if outcome.new else "unchanged"
            self.conversations[kind] += 1
        self.turns["stored"] += outcome.new
        self.turns["already_there"] += outcome.already_there
        self.skip("refused", len(outcome.refused))
        for item in outcome.refused:
            self.warn(item.location, item.message)
        times = [item.turn.created_at for item in items if item.turn.created_at is not None]
        if times:
            self.first = min(times) if self.first is None else min(self.first, *times)
            self.last = max(times) if self.last is None else max(self.last, *times)

    def add_tokens(self, tokens: int, counter: str) -> None:
        """Add the tokens of turns that were not skipped, with the name of their counter."""
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
        """Print the report as text."""
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
            location = f"{warning['file']}, record {warning['record']}"
            console.print(harmless(f"{location}: {warning['message']}"))
        if self.warned > _SHOWN_WARNINGS:
            console.print(
                f"… and {self.warned - _SHOWN_WARNINGS:,} more warnings (--json has them)."
            )


def _text(time: int | None) -> str | None:
    return None if time is None else to_datetime(time).isoformat()
