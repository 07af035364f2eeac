"""The systems by name: which exist, and those that a command asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import typer

from eval.datasets.models import Dataset
from eval.systems.bm25 import BM25
from eval.systems.dense import Dense
from eval.systems.product import Product, name_without
from eval.systems.recency import FullHistory, LastTurns
from eval.systems.scopes import ScopeCache
from eval.systems.system import PRODUCT, System
from memory_service.composition.vendors import embedder_of
from memory_service.embedders.local import LocalEmbedder
from memory_service.recall.ranking import Component
from memory_service.service import Service

GROUPS = ("all", "baselines", "ablations")
EMBEDDER = "dense:"
"""`dense:NAME` compares another embedder: openai, or chroma:FUNCTION."""

_OTHER_EMBEDDER = re.compile(rf"{EMBEDDER}\S+")

Makers = Mapping[str, Callable[[], System]]


def check(wanted: Sequence[str]) -> None:
    """Raise BadParameter for a name that no system has, before anything is stored."""
    for name in wanted:
        if name not in names() and not _OTHER_EMBEDDER.fullmatch(name):
            raise typer.BadParameter(f"there is no system {name!r}; there are {', '.join(names())}")


def names() -> list[str]:
    """Return every name that may be asked for."""
    ablations = [name_without(part) for part in Component]
    baselines = [LastTurns.name, FullHistory.name, BM25.name, "dense", "dense-local"]
    return [*GROUPS, *baselines, f"{EMBEDDER}NAME", PRODUCT, *ablations]


def choose(wanted: Sequence[str], dataset: Dataset, service: Service) -> list[System]:
    """Return the systems of these names, which were checked, without duplicates."""
    makers = _makers(dataset, service)
    expanded = dict.fromkeys(name for group in wanted for name in _expand(group, makers))
    return [_make(name, makers, dataset, service) for name in expanded]


def _makers(dataset: Dataset, service: Service) -> Makers:
    scopes = ScopeCache(dataset, service.settings)
    makers: dict[str, Callable[[], System]] = {
        LastTurns.name: lambda: LastTurns(scopes),
        FullHistory.name: lambda: FullHistory(scopes),
        BM25.name: lambda: BM25(scopes),
        "dense": lambda: Dense(scopes, service.embedder, service.settings.embedder),
    }
    if service.settings.embedder != "local":
        makers["dense-local"] = lambda: Dense(scopes, LocalEmbedder(), "local")
    makers[PRODUCT] = lambda: Product(dataset, service)
    for part in Component:
        makers[name_without(part)] = partial(Product, dataset, service, part)
    return makers


def _expand(name: str, makers: Makers) -> list[str]:
    """Return the systems of a group, or the one of that name."""
    ablations = [system for system in makers if system.startswith(f"{PRODUCT}-")]
    if name == "ablations":
        return ablations
    if name == "baselines":
        return [system for system in makers if system not in {PRODUCT, *ablations}]
    return list(makers) if name == "all" else [name]


def _make(name: str, makers: Makers, dataset: Dataset, service: Service) -> System:
    if name in makers:
        return makers[name]()
    kind = name.removeprefix(EMBEDDER)
    if name == "dense-local" or kind == service.settings.embedder:
        return makers["dense"]()
    settings = service.settings.model_copy(update={"embedder": kind})
    return Dense(ScopeCache(dataset, settings), embedder_of(settings), kind)
