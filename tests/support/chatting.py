"""A running service in front of the stand-in upstream, and what tests ask of the two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from memory_service.api.app import create_app
from memory_service.composition.data_folder import open_log
from memory_service.core.protocols import Embedder
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.turn_log.log import TurnLog
from tests.support.environment import connected
from tests.support.storing import eventually, idle_service
from tests.support.upstream import Upstream, running_upstream, serving

Messages = list[dict[str, Any]]

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Gateway:
    """A service at `address`, its log, and its upstream."""

    address: str
    upstream: Upstream
    log: TurnLog
    http: httpx2.Client
    openai: openai.OpenAI

    def send(
        self,
        messages: Messages | str,
        *,
        headers: dict[str, str] | dict[bytes, bytes] | None = None,
        **body: Any,
    ) -> httpx2.Response:
        """Ask for a completion and return the response as it is."""
        said = user(messages) if isinstance(messages, str) else messages
        request = {"model": "m", "messages": said, **body}
        return self.http.post("/v1/chat/completions", json=request, headers=headers)

    def items(self, conversation: str) -> list[dict[str, Any]]:
        """Return the items of a conversation's live branch, oldest first."""
        where = f"/v1/conversations/{conversation}/items"
        found = self.http.get(where, params={"order": "asc", "limit": 100}).raise_for_status()
        return list(found.json()["data"])

    def said(self, conversation: str) -> list[str]:
        """Return what the live branch says."""
        return [
            "\n".join(part.get("text") or part["type"] for part in item["content"])
            for item in self.items(conversation)
            if item["type"] == "message"
        ]

    def stored(self, conversation: str) -> int:
        """Return how many turns all branches have."""
        return len(self.everything(conversation))

    def everything(self, conversation: str) -> list[str]:
        """Return the texts of all branches by time."""
        with self.log.read() as snapshot:
            project = snapshot.projects.key_of("local")
            found = None if project is None else snapshot.conversations.get(project, conversation)
            return [] if found is None else [turn.text for turn in snapshot.turns.all(found.key)]

    def wait_for(self, conversation: str, turns: int) -> None:
        """Wait until a conversation has that many turns."""
        eventually(lambda: self.stored(conversation) >= turns)


def new_id() -> str:
    """Return the id of a conversation or a user that no other test uses."""
    return f"c{next(_NUMBERS)}"


def user(text: str) -> Messages:
    """Return a list of one message."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> Messages:
    """Return a list of one answer."""
    return [{"role": "assistant", "content": text}]


@contextmanager
def gateway(
    folder: Path, *, light: bool = False, embedder: Embedder | None = None, **settings: Any
) -> Iterator[Gateway]:
    """Run a service in a folder, in front of an upstream of its own.

    A light one has no Chroma and starts in no time.
    """
    with running_upstream() as upstream:
        values = {
            "upstream_base_url": upstream.base_url,
            "log_level": "warning",
            # They would ask the same upstream, in between.
            "summaries": False,
            **settings,
        }
        chosen = Settings(
            data_dir=folder / "data",
            port=0,
            tiktoken_cache_dir=folder / "no-vocabularies",
            **values,
        )
        with (
            _light(chosen, embedder) if light else running(chosen, "tests") as address,
            connected(address, "none") as client,
            httpx2.Client(base_url=address, timeout=60) as http,
            closing(open_log(chosen.data_dir)) as log,
        ):
            yield Gateway(address, upstream, log, http, client)


@contextmanager
def _light(settings: Settings, embedder: Embedder | None) -> Iterator[str]:
    with (
        idle_service(settings, embedder=embedder) as service,
        serving(create_app(settings, opened=service)) as base,
    ):
        yield base
