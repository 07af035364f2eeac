"""From files to a sink: conversation by conversation, counting everything."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ingest.formats import FORMATS, recognise
from ingest.preparing import WORTH_A_PROCESS_BYTES, Preparation, Prepared, Task
from ingest.records import LEFT_OUT
from ingest.report import Report
from ingest.runs import Ready
from ingest.sinks import Sink
from ingest.sources import Source, open_source
from ingest.storing import REFUSED, Outcome, store
from ingest.transcripts import Format, Item, Options, Place, Transcript
from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest, StartupError
from memory_service.core.settings import Settings
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.fields import check_id
from memory_service.items.strict_json import loads

BATCH_TURNS = 500
BATCH_CHARS = 2_000_000
"""What is stored at once: enough to hide the cost of a flush, little enough to lose at a kill."""

_AHEAD = 2
"""While a batch is stored, one is prepared and one is read."""

OnProgress = Callable[[int, int, int], bool]
"""Gets bytes read, bytes in all and turns stored, and returns whether to go on."""

_LEFT_OUT = re.compile(f"{LEFT_OUT}(\\d+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which conversations are wanted.

    `since` and `until` are in microseconds since the epoch: a conversation is wanted if some of it
    was said between them. `title` is looked for anywhere in a title. `limit` is a number of
    conversations.
    """

    since: int | None = None
    until: int | None = None
    title: re.Pattern[str] | None = None
    limit: int | None = None


class _Checked(NamedTuple):
    transcript: Transcript
    items: list[Ready]


class _Batch(NamedTuple):
    transcripts: list[_Checked]
    tasks: list[Task]
    prepared: Future[Prepared]


class Ingestion:
    """One run: its report grows while it runs, and holds what happened however it ends."""

    def __init__(
        self,
        sink: Sink,
        *,
        options: Options,
        selection: Selection,
        user: str | None,
        settings: Settings,
    ) -> None:
        self.report = Report()
        self._sink = sink
        self._options = options
        self._selection = selection
        self._user = user
        self._settings = settings
        self._limits = ItemLimits(settings.max_text_chars, settings.max_nesting)
        self._selected = 0

    def run(self, paths: Sequence[Path], format_name: str | None, on_progress: OnProgress) -> None:
        """Store the conversations of files; raises StartupError before anything if one is none."""
        with ExitStack() as stack:
            sources = [stack.enter_context(open_source(path)) for path in paths]
            formats = [find_format(source, format_name) for source in sources]
            transcripts = self._transcripts(sources, formats)
            size = sum(member.size for source in sources for member in source.members)
            preparation = Preparation(self._settings, beside=size >= WORTH_A_PROCESS_BYTES)
            stack.callback(preparation.close)
            # While a batch is stored the next one is read: much of storing is not Python's time.
            reader = stack.enter_context(ThreadPoolExecutor(1))

            def read() -> Future[_Batch | None]:
                return reader.submit(self._next_batch, transcripts, preparation)

            def goes_on() -> bool:
                done = sum(source.bytes_read for source in sources)
                total = sum(source.bytes_total for source in sources)
                return on_progress(done, total, self.report.turns["stored"])

            ahead = deque(read() for _ in range(_AHEAD))
            # What was read before somebody said stop is stored still.
            while ahead and (batch := ahead.popleft().result()) is not None:
                if goes_on():
                    ahead.append(read())
                self._store(batch, preparation.result(batch.tasks, batch.prepared))
            goes_on()

    def _next_batch(
        self, transcripts: Iterator[Transcript], preparation: Preparation
    ) -> _Batch | None:
        batch: list[_Checked] = []
        turns = chars = 0
        for transcript in transcripts:
            checked = self._checked(transcript)
            batch.append(checked)
            turns += len(checked.items)
            chars += sum(len(item.raw) for item in checked.items)
            if turns >= BATCH_TURNS or chars >= BATCH_CHARS:
                break
        if not batch:
            return None
        tasks = [
            Task([item.turn for item in items], self._sink.wants_plan(transcript))
            for transcript, items in batch
        ]
        return _Batch(batch, tasks, preparation.submit(tasks))

    def _transcripts(
        self, sources: Sequence[Source], formats: Sequence[Format]
    ) -> Iterator[Transcript]:
        for source, chosen in zip(sources, formats, strict=True):
            self.report.formats[chosen.NAME] = None
            named = partial(_named, source if len(sources) > 1 else None)

            def warn(place: Place, message: str, named: Callable[[Place], Place] = named) -> None:
                self.report.warn(named(place), message)

            for problem in source.problems:
                warn(Place(problem.name, 0), problem.message)
            for transcript in chosen.parse(source, self._options, warn):
                if self._selected == self._selection.limit:
                    return
                self._count(transcript)
                if self._is_wanted(transcript):
                    self._selected += 1
                    yield replace(transcript, place=named(transcript.place))

    def _count(self, transcript: Transcript) -> None:
        self.report.conversations["read"] += 1
        self.report.turns["read"] += len(transcript.items) + sum(transcript.skipped.values())
        self.report.skipped.update(transcript.skipped)

    def _is_wanted(self, transcript: Transcript) -> bool:
        wanted = self._selection
        if wanted.title is not None and not wanted.title.search(transcript.title or ""):
            self.report.skip("title does not match", len(transcript.items))
            return False
        if wanted.since is not None or wanted.until is not None:
            times = list(_times(transcript))
            if not times or (
                (wanted.since is not None and max(times) < wanted.since)
                or (wanted.until is not None and min(times) >= wanted.until)
            ):
                self.report.skip("not of the time asked for", len(transcript.items))
                return False
        return True

    def _checked(self, transcript: Transcript) -> _Checked:
        """Return the transcript with those of its items that can be stored."""
        if self._user is not None:
            transcript = replace(transcript, user=self._user)
        if transcript.title is not None and LEFT_OUT in transcript.title:
            transcript = replace(transcript, title=None)
        ready: list[Ready] = []
        instead: dict[str, str | None] = {}
        for item in transcript.items:
            parent = instead.get(item.parent, item.parent) if item.parent else None
            try:
                ready.append(self._ready(item, parent))
            except InvalidRequest as error:
                self.report.warn(transcript.place, error.message)
                self.report.skip("invalid", 1)
                instead[item.id] = parent
        head = transcript.head
        while head in instead:
            head = instead[head]
        return _Checked(replace(transcript, head=head), ready)

    def _ready(self, item: Item, parent: str | None) -> Ready:
        left_out = _LEFT_OUT.search(item.raw)
        if left_out is not None:
            raise InvalidRequest(f"A text of {int(left_out[1]):,} bytes is too long for an item.")
        fields = {
            "id": item.id,
            "created_at": item.created_at,
            "name": item.name,
            "metadata": item.metadata,
        }
        stored_as = {key: value for key, value in fields.items() if value is not None}
        value = loads(item.raw, max_nesting=self._limits.max_nesting)
        turn = parse_item(value, item.raw, stored_as, self._limits, "item")
        return Ready(item.id, parent, item.gap_before, item.raw, turn, stored_as)

    def _store(self, batch: _Batch, prepared: Prepared) -> None:
        outcomes: list[Outcome | None] = []
        problems: list[tuple[Place, str]] = []
        with self._sink.together():
            for (transcript, items), plan in zip(batch.transcripts, prepared.plans, strict=True):
                try:
                    check_id(transcript.id, "id")
                    outcomes.append(
                        store(transcript, items, self._sink, plan) if items else Outcome()
                    )
                except REFUSED as error:
                    problems.append((transcript.place, error.message))
                    outcomes.append(None)
        # Only now is it sure: what the block stored is durable.
        for place, message in problems:
            self.report.warn(place, message)
        for (transcript, items), outcome in zip(batch.transcripts, outcomes, strict=True):
            if outcome is None:
                self.report.skip("refused", len(items))
                continue
            self.report.add(transcript.place, items, outcome)
        self.report.add_tokens(prepared.tokens, prepared.counter)


