"""Stores that grow: the turns that are asked about, and distractors among them up to a size.

What is stored follows from the set, the seed and the size alone. So an interrupted store is
completed, a store of a larger size begins as a copy of the next smaller one, and a complete store
is only measured.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from rich.progress import Progress

from eval.benchmarks.growth.plan import GROWN, GrowthLayout
from eval.datasets.distractors import EXCERPT_TURNS, Distractors
from eval.datasets.models import DatasetTurn
from eval.errors import MeasurementError
from eval.json_files import write_json
from eval.systems import dataset_store
from memory_service.core.settings import Settings
from memory_service.service import Service

_BATCH = 1_000
_MAX_LAG = 20_000
# Chroma writes the keys of a whole collection after every batch: 0.5 s if they are a million.
# No question is asked while a store is filled, so batches may be large.
_INDEX_BATCH = 2_000
_POLL_SECONDS = 0.5
_STALLED_SECONDS = 300.0
_COMPLETE = "store.json"
"""The file that is written when a store is complete."""


class GrownStores:
    """Data folders below one folder, one for each size.

    `about` names what the turns follow from: a folder of anything else is refused.
    """

    def __init__(
        self,
        folder: Path,
        layout: GrowthLayout,
        targets: Mapping[str, Sequence[DatasetTurn]],
        distractors: Distractors,
        about: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._layout = layout
        self._targets = targets
        self._distractors = distractors
        self._about = dict(about)

    def grow(self, size: int, settings: Settings, progress: Progress) -> Path:
        """Return the data folder of a size, filled and indexed to the last vector."""
        path = self._folder / f"{self._layout}-{size}"
        if self._is_complete(path):
            return path / "data"
        if not path.exists():
            self._begin(path, size)
        changes = {"data_dir": path / "data", "index_batch": _INDEX_BATCH}
        with Service.open(settings.model_copy(update=changes), purpose="eval growth") as service:
            if self._layout is GrowthLayout.ONE:
                self._fill_conversation(service, size, progress)
            else:
                self._fill_user(service, size, progress)
            dataset_store.wait_for_index(service, progress)
        write_json(path / _COMPLETE, {**self._about, "size": size})
        return path / "data"

    def _is_complete(self, path: Path) -> bool:
        """Return whether a store is complete; raises MeasurementError if it holds other turns."""
        if not (path / _COMPLETE).exists():
            return False
        about = json.loads((path / _COMPLETE).read_text(encoding="utf-8"))
        about.pop("size", None)
        if about != self._about:
            raise MeasurementError(
                f"{path} holds other turns (another set, seed or version): name another folder"
            )
        return True

    def _begin(self, path: Path, size: int) -> None:
        """Make the folder of a size, as a copy of the largest smaller store that is complete."""
        smaller = [
            store
            for store in self._folder.glob(f"{self._layout}-*")
            if store.suffix == "" and _size_of(store) < size and self._is_complete(store)
        ]
        if not smaller:
            path.mkdir(parents=True)
            return
        copy = path.with_suffix(".copying")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(max(smaller, key=_size_of) / "data", copy / "data")
        copy.rename(path)

    def _fill_conversation(self, service: Service, size: int, progress: Progress) -> None:
        """Bring the one conversation to a size."""
        existing = dataset_store.count_turns(service, GROWN)
        if existing is None:
            dataset_store.create_conversation(service, GROWN, user=None)
            existing = 0
        task = progress.add_task(f"store {size:,} turns", total=size, completed=existing)
        turns = islice(self._turns_from(existing), max(0, size - existing))
        while batch := list(islice(turns, _BATCH)):
            _append(service, GROWN, batch)
            progress.advance(task, len(batch))

    def _turns_from(self, index: int) -> Iterator[DatasetTurn]:
        """Yield the turns of the one conversation from an index on, without end."""
        skip = index
        for piece in self._pieces():
            length = EXCERPT_TURNS if isinstance(piece, int) else len(piece)
            if skip >= length:
                skip -= length
                continue
            turns = self._distractors.excerpt(piece) if isinstance(piece, int) else piece
            yield from turns[skip:]
            skip = 0

    def _pieces(self) -> Iterator[Sequence[DatasetTurn] | int]:
        """Yield parts of the targets, and the number of a distracting excerpt after every third.

        After the targets only numbers of excerpts come.
        """
        targets = [turn for turns in self._targets.values() for turn in turns]
        excerpts = count()
        for number, start in enumerate(range(0, len(targets), EXCERPT_TURNS), start=1):
            yield targets[start : start + EXCERPT_TURNS]
            if number % 3 == 0:
                yield next(excerpts)
        yield from excerpts

    def _fill_user(self, service: Service, size: int, progress: Progress) -> None:
        """Bring the user to a number of conversations: the targets, then one for each excerpt."""
        task = progress.add_task(f"store {size:,} conversations", total=size)
        names = list(self._targets)
        for number in range(size):
            name = names[number] if number < len(names) else f"other-{number}"
            existing = dataset_store.count_turns(service, name)
            if existing is None:
                dataset_store.create_conversation(service, name, user=GROWN)
            turns = self._targets.get(name) or self._distractors.excerpt(number - len(names))
            if (existing or 0) < len(turns):
                _append(service, name, turns[existing or 0 :])
            progress.advance(task)


def _size_of(store: Path) -> int:
    """Return the size in the name of a store's folder."""
    return int(store.name.rpartition("-")[2])


def _append(service: Service, name: str, turns: Sequence[DatasetTurn]) -> None:
    """Append turns, and wait while the index is too far behind."""
    dataset_store.append(service, name, turns)
    least, deadline = math.inf, 0.0
    while (lag := service.index_lag()) > _MAX_LAG:
        # An index that was lost is rebuilt first, which takes long but makes progress.
        if lag < least:
            least, deadline = lag, time.monotonic() + _STALLED_SECONDS
        if time.monotonic() > deadline:
            raise MeasurementError(f"the index is stuck: {service.index_status().error}")
        time.sleep(_POLL_SECONDS)
