"""What the benchmark of growth measures: field names are the keys of the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from eval.benchmarks.resources import DiskUse, MemoryUse
from eval.json_files import Json
from eval.metrics import ranking

TOP_K = 10
PROMPT_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class QuestionMeasurement:
    """A question asked at one size: shares of the gold found, and times in milliseconds."""

    id: str
    recall: float
    evidence: float
    search_ms: float
    search_cpu_ms: float
    context_ms: float
    context_cpu_ms: float


@dataclass(frozen=True, slots=True)
class GrowthMeasurement:
    """All questions asked at one size, with one way to compare vectors."""

    size: int
    passages: int
    exact_scan_max: int
    open_seconds: float
    first_search_ms: float
    memory: MemoryUse | None
    disk_bytes: DiskUse
    by_question: Sequence[QuestionMeasurement]

    @property
    def by_chroma(self) -> bool:
        """Whether Chroma compared the vectors; else they were compared in memory."""
        return self.exact_scan_max < self.passages

    @property
    def recall(self) -> float:
        """The mean share of the gold among the first `TOP_K`."""
        return _mean([question.recall for question in self.by_question])

    @property
    def evidence(self) -> float:
        """The mean share of the gold in a prompt of `PROMPT_TOKENS`."""
        return _mean([question.evidence for question in self.by_question])

    @property
    def search_ms(self) -> dict[str, float]:
        """Percentiles of the times of a search."""
        return _percentiles([question.search_ms for question in self.by_question])

    @property
    def context_ms(self) -> dict[str, float]:
        """Percentiles of the times of building a prompt."""
        return _percentiles([question.context_ms for question in self.by_question])

    def as_json(self) -> Json:
        """Return the numbers as JSON."""
        questions = self.by_question
        return asdict(self) | {
            "questions": len(questions),
            f"recall@{TOP_K}": self.recall,
            f"evidence@{PROMPT_TOKENS}": self.evidence,
            "search_ms": self.search_ms,
            "search_cpu_ms": _percentiles([question.search_cpu_ms for question in questions]),
            "context_ms": self.context_ms,
            "context_cpu_ms": _percentiles([question.context_cpu_ms for question in questions]),
        }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {
        name: round(ranking.percentile(values, share), 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
