"""Stores that grow: the turns that are asked about, and distractors around them up to a size.

What is stored follows from the set, the seed and the size alone. So a store that was cut short
goes on where it was, one of a larger size begins as a copy of the next smaller one, and one that is
whole is only measured.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.progress import Progress

from eval.datasets import Turn
from eval.datasets.distractors import STRETCH, Distractors
from eval.systems import stored
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.requests import NewConversation
from memory_service.core.settings import Settings
from memory_service.service import Service

GROWN = "grown"
"""The id of the conversation, or of the user, that everything piles up in."""

_BATCH = 1_000
_MAX_LAG = 20_000
# Chroma writes the keys of a whole collection out after every batch: 0.5 s where they are a
# million. Nobody asks while a store is filled, so batches may be large.
_INDEX_BATCH = 2_000
_POLL_SECONDS = 0.5
_STALLED_SECONDS = 300.0
_DONE = "store.json"


class Layout(StrEnum):
    """Where the turns pile up."""

    ONE = "one"
    MANY = "many"


class GrownStores:
    """Data folders below one folder, one for each size.

    `about` names what the turns follow from: a folder of anything else is refused.
    """

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        targets: Mapping[str, Sequence[Turn]],
        distractors: Distractors,
        about: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._layout = layout
        self._targets = targets
        self._distractors = distractors
        self._about = dict(about)

    def path(self, size: int) -> Path:
        """Return the folder of a size; its data folder is `data` in it."""
        return self._folder / f"{self._layout}-{size}"

    def grow(self, size: int, settings: Settings, progress: Progress) -> Path:
        """Return the data folder of a size, filled and indexed to the last vector."""
        path = self.path(size)
        if self._is_whole(path):
            return path / "data"
        if not path.exists():
            self._begin(path, size)
        private = {"data_dir": path / "data", "index_batch": _INDEX_BATCH}
        there = settings.model_copy(update=private)
        with Service.open(there, purpose="eval growth") as service:
            if self._layout is Layout.ONE:
                self._grow_conversation(service, size, progress)
            else:
                self._grow_user(service, size, progress)
            stored.wait_for_index(service, progress)
        _write(path / _DONE, {**self._about, "size": size})
        return path / "data"

    def _is_whole(self, path: Path) -> bool:
        """Return whether a size is there; raises MeasurementError if it is of something else."""
        if not (path / _DONE).exists():
            return False
        found = json.loads((path / _DONE).read_text(encoding="utf-8"))
        found.pop("size", None)
        if found != self._about:
            raise stored.MeasurementError(
                f"{path} holds other turns (another set, seed or version): name another folder"
            )
        return True

    def _begin(self, path: Path, size: int) -> None:
        """Make the folder of a size, as a copy of the largest smaller one that is whole."""
        smaller = [
            one
            for one in self._folder.glob(f"{self._layout}-*")
            if one.suffix == "" and int(one.name.rpartition("-")[2]) < size and self._is_whole(one)
        ]
        if not smaller:
            path.mkdir(parents=True)
            return
        largest = max(smaller, key=lambda one: int(one.name.rpartition("-")[2]))
        copy = path.with_suffix(".copying")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(largest / "data", copy / "data")
        copy.rename(path)

    def _grow_conversation(self, service: Service, size: int, progress: Progress) -> None:
        """Bring one conversation to a size."""
        there = _turns_of(service, GROWN)
        if there is None:
            _create(service, GROWN, user=None)
            there = 0
        task = progress.add_task(f"store {size:,} turns", total=size, completed=there)
        room = size - there
        batch: list[Turn] = []
        for turn in self._turns_from(there):
            if room == 0:
                break
            batch.append(turn)
            room -= 1
            if len(batch) == _BATCH:
                _append(service, GROWN, batch)
                progress.advance(task, len(batch))
                batch = []
        if batch:
            _append(service, GROWN, batch)
            progress.advance(task, len(batch))

    def _turns_from(self, number: int) -> Iterator[Turn]:
        """Yield the turns of the one conversation from one on, without end."""
        for piece in self._pieces():
            length = STRETCH if isinstance(piece, int) else len(piece)
            if number >= length:
                number -= length
                continue
            turns = self._distractors.stretch(piece) if isinstance(piece, int) else piece
            yield from turns[number:]
            number = 0

    def _pieces(self) -> Iterator[Sequence[Turn] | int]:
        """Yield stretches of the targets, a distracting one after every third, then only these."""
        turns = [turn for some in self._targets.values() for turn in some]
        number = 0
        for place, start in enumerate(range(0, len(turns), STRETCH), start=1):
            yield turns[start : start + STRETCH]
            if place % 3 == 0:
                yield number
                number += 1
        while True:
            yield number
            number += 1

    def _grow_user(self, service: Service, size: int, progress: Progress) -> None:
        """Bring a user to a number of conversations: first the targets, then one a stretch."""
        task = progress.add_task(f"store {size:,} conversations", total=size)
        names = list(self._targets)
        for number in range(size):
            name = names[number] if number < len(names) else f"other-{number}"
            there = _turns_of(service, name)
            if there is None:
                _create(service, name, user=GROWN)
            turns = self._targets.get(name) or self._distractors.stretch(number - len(names))
            if (there or 0) < len(turns):
                _append(service, name, turns[there or 0 :])
            progress.advance(task)


def _write(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _turns_of(service: Service, name: str) -> int | None:
    """Return how many turns a conversation has, or None if it is not there."""
    project = service.local_project()
    with service.log.read() as snapshot:
        found = snapshot.conversations.get(project, stored.legal_id(name))
    return None if found is None else found.next_seq - 1


def _create(service: Service, name: str, user: str | None) -> None:
    made = NewConversation(stored.legal_id(name), user, None, {})
    service.writer.create_conversation(service.local_project(), made, [], UNIDENTIFIED)


def _append(service: Service, name: str, turns: Sequence[Turn]) -> None:
    """Append turns, and hold the index to a bounded distance."""
    stored.append(service, service.local_project(), stored.legal_id(name), turns, lambda _: None)
    least, deadline = math.inf, 0.0
    while (lag := service.index_lag()) > _MAX_LAG:
        # An index that was lost is built again first: that is long, and goes on.
        if lag < least:
            least, deadline = lag, time.monotonic() + _STALLED_SECONDS
        if time.monotonic() > deadline:
            raise stored.MeasurementError(f"the index is stuck: {service.index_status().error}")
        time.sleep(_POLL_SECONDS)
