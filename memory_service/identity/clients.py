"""Known clients: how they are recognised, where they name conversation and user, what is no talk.

The facts are in `data/clients.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from memory_service.core.data_files import read_toml
from memory_service.identity.ids import given
from memory_service.identity.sent_request import SentRequest

SourceKind = Literal["header", "field", "message"]


@dataclass(frozen=True, slots=True)
class Source:
    """A place of a request that holds an id.

    A header, a field of the body by its path, or a field of the user's last message that has it.
    """

    kind: SourceKind
    name: str

    def read(self, request: SentRequest) -> Any:
        """Return the value, whatever its type; None if there is none."""
        if self.kind == "header":
            return request.headers.get(self.name)
        if self.kind == "field":
            return request.field(self.name)
        message = request.last_named_message
        return None if message is None else message.get(self.name)

    def __str__(self) -> str:
        return self.name if self.kind != "message" else f"messages.{self.name}"


@dataclass(frozen=True, slots=True)
class RequestPattern:
    """Regular expressions that parts of a request match, all of them; None matches every request.

    Headers and fields are compared without placeholders.
    """

    headers: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    fields: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    system: re.Pattern[str] | None = None
    only_message: re.Pattern[str] | None = None
    last_message: re.Pattern[str] | None = None

    def matches(self, request: SentRequest) -> bool:
        """Return whether a request matches."""
        return (
            all(_has(p, request.headers.get(name)) for name, p in self.headers.items())
            and all(_has(p, request.field(path)) for path, p in self.fields.items())
            and (self.system is None or self.system.search(request.system_text) is not None)
            and (
                self.only_message is None or self.only_message.search(request.only_text) is not None
            )
            and (
                self.last_message is None or self.last_message.search(request.last_text) is not None
            )
        )


@dataclass(frozen=True, slots=True)
class SkipRule:
    """Requests that are no conversation, and what they are for, such as "title"."""

    reason: str
    pattern: RequestPattern


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A client program; `recognised_by` has alternatives, without any its sources suffice.

    The sources are tried in their order. `source_files` say where the facts were read.
    """

    name: str
    source_files: Sequence[str]
    recognised_by: Sequence[RequestPattern] = ()
    conversation: Sequence[Source] = ()
    user: Sequence[Source] = ()
    skipped: Sequence[SkipRule] = ()

    def sent(self, request: SentRequest) -> bool:
        """Return whether the client may have sent a request."""
        return not self.recognised_by or any(
            pattern.matches(request) for pattern in self.recognised_by
        )


@cache
def known_clients() -> Sequence[KnownClient]:
    """Return the clients of the data file, which is read once."""
    content = read_toml("memory_service.identity", "clients.toml")
    return [_client(name, **table) for name, table in content.items()]


def _client(
    name: str,
    *,
    sources: Sequence[str],
    recognised_by: Sequence[Mapping[str, Any]] = (),
    conversation: Sequence[Mapping[str, str]] = (),
    user: Sequence[Mapping[str, str]] = (),
    skipped: Sequence[Mapping[str, Any]] = (),
) -> KnownClient:
    return KnownClient(
        name=name,
        source_files=sources,
        recognised_by=[_pattern(**table) for table in recognised_by],
        conversation=[_source(table) for table in conversation],
        user=[_source(table) for table in user],
        skipped=[_rule(**table) for table in skipped],
    )


def _rule(*, reason: str, **pattern: Any) -> SkipRule:
    return SkipRule(reason, _pattern(**pattern))


def _pattern(
    *,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
    **texts: str,
) -> RequestPattern:
    return RequestPattern(
        headers={name: re.compile(pattern) for name, pattern in (headers or {}).items()},
        fields={path: re.compile(pattern) for path, pattern in (fields or {}).items()},
        **{name: re.compile(pattern) for name, pattern in texts.items()},
    )


def _source(table: Mapping[str, str]) -> Source:
    """Return a source; the table has one entry, its kind and its name."""
    (kind, name), *rest = table.items()
    if rest or kind not in {"header", "field", "message"}:
        raise ValueError(f"A source is a header, a field or a message's field, not {table}.")
    return Source(kind, name)  # type: ignore[arg-type]  # checked above


def _has(pattern: re.Pattern[str], value: Any) -> bool:
    text = given(value)
    return text is not None and pattern.search(text) is not None
