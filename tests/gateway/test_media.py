"""Images, audio and files of a conversation are stored once, and forwarded within a bound."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from memory_service.conversations.export import export_lines
from memory_service.core.settings import Settings
from memory_service.service import LOCAL_PROJECT
from memory_service.turn_log.log import FILE_NAME
from memory_service.turn_log.sqlite import open_engine
from tests.support.chatting import RunningGateway, assistant, gateway, in_conversation, new_id
from tests.support.file_search import words_left
from tests.support.storing import append, create, findings, idle_service

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("media")
    with gateway(folder, light=True, recent_media_mib=1, max_body_bytes=64 * MIB) as running:
        running.upstream.count = lambda _: 1
        yield running


def image(seed: int, size: int = MIB * 2 // 5) -> dict[str, Any]:
    content = b64encode(random.Random(seed).randbytes(size)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{content}"}}


def look(number: int, **fields: Any) -> dict[str, Any]:
    text = {"type": "text", "text": f"What is in picture {number}?"}
    return {"role": "user", "content": [text, image(number)], **fields}


def media_count(chat: RunningGateway) -> int:
    with chat.log.read() as snapshot:
        return sum(1 for _ in snapshot.media.all())


def test_images_are_stored_once_and_forwarded_within_the_bound(chat: RunningGateway) -> None:
    conversation, before = new_id(), chat.log.size_bytes()
    history: list[dict[str, Any]] = []
    for number in range(3):
        history.append(look(number))
        chat.send(history, headers=in_conversation(conversation)).raise_for_status()
        history += assistant(f"You said: What is in picture {number}?\n[image_url]")
    assert chat.turn_count(conversation) == 6
    assert media_count(chat) == 3
    # The last image again, in another conversation and as the only message.
    for _ in range(2):
        chat.send([look(2)], headers=in_conversation(new_id())).raise_for_status()
    assert media_count(chat) == 3
    chat.send("And now?", headers=in_conversation(conversation)).raise_for_status()
    contents = [message["content"] for message in chat.upstream.last.messages]
    images = [content[1] for content in contents if isinstance(content, list) and content[1:]]
    assert images == [{"type": "text", "text": "[image]"}, image(1), image(2)]
    assert len(chat.upstream.last.content) < 1.5 * MIB
    with chat.log.write() as transaction:
        transaction.properties.set("x", "y")
    chat.log.checkpoint()
    assert chat.log.size_bytes() - before < 3 * MIB * 2 // 5 * 1.5


def test_stored_items_and_exports_have_the_whole_content(chat: RunningGateway) -> None:
    conversation = new_id()
    message = look(7)
    message["content"].append(
        {"type": "input_audio", "input_audio": {"data": "QUJD" * 600, "format": "wav"}}
    )
    chat.send([message], headers=in_conversation(conversation)).raise_for_status()
    item = chat.items(conversation)[0]
    assert item["content"][1:] == message["content"][1:]
    path = f"/v1/conversations/{conversation}/items/{item['id']}"
    assert chat.http.get(path).json()["content"] == item["content"]
    lines = [json.loads(line) for line in export_lines(chat.log, LOCAL_PROJECT)]
    (exported,) = (line for line in lines if line["id"] == conversation)
    assert json.loads(exported["items"][0]["raw"]) == message
    appended = chat.http.post(
        f"/v1/conversations/{conversation}/items", json={"items": [look(8)]}
    ).raise_for_status()
    assert appended.json()["data"][0]["content"][1] == look(8)["content"][1]


def test_media_are_deleted_with_their_last_turn(settings: Settings) -> None:
    word = b"unmistakable-bytes-of-an-image"
    content = b64encode(word * 100).decode()
    item = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": content}}]}
    with idle_service(settings) as service:
        create(service, "a", item, item)
        (turn,) = append(service, "a", item)
        create(service, "b", item, user="ann")
        project = service.local_project()
        assert findings(service) == []
        receipts = [
            service.deletions.delete_item(project, "a", turn.id)[1],
            service.deletions.delete_conversation(project, "a"),
        ]
        assert [receipt.counts.get("media", 0) for receipt in receipts] == [0, 0]
        assert _media(settings.data_dir) == [word * 100]
        receipt = service.deletions.delete_user(project, "ann")
        assert receipt.counts["media"] == 1
        assert findings(service) == []
    assert _media(settings.data_dir) == []
    assert words_left(settings.data_dir, [word.decode()]) == set()


def test_damaged_and_unreferenced_media_are_found(settings: Settings) -> None:
    item = {"role": "user", "content": [image(1)]}
    with idle_service(settings) as service:
        create(service, "a", item)
        create(service, "b", {"role": "user", "content": [image(2)]})
        engine = open_engine(settings.data_dir / FILE_NAME)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE media SET content = X'00' WHERE key = 1")
            connection.exec_driver_sql("DELETE FROM turn_media WHERE media_key = 2")
        engine.dispose()
        messages = " ".join(findings(service))
    for problem in ("media 1: the hash differs", "media 2: no turn", "content hash differs"):
        assert problem in messages


def test_projects_do_not_share_media(settings: Settings) -> None:
    item = {"role": "user", "content": [image(1)]}
    with idle_service(settings) as service:
        create(service, "a", item)
        create(service, "a", item, project="other")
        with service.log.read() as snapshot:
            assert sum(1 for _ in snapshot.media.all()) == 2


def _media(folder: Path) -> list[bytes]:
    engine = open_engine(folder / FILE_NAME)
    with engine.connect() as connection:
        contents = list(connection.scalars(sa.text("SELECT content FROM media")))
    engine.dispose()
    return contents
