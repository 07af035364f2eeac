"""What the benchmark of speed measures: field names are the keys of the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from eval.benchmarks.resources import DiskUse, MemoryUse
from eval.benchmarks.timing import Percentiles
from eval.json_files import Json


@dataclass(frozen=True, slots=True)
class SqliteMeasurement:
    """Bare SQLite: single inserts with a commit each, inserts in bulk; and a bare fsync."""

    insert: Percentiles
    bulk_rows: int
    bulk_turns_per_s: float
    fsync_4kb: Percentiles


@dataclass(frozen=True, slots=True)
class VectorMeasurement:
    """The nearest vectors of a conversation, and of all, by numpy and by Chroma alone."""

    vectors: int
    conversation: int
    numpy_conversation: Percentiles
    numpy_all: Percentiles
    chroma_where: Percentiles
    chroma_all: Percentiles


@dataclass(frozen=True, slots=True)
class BulkMeasurement:
    """Appending in bulk: turns a second until all are stored, and until all are searchable."""

    turns: int
    batch: int
    stored_turns_per_s: float
    searchable_turns_per_s: float


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Seconds from the start of the process until the service is ready."""

    seconds: Sequence[float]
    median_seconds: float


@dataclass(frozen=True, slots=True)
class StartMeasurement:
    """Start times on a folder that does not exist yet, and on one with the stored turns."""

    empty: StartTimes
    stored: StartTimes


@dataclass(frozen=True, slots=True)
class WritersPercentiles(Percentiles):
    """Times of appends from several threads at once."""

    writers: int
    turns_per_s: float


@dataclass(frozen=True, slots=True)
class AppendMeasurement:
    """Appends of one turn: by one client alone, and by several writers at once."""

    alone: Percentiles
    writers: WritersPercentiles


@dataclass(frozen=True, slots=True)
class ContextPercentiles(Percentiles):
    """Times of building a context; `counter` names what counted its tokens."""

    counter: str


@dataclass(frozen=True, slots=True)
class ClientsPercentiles(Percentiles):
    """Times of requests that several clients make at once."""

    per_s: float


@dataclass(frozen=True, slots=True)
class ClientsMeasurement:
    """Reads by several clients at once."""

    search: ClientsPercentiles
    context: ClientsPercentiles


@dataclass(frozen=True, slots=True)
class BesideWriterMeasurement:
    """Reads while another client appends in bulk."""

    search: Percentiles
    context: Percentiles
    turns_written: int


@dataclass(frozen=True, slots=True)
class WhileIndexingMeasurement:
    """Appends and searches while the index catches up with a backlog of turns."""

    backlog: int
    append: Percentiles
    search: Percentiles


@dataclass(frozen=True, slots=True)
class ReadsMeasurement:
    """Search and context: alone, by several clients (by their number), and with a bulk writer."""

    search: Percentiles
    context: ContextPercentiles
    clients: Mapping[str, ClientsMeasurement]
    beside_a_writer: BesideWriterMeasurement


@dataclass(frozen=True, slots=True)
class OneConversationMeasurement(ReadsMeasurement):
    """All turns in one conversation."""

    bulk: BulkMeasurement
    start: StartMeasurement
    memory_after_start: MemoryUse | None
    nothing: Percentiles
    append: AppendMeasurement
    list: Percentiles
    while_indexing: WhileIndexingMeasurement
    memory: MemoryUse | None
    disk_bytes: DiskUse


@dataclass(frozen=True, slots=True)
class ManyConversationsMeasurement(ReadsMeasurement):
    """The turns spread over conversations of `SMALL_CONVERSATION` turns."""

    conversations: int
    bulk: BulkMeasurement
    memory: MemoryUse | None
    disk_bytes: DiskUse


@dataclass(frozen=True, slots=True)
class SpeedRatios:
    """The service's numbers divided by those of bare SQLite and of Chroma alone."""

    append_alone_p50: float
    append_alone_p99: float
    bulk_stored_turns_per_s: float
    search_many_to_chroma_where_p50: float | None


@dataclass(frozen=True, slots=True)
class SizeMeasurement:
    """All numbers of one size; `many_conversations` is None for a size too small to spread."""

    turns: int
    mean_characters: float
    baseline: SqliteMeasurement
    vectors: VectorMeasurement
    one_conversation: OneConversationMeasurement
    many_conversations: ManyConversationsMeasurement | None

    @property
    def ratios(self) -> SpeedRatios:
        """Return the service's numbers over those of the bare parts."""
        alone, insert = self.one_conversation.append.alone, self.baseline.insert
        stored = self.one_conversation.bulk.stored_turns_per_s
        many = self.many_conversations
        return SpeedRatios(
            append_alone_p50=_ratio(alone.p50_ms, insert.p50_ms),
            append_alone_p99=_ratio(alone.p99_ms, insert.p99_ms),
            bulk_stored_turns_per_s=round(stored / self.baseline.bulk_turns_per_s, 4),
            search_many_to_chroma_where_p50=None
            if many is None
            else _ratio(many.search.p50_ms, self.vectors.chroma_where.p50_ms),
        )

    def as_json(self) -> Json:
        """Return the numbers as JSON; what was not measured of many conversations is left out."""
        ratios = _without_none(asdict(self.ratios))
        return _without_none(asdict(self)) | {"ratios": ratios}


def _ratio(number: float | None, base: float | None) -> float:
    assert number is not None
    assert base is not None
    return round(number / base, 2)


def _without_none(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}