def find_format(source: Source, name: str | None) -> Format:
    """Return the format named, else the one recognised; raises StartupError if there is none."""
    if name is not None:
        if name not in FORMATS:
            raise StartupError(f"No format {name!r}; there are: {', '.join(FORMATS)}.")
        return FORMATS[name]
    found = recognise(source)
    if found is None:
        expected = "\n".join(f"  {one.NAME}: {one.EXPECTS}" for one in FORMATS.values())
        raise StartupError(
            f"{source.label} is none of the known formats:\n{expected}\n"
            f"{_found(source)} Choose a format with --format if it is one."
        )
    return found


def _named(source: Source | None, place: Place) -> Place:
    """Return a place with its source in front, where there are several; a file is its own."""
    if source is None or place.file == source.label:
        return place
    return place._replace(file=f"{source.label}/{place.file}")


def _found(source: Source) -> str:
    """Say what a source of no known format is."""
    left_out = "".join(f" {name} {message}." for name, message in source.problems[:5])
    if not source.members:
        return f"It holds no files that can be read.{left_out}"
    if len(source.members) > 1:
        names = ", ".join(member.name for member in source.members[:5])
        return f"It holds {len(source.members):,} files: {names}, ….{left_out}"
    head = source.members[0].head
    return (
        f"{source.members[0].name} begins with {head[:60]!r}.{left_out}"
        if head
        else (f"{source.members[0].name} is empty.{left_out}")
    )


def _times(transcript: Transcript) -> Iterator[int]:
    for text in (*(item.created_at for item in transcript.items), transcript.created_at):
        if text is not None:
            try:
                yield parse_time(text, "created_at")[0]
            except InvalidRequest:
                continue
