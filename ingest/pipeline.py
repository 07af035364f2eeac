"""From files to a sink: conversation by conversation, counting everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingest.formats import FORMATS, recognise
from ingest.runs import runs
from ingest.sinks import Sink
from ingest.sources import Source, open_source
from ingest.transcripts import BadRecord, Format, Options, Place, Transcript
from memory_service.errors import Conflict, InvalidRequest, NotFound, StartupError


@dataclass(slots=True)
class Report:
    """What an ingestion read, stored and left out, and why."""

    format: str = ""
    conversations: Counter[str] = field(
        default_factory=lambda: Counter(read=0, stored=0, grown=0, unchanged=0)
    )
    turns: Counter[str] = field(default_factory=lambda: Counter(read=0, stored=0, already_there=0))
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: list[dict[str, str | int]] = field(default_factory=list)
    first: str | None = None
    last: str | None = None

    @property
    def exit_code(self) -> int:
        """0: all stored; 1: some records failed; 2: nothing usable."""
        if self.conversations["read"] == 0:
            return 2
        return 1 if self.warnings else 0

    def warn(self, place: Place, message: str) -> None:
        """Note a record that was not used, or not whole."""
        self.warnings.append({**place._asdict(), "message": message})


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


def ingest(
    paths: Sequence[Path],
    format_name: str | None,
    sink: Sink,
    *,
    user: str | None,
    options: Options,
    on_progress: Callable[[int, int], None],
) -> Report:
    """Store the conversations of files; `on_progress` gets bytes read and turns stored."""
    report = Report()
    for path in paths:
        with open_source(path) as source:
            for problem in source.problems:
                report.warn(Place(problem.name, 0), problem.message)
            chosen = find_format(source, format_name)
            report.format = chosen.NAME
            for transcript in chosen.parse(source, options, report.warn):
                _store(transcript, user, sink, report)
                on_progress(source.bytes_read, report.turns["stored"])
    return report


def _found(source: Source) -> str:
    """Say what a source of no known format is."""
    if not source.members:
        return "It holds no files."
    if len(source.members) > 1:
        names = ", ".join(member.name for member in source.members[:5])
        return f"It holds {len(source.members):,} files: {names}, …"
    return f"{source.members[0].name} begins with {source.members[0].head[:60]!r}."


def _store(transcript: Transcript, user: str | None, sink: Sink, report: Report) -> None:
    report.conversations["read"] += 1
    report.turns["read"] += len(transcript.items) + sum(transcript.skipped.values())
    report.skipped.update(transcript.skipped)
    if not transcript.items:
        return
    stored = 0
    try:
        made = sink.begin(_of_user(transcript, user))
        for run in runs(transcript.items):
            new = sink.append(transcript.id, run)
            stored += new
            report.turns["stored"] += new
            report.turns["already_there"] += len(run.items) - new
        if stored and transcript.head is not None and transcript.head != transcript.items[-1].id:
            sink.set_head(transcript.id, transcript.head)
    except (BadRecord, InvalidRequest, NotFound, Conflict) as error:
        report.warn(transcript.place, error.message)
        report.skipped["refused"] += len(transcript.items) - stored
        return
    report.conversations["stored" if made else "grown" if stored else "unchanged"] += 1
    for item in transcript.items:
        if item.created_at is not None:
            report.first = min(report.first or item.created_at, item.created_at)
            report.last = max(report.last or item.created_at, item.created_at)


def _of_user(transcript: Transcript, user: str | None) -> Transcript:
    if user is None:
        return transcript
    return Transcript(
        place=transcript.place,
        id=transcript.id,
        items=transcript.items,
        head=transcript.head,
        user=user,
        title=transcript.title,
        metadata=transcript.metadata,
        created_at=transcript.created_at,
    )
