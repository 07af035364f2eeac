"""Tokens of images, sound, video and documents, by the formulas of the models' vendors."""

from __future__ import annotations

import io
import json
import re
import struct
import wave
import zlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.data_files import read_toml
from memory_service.tokens.counting import ModelCounter, count_message
from memory_service.tokens.media_files import audio_seconds, image_size, page_count, text_of
from memory_service.tokens.media_parts import has_media, media_of
from memory_service.tokens.media_rules import ImageSize, media_rules
from tests.support.factories import Words

PARTS = st.sampled_from(["image_url", "input_audio", "file", "document", "video_url", "x"])


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def png(width: int, height: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(4)


def jpeg(width: int, height: int, before: int = 0) -> bytes:
    """Return the header of a JPEG with so many bytes of other segments before the size."""
    segments = b"".join(
        b"\xff\xe2" + struct.pack(">H", 60_000) + bytes(59_998) for _ in range(before // 60_000)
    )
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + segments + frame + b"\xff\xda" + bytes(20)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(10)


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def wav(seconds: float, rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(rate)
        writer.writeframes(bytes(int(seconds * rate)))
    return file.getvalue()


def mp3(seconds: float) -> bytes:
    """Return silent frames of 128 kbit/s and 44,100 Hz."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    return frame * int(seconds * 44_100 / 1_152)


def pdf(pages: int, *, compressed: bool = False, extra: bytes = b"") -> bytes:
    objects = b"".join(b"<< /Type /Page /Parent 2 0 R >>\n" for _ in range(pages))
    tree = b"<< /Type /Pages /Kids [] /Count %d >>\n" % pages
    if compressed:
        stream = zlib.compress(objects)
        objects = b"1 0 obj << /Type /ObjStm /N %d /Length %d >>\nstream\r\n" % (pages, len(stream))
        objects += stream + b"\nendstream\n"
    return b"%PDF-1.7\n" + tree + objects + extra + b"%%EOF"


@pytest.mark.parametrize("make", [png, jpeg, gif, webp])
def test_image_size_is_read_from_header(make: Any) -> None:
    assert image_size(base64(make(1_023, 768))) == (1_023, 768)


def test_image_size_after_other_segments() -> None:
    assert image_size(base64(jpeg(640, 480, before=600_000))) == (640, 480)


@pytest.mark.parametrize("data", ["", "A", "AAAA", "not base64!", "\ud800", base64(png(0, 5))])
def test_image_without_size(data: str) -> None:
    assert image_size(data) is None


def test_length_of_sound_is_read_from_file() -> None:
    assert audio_seconds(base64(wav(12.5))) == pytest.approx(12.5, abs=0.1)
    assert audio_seconds(base64(mp3(30))) == pytest.approx(30, abs=0.5)
    assert audio_seconds(base64(bytes(500))) is None


@pytest.mark.parametrize("compressed", [False, True])
def test_pages_of_a_document_are_counted(*, compressed: bool) -> None:
    assert page_count(base64(pdf(12, compressed=compressed))) == 12
    assert page_count(base64(b"no document")) is None
    assert page_count(base64(b"%PDF-1.7 and nothing")) is None


def test_object_stream_that_cannot_be_read_is_skipped() -> None:
    broken = b"1 0 obj << /Type /ObjStm >>\nstream\nno zlib\nendstream\n"
    assert page_count(base64(pdf(3, extra=broken))) == 3


@given(st.binary(max_size=400) | st.sampled_from([b"RIFF", b"\xff\xd8\xff", b"%PDF-", b"ID3"]))
def test_files_of_any_bytes_are_read(content: bytes) -> None:
    for prefix in (b"", png(5, 5)[:20], wav(0.01)[:40], mp3(0.1)[:50], b"OggS", b"fLaC", b"GIF89a"):
        data = base64(prefix + content)
        for read in (image_size, audio_seconds, page_count, text_of):
            read(data)


SIZES = {
    # OpenAI's own examples.
    ("gpt-4o", 1_024, 1_024): 765,
    ("gpt-4o", 2_048, 4_096): 1_105,
    ("gpt-4o-mini", 1_024, 1_024): 25_501,
    ("gpt-4.1-mini", 1_024, 1_024): 1_659,
    ("gpt-5", 1_024, 1_024): 630,
    ("o1", 1_024, 1_024): 675,
    # Anthropic's own examples.
    ("claude-sonnet-4-5", 1_000, 1_000): 1_334,
    ("anthropic/claude-3-haiku", 200, 200): 54,
    ("claude-3-haiku", 8_000, 8_000): 1_600,
    ("claude-opus-4-8", 1_000, 1_000): 1_296,
    ("gemini-2.5-flash", 384, 384): 258,
    ("gemini-2.5-flash", 960, 540): 516,
    ("gemini-3-pro", 960, 540): 1_120,
    ("qwen2.5-vl-7b-instruct", 1_120, 560): 800,
    ("something-else", 1_024, 1_024): 765,
    ("gpt-4o", 1, 1_000_000): 765,
}


@pytest.mark.parametrize(("model", "width", "height"), list(SIZES))
def test_image_tokens_by_vendor(model: str, width: int, height: int) -> None:
    size = ImageSize(width, height)
    tokens = media_rules(model).image_tokens(size, is_low_detail=False)
    assert tokens == SIZES[model, width, height]


@given(st.sampled_from([m for m, *_ in SIZES]), st.integers(1, 10**6), st.integers(1, 10**6))
def test_image_tokens_are_bounded(model: str, width: int, height: int) -> None:
    tokens = media_rules(model).image_tokens(ImageSize(width, height), is_low_detail=False)
    assert tokens > 0
    if "gemini" not in model:
        assert tokens < 90_000


def cost(part: Any, model: str = "gpt-4o") -> int:
    """Return the tokens of a part."""
    counter = ModelCounter(Words(), media_rules(model))
    return count_message({"content": [part]}, counter) - 3


IMAGE = base64(png(1_024, 1_024))
PDF = base64(pdf(4))
URL = f"data:image/png;base64,{IMAGE}"

COSTS: dict[str, tuple[Any, int]] = {
    "image": ({"type": "image_url", "image_url": {"url": URL}}, 765),
    "image as text": ({"type": "image_url", "image_url": URL}, 765),
    "image, low": ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, 85),
    "linked image": ({"type": "image_url", "image_url": {"url": "https://x/a.png"}}, 1_445),
    "image of the Responses API": (
        {"type": "input_image", "image_url": URL, "detail": "high"},
        765,
    ),
    "image of Anthropic": (
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": IMAGE},
        },
        765,
    ),
    "image of MCP": ({"type": "image", "data": IMAGE, "mimeType": "image/png"}, 765),
    "image that is none": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        1_445,
    ),
    "image in a file": ({"type": "file", "file": {"file_data": URL, "filename": "a.png"}}, 766),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": base64(wav(30)), "format": "wav"}},
        300,
    ),
    "sound without header": (
        {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "pcm16"}},
        10,
    ),
    "linked sound": ({"type": "audio_url", "audio_url": {"url": "https://x/a.mp3"}}, 300),
    "document": (
        {
            "type": "file",
            "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
        },
        4 * 2_500 + 1,
    ),
    "document of the Responses API": (
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}"},
        4 * 2_500,
    ),
    "document by its id": ({"type": "file", "file": {"file_id": "f-1"}}, 2_500),
    "large document that cannot be read": (
        {"type": "file", "file": {"file_data": base64(b"%PDF-" + bytes(3_000_000))}},
        61 * 2_500,
    ),
    "text file": (
        {
            "type": "file",
            "file": {"file_data": base64(b"one two three"), "filename": "a.txt"},
        },
        1 + 3,
    ),
    "data of an unknown type": ({"type": "custom", "blob": URL}, 765),
    "base64 of an unknown type": ({"type": "custom", "blob": base64(bytes(90_000))}, 2 * 2_500),
    "unknown part": ({"type": "custom", "x": "one two"}, 2),
}


@pytest.mark.parametrize("kind", list(COSTS))
def test_tokens_of_media_parts(kind: str) -> None:
    part, tokens = COSTS[kind]
    assert cost(part) == tokens


def test_document_and_image_cost_by_model() -> None:
    document, image = COSTS["document"][0], COSTS["image"][0]
    assert [cost(document, model) for model in ("claude-3", "gemini-2.5")] == [12_001, 1_033]
    assert [cost(image, model) for model in ("claude-3", "gpt-4o-mini")] == [1_399, 25_501]


def test_large_pdf_costs_its_pages() -> None:
    """A document of 3 MB and 30 pages once counted 300,013 tokens."""
    content = pdf(30, extra=bytes(3_000_000))
    assert cost({"type": "file", "file": {"file_data": base64(content)}}) == 75_000


def test_messages_with_media_are_known() -> None:
    assert has_media([{"role": "user", "content": [COSTS["image"][0]]}])
    assert has_media([{"role": "assistant", "content": None, "audio": {"id": "a"}}])
    texts = [{"type": "text", "text": URL}, {"type": "refusal", "refusal": "no"}]
    assert not has_media([{"role": "user", "content": URL}, {"role": "user", "content": texts}])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(URL),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "data", "detail", "file_data", "type"]), inner)
    ),
    max_leaves=8,
)


@given(PARTS, json_values)
def test_part_of_any_shape_is_counted(kind: str, value: Any) -> None:
    part = {"type": kind, kind: value}
    media_of(value)
    assert 0 <= cost(part) < 1_000_000


def test_data_file_is_valid() -> None:
    families = read_toml("memory_service.tokens", "media.toml")["families"]
    for family in families:
        assert set(family) == {"name", "models", "source", "image", "audio_second", "page"}
        re.compile(family["models"])
        rules = media_rules(family["models"])
        assert rules.image_tokens(None, is_low_detail=False) > 0
    assert families[-1]["models"] == ""
    assert json.dumps(families)
