"""The workload of one size: the texts to store, the queries to ask, and the timing loop."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from eval.benchmarks import workloads
from eval.benchmarks.measured_service import MeasuredService
from eval.benchmarks.speed.plan import SpeedPlan
from eval.benchmarks.timing import TimingLoop


@dataclass(frozen=True, slots=True)
class SpeedWorkload:
    """The workload of one size; which texts and queries come follows from the seed.

    `stored` are the texts that are stored; `new_texts` yields further ones without end. `folder` is
    for the data and the service's log.
    """

    plan: SpeedPlan
    folder: Path
    progress: Progress
    rng: random.Random
    new_texts: Iterator[str]
    stored: Sequence[str]
    loop: TimingLoop

    @property
    def log(self) -> Path:
        """The log of the service."""
        return log_in(self.folder)

    def take(self, number: int) -> list[str]:
        """Return new texts."""
        return list(itertools.islice(self.new_texts, number))

    def query(self) -> str:
        """Return a query: some words of a stored text."""
        return workloads.query(self.stored, self.rng)

    def wait_for_index(self, service: MeasuredService) -> None:
        """Wait until every passage is indexed."""
        task = self.progress.add_task("wait for the index", total=None)
        service.wait_for_index(
            lambda indexed, total: self.progress.update(task, completed=indexed, total=total)
        )
        self.progress.remove_task(task)


def prepare(plan: SpeedPlan, size: int, folder: Path, progress: Progress) -> SpeedWorkload:
    """Return the workload of a size; raises ValueError if the plan's files have no texts."""
    rng = random.Random(plan.seed)
    texts = workloads.document_texts(plan.docs, rng) if plan.docs else workloads.made_texts(rng)
    stored = list(itertools.islice(texts, size))
    loop = TimingLoop(plan.samples, plan.seconds, progress)
    return SpeedWorkload(plan, folder, progress, rng, texts, stored, loop)


def log_in(folder: Path) -> Path:
    """Return the service's log in the folder of a size."""
    return folder / "server.log"
