"""The table of upstreams: which upstream serves a model.

The upstream of a model is, in this order:

1. the first entry that has the model's name or a pattern for it;
2. the entry whose name precedes the model's, as in `ollama/llama3.2`; that name is not sent;
3. the first entry without names and patterns whose own list has the model;
4. the default, which is outside the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memory_service.core.errors import InvalidRequest, NoUpstream, UpstreamDown
from memory_service.core.models import CallerKey
from memory_service.core.protocols import Upstream
from memory_service.upstreams.model_lists import ModelList, ModelListCache

DEFAULT = "default"
"""The name of the upstream outside the table, in requests that name one."""

MAX_NAMED_MODELS = 20
"""The most models that an error names."""


class UpstreamRoute(NamedTuple):
    """The upstream of a request, and the model's name there."""

    upstream: Upstream
    model: str | None


class MergedModels(NamedTuple):
    """The models of all upstreams, and what is missing among them."""

    models: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class TableEntry:
    """An upstream, and the names and patterns of its models; without any, its list decides."""

    upstream: Upstream
    models: Sequence[str] = ()

    def has(self, model: str) -> bool:
        """Return whether one of the names or patterns is the model's."""
        return any(_matches(pattern, model) for pattern in self.models)

    @property
    def exact_names(self) -> Sequence[str]:
        """The names that are no patterns."""
        return [name for name in self.models if "*" not in name]


class UpstreamTable:
    """The upstreams of the service. `default` serves what no entry serves."""

    def __init__(self, default: Upstream | None, entries: Sequence[TableEntry] = ()) -> None:
        self._default = default
        self._entries = entries
        self._by_name = {entry.upstream.name: entry.upstream for entry in entries}
        self._by_list = [entry.upstream for entry in entries if not entry.models]
        self._without_names = [*self._by_list, *([] if default is None else [default])]
        self._lists = ModelListCache()

    @property
    def is_empty(self) -> bool:
        """Whether the settings name no upstream."""
        return self._default is None and not self._entries

    @property
    def single(self) -> Upstream | None:
        """The default, if it serves all models."""
        return None if self._entries else self._default

    @property
    def needs_model(self) -> bool:
        """Whether the model of a request must be known to send it."""
        return self.single is None or self.single.has_path_by_model

    def check(self) -> None:
        """Raise NoUpstream if the settings name no upstream."""
        if self.is_empty:
            raise NoUpstream(
                "No upstream is configured: set MEMORY_UPSTREAM_BASE_URL, for example to "
                "https://api.openai.com/v1 or http://127.0.0.1:11434/v1."
            )

    async def route(self, model: str | None, name: str | None = None) -> UpstreamRoute:
        """Return the upstream of a model, or the one with this name.

        Raises NoUpstream, or InvalidRequest if no upstream serves the model.
        """
        self.check()
        if name is not None:
            return UpstreamRoute(self._named(name), model)
        route = self._by_settings(model)
        if route is None and model is not None:
            await self._lists.refresh(self._by_list)
            route = self.remembered_route(model)
        if route is None:
            raise self._unknown_model(model)
        return route

    def remembered_route(self, model: str) -> UpstreamRoute | None:
        """Return the upstream of a model without asking any; None if no known one serves it."""
        route = self._by_settings(model)
        if route is not None:
            return route
        for upstream in self._by_list:
            model_list = self._lists.remembered(upstream)
            if model_list is not None and model_list.has(model):
                return UpstreamRoute(upstream, model)
        return None if self._default is None else UpstreamRoute(self._default, model)

    async def models(self, caller: CallerKey, headers: Mapping[str, str]) -> MergedModels:
        """Return the models of all upstreams, each with the upstream that serves it by its name.

        A caller's own key is sent only where it is used for completions, too. Raises UpstreamDown
        if no upstream has a list.
        """
        upstreams = [entry.upstream for entry in self._entries]
        if self._default is not None:
            upstreams.append(self._default)
        lists = await self._lists.read(upstreams, caller, headers)
        failures = {
            upstream.name: model_list.failure
            for upstream, model_list in zip(upstreams, lists, strict=True)
            if model_list.failure is not None
        }
        if len(failures) == len(upstreams):
            raise UpstreamDown(f"No upstream returned its models: {_joined(failures)}.")
        return MergedModels(self._merged(upstreams, lists), [_joined(failures)] if failures else [])

    async def close(self) -> None:
        """Close the connections to all upstreams."""
        for entry in self._entries:
            await entry.upstream.close()
        if self._default is not None:
            await self._default.close()

    def _named(self, name: str) -> Upstream:
        upstream = self._by_name.get(name) or (self._default if name == DEFAULT else None)
        if upstream is None:
            raise InvalidRequest(
                f"There is no upstream {name[:100]!r}. The upstreams are: "
                f"{', '.join([*self._by_name, *([DEFAULT] if self._default else [])])}.",
                param="x-memory-upstream",
                code="unknown_upstream",
            )
        return upstream

    def _by_settings(self, model: str | None) -> UpstreamRoute | None:
        """Return the upstream that the settings alone decide; None if lists must be read."""
        if self.single is not None:
            return UpstreamRoute(self.single, model)
        if model is None:
            return self._without_model()
        for entry in self._entries:
            if entry.has(model):
                return UpstreamRoute(entry.upstream, model)
        prefix, slash, rest = model.partition("/")
        if slash and rest and prefix in self._by_name:
            return UpstreamRoute(self._by_name[prefix], rest)
        return None

    def _without_model(self) -> UpstreamRoute | None:
        if self._default is not None:
            return UpstreamRoute(self._default, None)
        return UpstreamRoute(self._entries[0].upstream, None) if len(self._entries) == 1 else None

    def _merged(
        self, upstreams: Sequence[Upstream], lists: Sequence[ModelList]
    ) -> Sequence[Mapping[str, Any]]:
        """Return the listed models, the first of each name, that a request by name would reach.

        Exact names of the settings are added where a list lacks them, as Azure's lacks deployments.
        """
        merged: dict[str, Mapping[str, Any]] = {}
        for upstream, model_list in zip(upstreams, lists, strict=True):
            if model_list.failure is not None:
                continue
            for model in (*model_list.models, *self._exact_models(upstream)):
                route = self._by_settings(model["id"])
                owner = None if route is None else route.upstream
                if owner is upstream or (owner is None and upstream in self._without_names):
                    merged.setdefault(model["id"], model)
        return list(merged.values())

    def _exact_models(self, upstream: Upstream) -> Sequence[Mapping[str, Any]]:
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": upstream.name}
            for entry in self._entries
            if entry.upstream is upstream
            for name in entry.exact_names
        ]

    def _unknown_model(self, model: str | None) -> InvalidRequest:
        names = [name for entry in self._entries for name in entry.models]
        for upstream in self._by_list:
            model_list = self._lists.remembered(upstream) or ModelList()
            names += [listed["id"] for listed in model_list.models]
        known = ", ".join(names[:MAX_NAMED_MODELS]) + (
            ", …" if len(names) > MAX_NAMED_MODELS else ""
        )
        said = "'model' is missing" if model is None else f"No upstream serves {model[:200]!r}"
        return InvalidRequest(
            f"{said}. Known models: {known or 'none'}.", param="model", code="unknown_model"
        )


def _matches(pattern: str, model: str) -> bool:
    """Return whether a name or a pattern is a model's: an asterisk is any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model) is not None


def _joined(failures: Mapping[str, str]) -> str:
    return ", ".join(f"no models of {name} ({failure})" for name, failure in failures.items())
