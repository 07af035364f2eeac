"""A chat completion or a response with ids of another project reads and changes nothing there."""

from __future__ import annotations

import json

import pytest

from tests.api.isolation.routes import BODIES, CHAT, CHAT_IDS, RESPONSES
from tests.api.isolation.tenants import Tenant, World
from tests.support.factories import message


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize("name", list(CHAT_IDS))
def test_chat_completion_with_ids_of_another_project(
    world: World, ann: Tenant, bob: Tenant, name: str, mode: str
) -> None:
    conversation, user = ann.ids["conversation"], ann.ids["user"]
    text = json.dumps(CHAT_IDS[name])
    fields = json.loads(text.replace("{conversation}", conversation).replace("{user}", user))
    headers = {**fields.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {bob.key}"}
    before = world.export(ann)
    body = {**BODIES[CHAT], **fields.get("json", {})}
    answer = world.http.post(CHAT, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert world.export(ann) == before
    visible_text = answer.text + world.upstream.last.content.decode()
    assert [secret for secret in (f"walrus of {ann.name}", ann.key) if secret in visible_text] == []


def test_chat_message_with_item_id_of_another_project(
    world: World, ann: Tenant, bob: Tenant
) -> None:
    before = world.export(ann)
    messages = [{**message("mine"), "id": ann.ids["item"]}]
    body = {"model": "m", "messages": messages, "conversation": "own"}
    assert bob.call("POST", CHAT, json=body).status_code == 200
    assert (len(world.export(bob)), world.export(ann)) == (2, before)


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize("name", ["x-conversation-id", "conversation", "user"])
def test_response_with_ids_of_another_project(
    world: World, ann: Tenant, bob: Tenant, name: str, mode: str
) -> None:
    conversation, user = ann.ids["conversation"], ann.ids["user"]
    text = json.dumps(CHAT_IDS[name])
    fields = json.loads(text.replace("{conversation}", conversation).replace("{user}", user))
    headers = {**fields.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {bob.key}"}
    before = world.export(ann)
    body = {**BODIES[RESPONSES], **fields.get("json", {})}
    answer = world.http.post(RESPONSES, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert world.export(ann) == before
    visible_text = answer.text + world.upstream.last.content.decode()
    assert f"walrus of {ann.name}" not in visible_text


def test_response_of_another_project_is_not_continued(
    world: World, ann: Tenant, bob: Tenant
) -> None:
    before = world.export(ann)
    for response_id in (ann.ids["response"], "resp_unknown"):
        body = {**BODIES[RESPONSES], "previous_response_id": response_id}
        error = bob.call("POST", RESPONSES, json=body).json()["error"]
        assert error["message"] == f"Previous response with id {response_id!r} not found."
    assert world.export(ann) == before


def test_reference_to_an_item_of_another_project(world: World, ann: Tenant, bob: Tenant) -> None:
    reference = {"type": "item_reference", "id": ann.ids["item"]}
    body = {"model": "m", "input": [reference, message("What is that?")]}
    answer = bob.call("POST", RESPONSES, json=body)
    assert answer.status_code == 200, answer.text
    visible_text = answer.text + world.upstream.last.content.decode()
    assert f"walrus of {ann.name}" not in visible_text
