"""An ingestion: conversations from files into a sink, batch by batch, with a report.

While one batch is stored, the next one is prepared and the one after that is read and checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ingest.formats.format import Format
from ingest.pipeline.checking import CheckedTranscript, check_transcript
from ingest.pipeline.recognition import find_format
from ingest.pipeline.report import IngestReport
from ingest.pipeline.selection import TranscriptSelection
from ingest.sinks.preparing import (
    MIN_CHILD_BYTES,
    PreparationQueue,
    PreparationTask,
    PreparedBatch,
)
from ingest.sinks.sink import Sink, SinkBatch
from ingest.sinks.storing import REFUSED, StoreOutcome, store_transcript
from ingest.sources.opening import open_source
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, RecordProblem, Transcript
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import InvalidRequest
from memory_service.core.settings import Settings
from memory_service.items.conversation_items import ItemLimits
from memory_service.items.fields import check_id

BATCH_TURNS = 500
BATCH_CHARS = 2_000_000
"""The size of one transaction: large enough that a flush costs little, and small, because a killed
process loses it."""

_BATCHES_AHEAD = 2
"""While a batch is stored, one is prepared and one is read."""

OnProgress = Callable[[int, int, int], bool]
"""Gets the bytes read, the bytes in all and the turns stored; returns whether to continue."""


class _Batch(NamedTuple):
    transcripts: Sequence[CheckedTranscript]
    tasks: Sequence[PreparationTask]
    prepared: Future[PreparedBatch]


class Ingestion:
    """One run; `report` is updated while it runs, and is complete also if the run fails."""

    def __init__(
        self,
        sink: Sink,
        *,
        options: FormatOptions,
        selection: TranscriptSelection,
        user: str | None,
        settings: Settings,
    ) -> None:
        self.report = IngestReport()
        self._sink = sink
        self._options = options
        self._selection = selection
        self._user = user
        self._settings = settings
        self._limits = ItemLimits(settings.max_text_chars, settings.max_nesting)

    def run(self, paths: Sequence[Path], format_name: str | None, on_progress: OnProgress) -> None:
        """Store the conversations of files.

        Raises StartupError, before anything is stored, if a file cannot be read or has no format.
        """
        with ExitStack() as stack:
            sources = [stack.enter_context(open_source(path)) for path in paths]
            formats = [find_format(source, format_name) for source in sources]
            transcripts = self._transcripts(sources, formats)
            size = sum(member.size for source in sources for member in source.members)
            queue = PreparationQueue(self._settings, in_child=size >= MIN_CHILD_BYTES)
            stack.callback(queue.close)
            # Storing is mostly SQLite's and the disk's time, so a thread can read meanwhile.
            reader = stack.enter_context(ThreadPoolExecutor(1))

            def read_batch() -> Future[_Batch | None]:
                return reader.submit(self._read_batch, transcripts, queue)

            def report_progress() -> bool:
                done = sum(source.bytes_read for source in sources)
                total = sum(source.bytes_total for source in sources)
                return on_progress(done, total, self.report.turns["stored"])

            ahead = deque(read_batch() for _ in range(_BATCHES_AHEAD))
            # Batches that were read before a stop are stored.
            while ahead and (batch := ahead.popleft().result()) is not None:
                if report_progress():
                    ahead.append(read_batch())
                self._store(batch, queue.result(batch.tasks, batch.prepared))
            report_progress()

    def _transcripts(
        self, sources: Sequence[ExportSource], formats: Sequence[Format]
    ) -> Iterator[Transcript]:
        """Yield the transcripts that are wanted, counting all."""
        selected = 0
        for source, chosen in zip(sources, formats, strict=True):
            self.report.formats[chosen.NAME] = None
            label = source.label if len(sources) > 1 else None
            for transcript in self._read_source(source, chosen, label):
                if selected == self._selection.limit:
                    return
                self.report.count_read(transcript)
                reason = self._selection.reason_to_skip(transcript)
                if reason is None:
                    selected += 1
                    yield _labelled(transcript, label)
                else:
                    self.report.skip(reason, len(transcript.items))

    def _read_source(
        self, source: ExportSource, chosen: Format, label: str | None
    ) -> Iterator[Transcript]:
        def warn(location: Location, message: str) -> None:
            self.report.warn(_labelled_location(location, label), message)

        for skipped in source.skipped:
            warn(Location(skipped.name, 0), skipped.reason)
        return chosen.parse(source, self._options, warn)

    def _read_batch(
        self, transcripts: Iterator[Transcript], queue: PreparationQueue
    ) -> _Batch | None:
        batch: list[CheckedTranscript] = []
        turns = chars = 0
        for transcript in transcripts:
            checked = self._check(transcript)
            batch.append(checked)
            turns += len(checked.items)
            chars += sum(len(item.raw) for item in checked.items)
            if turns >= BATCH_TURNS or chars >= BATCH_CHARS:
                break
        if not batch:
            return None
        tasks = [
            PreparationTask(
                [item.turn for item in checked.items], self._wants_plan(checked.transcript)
            )
            for checked in batch
        ]
        return _Batch(batch, tasks, queue.submit(tasks))

    def _wants_plan(self, transcript: Transcript) -> bool:
        try:
            check_id(transcript.id, "id")
        except InvalidRequest:
            return False  # It is refused when it is stored.
        return self._sink.wants_preparation(transcript)

    def _check(self, transcript: Transcript) -> CheckedTranscript:
        owned = transcript if self._user is None else replace(transcript, user=self._user)
        checked = check_transcript(owned, self._limits)
        for item in checked.invalid:
            self.report.warn(item.location, item.message)
        self.report.skip("invalid", len(checked.invalid))
        return checked

    def _store(self, batch: _Batch, prepared: PreparedBatch) -> None:
        with self._sink.together() as sink:
            results = [
                _store_one(sink, checked, turns)
                for checked, turns in zip(batch.transcripts, prepared.prepared_turns, strict=True)
            ]
        # Counted only now: conversations stored in the context are durable at its end.
        for result in results:
            if isinstance(result, RecordProblem):
                self.report.warn(result.location, result.message)
        for checked, result in zip(batch.transcripts, results, strict=True):
            if isinstance(result, RecordProblem):
                self.report.skip("refused", len(checked.items))
            else:
                self.report.count_stored(checked.items, result)
        self.report.add_tokens(prepared.tokens, prepared.counter)


def _labelled(transcript: Transcript, label: str | None) -> Transcript:
    """Return a transcript whose locations have the source's name in front."""
    if label is None:
        return transcript
    items = [
        item
        if item.location is None
        else replace(item, location=_labelled_location(item.location, label))
        for item in transcript.items
    ]
    location = _labelled_location(transcript.location, label)
    return replace(transcript, location=location, items=items)


def _labelled_location(location: Location, label: str | None) -> Location:
    """Return a location with its source in front, unless the file itself is the source."""
    if label is None or location.file == label:
        return location
    return location._replace(file=f"{label}/{location.file}")


def _store_one(
    sink: SinkBatch, checked: CheckedTranscript, prepared: PreparedTurns | None
) -> StoreOutcome | RecordProblem:
    transcript, items = checked.transcript, checked.items
    try:
        check_id(transcript.id, "id")
        return store_transcript(transcript, items, sink, prepared) if items else StoreOutcome()
    except REFUSED as error:
        return RecordProblem(transcript.location, error.message)
