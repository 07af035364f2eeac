"""A running service in front of the stand-in upstream, with helpers for tests of the gateway."""

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
from memory_service.core.models import Turn
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
class RunningGateway:
    """A service at `address`, its log, its upstream, and clients of the service."""

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
        """Send a chat completion and return the response, whatever its status."""
        sent = user(messages) if isinstance(messages, str) else messages
        request = {"model": "m", "messages": sent, **body}
        return self.http.post("/v1/chat/completions", json=request, headers=headers)

    def items(self, conversation: str) -> list[dict[str, Any]]:
        """Return the items of the active branch of a conversation, oldest first."""
        path = f"/v1/conversations/{conversation}/items"
        response = self.http.get(path, params={"order": "asc", "limit": 100}).raise_for_status()
        return list(response.json()["data"])

    def texts(self, conversation: str) -> list[str]:
        """Return the texts of the active branch, oldest first."""
        return [
            "\n".join(part.get("text") or part["type"] for part in item["content"])
            for item in self.items(conversation)
            if item["type"] == "message"
        ]

    def turn_count(self, conversation: str) -> int:
        """Return the number of turns of all branches."""
        return len(self.all_texts(conversation))

    def all_texts(self, conversation: str) -> list[str]:
        """Return the texts of all branches, oldest first."""
        return [turn.text for turn in self.all_turns(conversation)]

    def all_turns(self, conversation: str) -> list[Turn]:
        """Return the turns of all branches, oldest first; none of an unknown conversation."""
        with self.log.read() as snapshot:
            project = snapshot.projects.key_of("local")
            stored = None if project is None else snapshot.conversations.get(project, conversation)
            return [] if stored is None else list(snapshot.turns.all(stored.key))

    def wait_for(self, conversation: str, turns: int) -> None:
        """Wait until a conversation has at least that many turns."""
        eventually(lambda: self.turn_count(conversation) >= turns)


def new_id() -> str:
    """Return an id that no other test uses."""
    return f"c{next(_NUMBERS)}"


def in_conversation(conversation: str, **headers: str) -> dict[str, str]:
    """Return headers that name a conversation."""
    return {"x-conversation-id": conversation, **headers}


def user(text: str) -> Messages:
    """Return a list of one message of the user."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> Messages:
    """Return a list of one message of the assistant."""
    return [{"role": "assistant", "content": text}]


@contextmanager
def gateway(
    folder: Path, *, light: bool = False, embedder: Embedder | None = None, **settings: Any
) -> Iterator[RunningGateway]:
    """Run a service in a folder, in front of an upstream of its own.

    A `light` service has no Chroma and starts in a few milliseconds.
    """
    with running_upstream() as upstream:
        values = {
            "upstream_base_url": upstream.base_url,
            "log_level": "warning",
            # Summaries would be requested from the same upstream, between the requests of a test.
            "summaries": False,
            "upstream_model_lists": False,
            **settings,
        }
        gateway_settings = Settings(
            data_dir=folder / "data",
            port=0,
            tiktoken_cache_dir=folder / "no-vocabularies",
            **values,
        )
        with (
            _light(gateway_settings, embedder)
            if light
            else running(gateway_settings, "tests") as address,
            connected(address, "none") as client,
            httpx2.Client(base_url=address, timeout=60) as http,
            closing(open_log(gateway_settings.data_dir)) as log,
        ):
            yield RunningGateway(address, upstream, log, http, client)


@contextmanager
def _light(settings: Settings, embedder: Embedder | None) -> Iterator[str]:
    with (
        idle_service(settings, embedder=embedder) as service,
        serving(create_app(settings, opened=service)) as base,
    ):
        yield base
