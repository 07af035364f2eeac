"""From files to a sink: conversation by conversation, counting everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from ingest.formats import FORMATS, recognise
from ingest.runs import runs
from ingest.sinks import Sink
from ingest.transcripts import BadRecord, Format, Transcript
from memory_service.errors import Conflict, InvalidRequest, NotFound, StartupError

_HEAD_CHARS = 65_536


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

    def warn(self, file: str, record: int, message: str) -> None:
        """Note a record that was not used, or not whole."""
        self.warnings.append({"file": file, "record": record, "message": message})


def find_format(path: Path, name: str | None) -> Format:
    """Return the format named, else the one recognised; raises StartupError if there is none."""
    if name is not None:
        if name not in FORMATS:
            raise StartupError(f"No format {name!r}; there are: {', '.join(FORMATS)}.")
        return FORMATS[name]
    with _open(path) as binary, _text(binary) as file:
        head = file.read(_HEAD_CHARS)
    found = recognise(head)
    if found is None:
        expected = "\n".join(f"  {one.NAME}: {one.EXPECTS}" for one in FORMATS.values())
        raise StartupError(
            f"{path} is none of the known formats:\n{expected}\n"
            f"It begins with {head[:60]!r}. Choose one with --format if it is one."
        )
    return found


def ingest(
    paths: Sequence[Path],
    format_name: str | None,
    sink: Sink,
    *,
    user: str | None,
    on_progress: Callable[[int, int], None],
) -> Report:
    """Store the conversations of files; `on_progress` gets bytes read and turns stored."""
    report = Report()
    for path in paths:
        chosen = find_format(path, format_name)
        report.format = chosen.NAME
        name = path.name

        def warn(record: int, message: str, name: str = name) -> None:
            report.warn(name, record, message)

        with _open(path) as binary, _text(binary) as file:
            for transcript in chosen.parse(file, warn):
                _store(transcript, user, sink, report, name)
                on_progress(binary.tell(), report.turns["stored"])
    return report


def _store(transcript: Transcript, user: str | None, sink: Sink, report: Report, file: str) -> None:
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
        report.warn(file, transcript.record, error.message)
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
        record=transcript.record,
        id=transcript.id,
        items=transcript.items,
        head=transcript.head,
        user=user,
        title=transcript.title,
        metadata=transcript.metadata,
        created_at=transcript.created_at,
    )


def _text(binary: BinaryIO) -> TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates, which spoil their own record only.
    return TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="\n")


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}.") from error
