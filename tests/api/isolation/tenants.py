"""Projects that the tests of isolation compare, behind one running server."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx2

from memory_service.conversations.export import export_lines
from memory_service.core import clock
from memory_service.core.models import NewSummary
from memory_service.turn_log.log import TurnLog
from tests.support.factories import message
from tests.support.upstream import Upstream

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Tenant:
    """A project with one of each kind of stored thing, with unique texts and ids."""

    name: str
    key: str
    http: httpx2.Client
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> list[str]:
        """The ids, texts and the key that no other project may read."""
        return [*self.ids.values(), f"walrus of {self.name}", f"title of {self.name}", self.key]

    def call(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with the project's key."""
        headers = {"authorization": f"Bearer {self.key}"}
        return self.http.request(method, path, headers=headers, **request)

    def fill(self) -> None:
        """Store a conversation, an item, a user, a receipt, a trace and a response."""
        conversation, item, user = (f"{kind}-of-{self.name}" for kind in ("conv", "item", "user"))
        words = [message(f"walrus of {self.name}", id=item), message("umbrella", "assistant")]
        body = {"id": conversation, "user": user, "title": f"title of {self.name}", "items": words}
        self.call("POST", "/v1/conversations", json=body).raise_for_status()
        deleted = f"/v1/conversations/{conversation}-gone"
        self.call("POST", "/v1/conversations", json={"id": f"{conversation}-gone"})
        receipt = self.call("DELETE", deleted).raise_for_status().json()["receipt"]
        query = {"query": "walrus", "conversation_id": conversation}
        trace = self.call("POST", "/v1/search", json=query).raise_for_status().json()["trace_id"]
        self.ids.update(
            conversation=conversation, item=item, user=user, receipt=receipt, trace=trace
        )
        asked = {"model": "m", "input": f"walrus of {self.name}?", "conversation": conversation}
        response = self.call("POST", "/v1/responses", json=asked).raise_for_status().json()["id"]
        items = self.call("GET", f"/v1/responses/{response}/input_items").raise_for_status()
        self.ids.update(response=response, input_item=items.json()["data"][0]["id"])

    def respond(self) -> None:
        """Store a response."""
        item = message("a question", id=f"question-of-{self.name}")
        body = {"model": "m", "input": [item], "conversation": self.ids["conversation"]}
        response = self.call("POST", "/v1/responses", json=body).raise_for_status().json()
        self.ids.update(response=response["id"], input_item=item["id"])

    def complete(self) -> None:
        """Store a chat completion."""
        body = {"model": "m", "messages": [message(f"walrus of {self.name}")], "store": True}
        completion = self.call("POST", "/v1/chat/completions", json=body).raise_for_status().json()
        self.ids.update(completion=completion["id"], completion_message=f"{completion['id']}-0")


@dataclass(frozen=True)
class World:
    """A running server, its log and its upstream."""

    http: httpx2.Client
    log: TurnLog
    upstream: Upstream

    def tenant(self, name: str = "", *, filled: bool = True) -> Tenant:
        """Return a new project."""
        name = name or f"project{next(NUMBERS)}x"
        with self.log.write() as transaction:
            project = transaction.projects.ensure(name, clock.now())
            tenant = Tenant(name, transaction.api_keys.create(project, clock.now()), self.http)
        if filled:
            tenant.fill()
            tenant.ids["summary"] = self.summarise(project, tenant)
            tenant.respond()
            tenant.complete()
        return tenant

    def summarise(self, project: int, tenant: Tenant) -> str:
        """Store a summary of the tenant's conversation and return its id."""
        with self.log.write() as transaction:
            conversation = transaction.conversations.get(project, tenant.ids["conversation"])
            assert conversation is not None
            turns = list(transaction.turns.all(conversation.key))
            new = NewSummary(1, 1, 2, turns[-1].key, 0, 0, tuple(turn.key for turn in turns))
            text = f"a walrus of {tenant.name}"
            transaction.summaries.add(
                conversation.key, new, text=text, model="m", vector=None, now=0
            )
            return str(transaction.summaries.all(conversation.key)[0].id)

    def export(self, tenant: Tenant) -> list[str]:
        """Return everything that a project has stored."""
        return list(export_lines(self.log, tenant.name))
