"""Media are cut out of the JSON of items, and joined again byte for byte."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_service.items.media import (
    MIN_CHARS,
    cut_media,
    join_hashes,
    join_media,
    leave_out_media,
    may_have_media,
)
from memory_service.items.message_hash import message_hash

IMAGE = bytes(range(256)) * 8
BASE64 = b64encode(IMAGE).decode()
SMALL = b64encode(b"small").decode()
URL = f"data:image/png;base64,{BASE64}"
PARTS: dict[str, dict[str, Any]] = {
    "image": {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
    "image of items": {"type": "input_image", "image_url": URL},
    "audio": {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
    "file": {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{BASE64}"}},
    "file without a type": {"type": "file", "file": {"file_data": BASE64, "filename": "a.pdf"}},
    "nested": {"type": "tool_result", "content": [{"source": {"data": BASE64}}]},
}


def message(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "Look."}, *parts]}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("count", [1, 3])
def test_media_are_cut_and_joined(part: dict[str, Any], count: int) -> None:
    sent = message(*[part] * count)
    raw = json.dumps(sent)
    cut = cut_media(raw)
    assert [medium.content for medium in cut.media] == [IMAGE] * count
    assert len(cut.raw) < MIN_CHARS
    assert may_have_media(cut.raw)
    assert join_media(cut.raw, cut.media) == raw
    marked = join_hashes(cut.raw, [(medium.start, medium.hash) for medium in cut.media])
    assert message_hash(json.loads(marked)) == message_hash(sent)
    left_out = json.loads(leave_out_media(cut.raw, [medium.start for medium in cut.media]))
    assert left_out["content"][0] == sent["content"][0]
    assert left_out["content"][1]["text"] in {"[image]", "[audio]", "[file]"}


def test_messages_with_different_media_have_different_hashes() -> None:
    other = b64encode(IMAGE[::-1]).decode()
    hashes = {
        message_hash(message(json.loads(json.dumps(PARTS["image"]).replace(BASE64, base64))))
        for base64 in (BASE64, other, BASE64 + "AAAA", SMALL)
    }
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "escaped",
    [
        BASE64.replace("/", r"\/"),
        BASE64.replace("+", r"\u002B"),
        BASE64.replace("+", r"\u002b").replace("/", r"\u002f"),
    ],
)
def test_escaped_base64_is_the_same_medium(escaped: str) -> None:
    raw = json.dumps(message(PARTS["image"])).replace(BASE64, escaped)
    cut = cut_media(raw)
    assert [medium.content for medium in cut.media] == [IMAGE]
    assert join_media(cut.raw, cut.media) == raw


@pytest.mark.parametrize(
    "value",
    [
        SMALL,
        BASE64 + "\n",
        BASE64[:-1] + "B",
        BASE64[:-1],
        BASE64 + "=",
        BASE64.replace("/", r"\/", 1),
        "A" * 4_001,
        "A" * 4_000 + "B=",
    ],
)
def test_other_spellings_stay_in_the_json(value: str) -> None:
    escaped = value.replace("\n", r"\n")
    raw = f'{{"role":"user","content":[{{"type":"x","data":"{escaped}"}}]}}'
    cut = cut_media(raw)
    assert join_media(cut.raw, cut.media) == raw
    if cut.media:
        # Only the last cases may be canonical base64.
        assert len(value) % 4 == 0
    marked = join_hashes(cut.raw, [(medium.start, medium.hash) for medium in cut.media])
    assert message_hash(json.loads(marked)) == message_hash(json.loads(raw))


@pytest.mark.parametrize("text", [URL, BASE64, f'{{"url":"{URL}"}}', f"![]({URL})"])
def test_text_is_not_cut(text: str) -> None:
    for item in ({"role": "user", "content": text}, message({"type": "text", "text": text})):
        assert not cut_media(json.dumps(item)).media


@settings(max_examples=20)
@given(
    st.lists(
        st.sampled_from([*PARTS.values(), {"type": "text", "text": '"data":""'}])
        | st.binary(min_size=700, max_size=900).map(
            lambda content: {"type": "x", "data": b64encode(content).decode()}
        ),
        max_size=4,
    ),
    st.sampled_from([None, 2]),
)
def test_any_item_is_joined_byte_for_byte(parts: list[Any], indent: int | None) -> None:
    raw = json.dumps(message(*parts), indent=indent)
    cut = cut_media(raw)
    assert join_media(cut.raw, cut.media) == raw
    assert not cut.media or may_have_media(cut.raw)
    marked = join_hashes(cut.raw, [(medium.start, medium.hash) for medium in cut.media])
    assert message_hash(json.loads(marked)) == message_hash(json.loads(raw))
