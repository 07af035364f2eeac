"""The systems by name: which there are for a set that is stored, and which are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import typer

from eval.datasets import Dataset
from eval.systems import PRODUCT, System
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.passages import Places
from eval.systems.product import Product, name_without
from eval.systems.recency import FullHistory, LastTurns
from memory_service.composition.vendors import embedder_of
from memory_service.embedders.local import LocalEmbedder
from memory_service.recall.ranking import Component
from memory_service.service import Service

GROUPS = ("all", "baselines", "ablations")
EMBEDDER = "dense:"
"""`dense:NAME` compares another embedder: openai, or chroma:FUNCTION."""

_OTHER_EMBEDDER = re.compile(rf"{EMBEDDER}\S+")

Makers = Mapping[str, Callable[[], System]]


def choose(names: Sequence[str], dataset: Dataset, service: Service) -> list[System]:
    """Return the systems of these names, which were checked, each once."""
    known = _makers(dataset, service)
    chosen: dict[str, System] = {}
    for name in names:
        for one in _expanded(name, known):
            if one not in chosen:
                chosen[one] = _made(one, known, dataset, service)
    return list(chosen.values())


def check(asked: Sequence[str]) -> None:
    """Raise BadParameter for a name that no system has, before anything is stored."""
    for name in asked:
        if name not in names() and not _OTHER_EMBEDDER.fullmatch(name):
            raise typer.BadParameter(f"there is no system {name!r}; there are {', '.join(names())}")


def names() -> list[str]:
    """Return every name that may be asked for."""
    without = [name_without(part) for part in Component]
    baselines = [LastTurns.name, FullHistory.name, BM25.name, "dense", "dense-local"]
    return [*GROUPS, *baselines, f"{EMBEDDER}NAME", PRODUCT, *without]


def _makers(dataset: Dataset, service: Service) -> Makers:
    places = Places(dataset, service.settings)
    makers: dict[str, Callable[[], System]] = {
        LastTurns.name: lambda: LastTurns(places),
        FullHistory.name: lambda: FullHistory(places),
        BM25.name: lambda: BM25(places),
        "dense": lambda: Dense(places, service.embedder, service.settings.embedder),
    }
    if service.settings.embedder != "local":
        makers["dense-local"] = lambda: Dense(places, LocalEmbedder(), "local")
    makers[PRODUCT] = lambda: Product(dataset, service)
    for part in Component:
        makers[name_without(part)] = partial(Product, dataset, service, part)
    return makers


def _expanded(name: str, known: Makers) -> list[str]:
    ablations = [one for one in known if one.startswith(f"{PRODUCT}-")]
    if name == "ablations":
        return ablations
    if name == "baselines":
        return [one for one in known if one != PRODUCT and one not in ablations]
    return list(known) if name == "all" else [name]


def _made(name: str, known: Makers, dataset: Dataset, service: Service) -> System:
    if name in known:
        return known[name]()
    kind = name.removeprefix(EMBEDDER)
    if name == "dense-local" or kind == service.settings.embedder:
        return known["dense"]()
    settings = service.settings.model_copy(update={"embedder": kind})
    return Dense(Places(dataset, settings), embedder_of(settings), kind)
