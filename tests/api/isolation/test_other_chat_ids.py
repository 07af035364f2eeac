"""A chat completion or a response with ids of another project reads and changes nothing there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.isolation.routes import BODIES, CHAT, CHAT_IDS, RESPONSE_IDS, RESPONSES
from tests.api.isolation.tenants import Tenant, World
from tests.support.factories import message

ASKED = [
    *((CHAT, name, fields) for name, fields in CHAT_IDS.items()),
    *((RESPONSES, name, fields) for name, fields in RESPONSE_IDS.items()),
]


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize(("path", "name", "fields"), ASKED)
def test_request_to_the_model_with_ids_of_another_project(
    world: World, ann: Tenant, bob: Tenant, path: str, name: str, fields: Any, mode: str
) -> None:
    text = json.dumps(fields)
    for kind in ("conversation", "user", "response"):
        text = text.replace(f"{{{kind}}}", ann.ids[kind])
    sent = json.loads(text)
    headers = {**sent.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {bob.key}"}
    before = world.export(ann)
    asked = len(world.upstream.requests)
    body = {**BODIES[path], **sent.get("json", {})}
    answer = world.http.post(path, json=body, headers=headers)
    assert answer.status_code == (400 if name == "previous_response_id" else 200), answer.text
    assert world.export(ann) == before
    forwarded = [request.content.decode() for request in world.upstream.requests[asked:]]
    visible_text = "".join([answer.text, *forwarded])
    assert [secret for secret in (f"walrus of {ann.name}", ann.key) if secret in visible_text] == []


def test_chat_message_with_item_id_of_another_project(
    world: World, ann: Tenant, bob: Tenant
) -> None:
    before = world.export(ann)
    messages = [{**message("mine"), "id": ann.ids["item"]}]
    body = {"model": "m", "messages": messages, "conversation": "own"}
    assert bob.call("POST", CHAT, json=body).status_code == 200
    assert (len(world.export(bob)), world.export(ann)) == (2, before)
