"""The systems by name: which there are for a set that is stored, and which are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import typer

from eval.datasets import Dataset
from eval.systems import System
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.passages import Places
from eval.systems.product import NAME, Product, name_without
from eval.systems.recency import FullHistory, LastTurns
from memory_service.embedders.local import LocalEmbedder
from memory_service.ranking import Part
from memory_service.service import Service, embedder_of

GROUPS = ("all", "baselines", "ablations")
EMBEDDER = "dense:"
"""`dense:NAME` compares another embedder: openai, or chroma:FUNCTION."""

Makers = Mapping[str, Callable[[], System]]


def choose(names: Sequence[str], dataset: Dataset, service: Service) -> list[System]:
    """Return the systems of these names, each once; raises BadParameter for an unknown one."""
    known = _makers(dataset, service)
    chosen: dict[str, System] = {}
    for name in names:
        for one in _expanded(name, known):
            if one not in chosen:
                chosen[one] = _made(one, known, dataset, service)
    return list(chosen.values())


def names() -> list[str]:
    """Return every name that may be asked for."""
    without = [name_without(part) for part in Part]
    baselines = [LastTurns.name, FullHistory.name, BM25.name, "dense", "dense-local"]
    return [*GROUPS, *baselines, f"{EMBEDDER}NAME", NAME, *without]


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
    makers[NAME] = lambda: Product(dataset, service)
    for part in Part:
        makers[name_without(part)] = partial(Product, dataset, service, part)
    return makers


def _expanded(name: str, known: Makers) -> list[str]:
    ablations = [one for one in known if one.startswith(f"{NAME}-")]
    if name == "ablations":
        return ablations
    if name == "baselines":
        return [one for one in known if one != NAME and one not in ablations]
    return list(known) if name == "all" else [name]


def _made(name: str, known: Makers, dataset: Dataset, service: Service) -> System:
    if name in known:
        return known[name]()
    if re.fullmatch(rf"{EMBEDDER}\S+", name):
        settings = service.settings.model_copy(update={"embedder": name.removeprefix(EMBEDDER)})
        return Dense(Places(dataset, settings), embedder_of(settings), settings.embedder)
    raise typer.BadParameter(f"--systems: there is no {name!r}; there are {', '.join(names())}")
