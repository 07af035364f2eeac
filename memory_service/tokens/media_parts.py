"""Media in messages: images, sound, video and files in parts of a content, and their tokens. Pure.

Besides OpenAI's parts, those of the Responses API, Anthropic, MCP and vLLM are read. Data is never
counted as text, in parts of an unknown type neither.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from memory_service.tokens.media_files import audio_seconds, image_size, page_count, text_of
from memory_service.tokens.media_rules import MediaRules

MediaKind = Literal["image", "audio", "video", "file"]

LINKED_SECONDS: Final = 30
"""The assumed length of sound and video that a message only links to."""

PAGE_BYTES: Final = 50_000
"""The assumed size of a page in a document that cannot be read."""

VIDEO_SECOND_TOKENS: Final = 263
"""https://ai.google.dev/gemini-api/docs/tokens; other vendors have no formula."""

# Bytes a second at the lowest data rates in use; OpenAI's pcm16 has 24,000 samples a second.
_RAW_AUDIO_BYTES: Final = 48_000
_AUDIO_BYTES: Final = 4_000
_VIDEO_BYTES: Final = 60_000
_RAW_FORMATS: Final = frozenset({"wav", "pcm", "pcm16"})

_KINDS: Final[tuple[MediaKind, ...]] = ("image", "audio", "video", "file")
_TEXT_TYPES: Final = ("text", "refusal", "input_text", "output_text")
_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)[^,]{0,200},", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{1000}")
_MIN_DATA_CHARS: Final = 2_000
_MAX_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound, video or file in a message; `data` is its base64, empty if it is linked.

    `label` is text that belongs to it, such as its name.
    """

    kind: MediaKind
    data: str = ""
    media_type: str = ""
    label: str = ""
    is_low_detail: bool = False

    @property
    def text(self) -> str:
        """The text that the model reads besides: the name, and the content of a text file."""
        content = text_of(self.data) if self.kind == "file" and self.data else None
        return self.label if content is None else f"{self.label}\n{content}"

    @property
    def size_bytes(self) -> int:
        """The approximate size of the data."""
        return len(self.data) * 3 // 4


def media_of(part: Any) -> Media | None:
    """Return the media that a part of a content is, None if it is something else."""
    if not isinstance(part, Mapping) or part.get("type") in _TEXT_TYPES:
        return None
    fields = list(_fields(part, _MAX_DEPTH))
    kind = _kind_of_type(part.get("type"))
    name, value = max(fields, key=lambda item: len(item[1]), default=("", ""))
    url = _DATA_URL.match(value)
    is_data = url is not None or _is_base64(name, value)
    if kind is None and not is_data:
        return None
    texts = dict(fields)
    media_type = url["type"] if url else texts.get("media_type") or texts.get("mimeType") or ""
    return Media(
        kind=_kind_of_media_type(media_type) or kind or "file",
        data=value[url.end() if url else 0 :] if is_data else "",
        media_type=media_type or texts.get("format", ""),
        label=texts.get("filename") or texts.get("title") or "",
        is_low_detail=texts.get("detail") == "low",
    )


def has_media(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether messages hold media, whose tokens are only estimated."""
    return any(
        "audio" in message
        or (
            isinstance(message.get("content"), list)
            and any(media_of(part) is not None for part in message["content"])
        )
        for message in messages
    )


def media_tokens(media: Media, rules: MediaRules) -> int:
    """Return the tokens of media, without those of its text."""
    if media.kind == "image":
        size = image_size(media.data) if media.data else None
        return rules.image_tokens(size, is_low_detail=media.is_low_detail)
    if media.kind == "audio":
        return rules.audio_tokens(_seconds(media))
    if media.kind == "video":
        return math.ceil(_seconds(media) * VIDEO_SECOND_TOKENS)
    if not media.data:
        return rules.document_tokens(1)
    if text_of(media.data) is not None:
        return 0
    return rules.document_tokens(page_count(media.data) or _assumed_pages(media))


def _seconds(media: Media) -> float:
    if not media.data:
        return LINKED_SECONDS
    return audio_seconds(media.data) or media.size_bytes / _bytes_a_second(media)


def _bytes_a_second(media: Media) -> int:
    if media.kind == "video":
        return _VIDEO_BYTES
    is_raw = media.media_type.rpartition("/")[2] in _RAW_FORMATS
    return _RAW_AUDIO_BYTES if is_raw else _AUDIO_BYTES


def _assumed_pages(media: Media) -> int:
    return max(1, math.ceil(media.size_bytes / PAGE_BYTES))


def _fields(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    """Yield the text fields of nested objects."""
    for name, inner in value.items():
        if isinstance(inner, str):
            yield name, inner
        elif isinstance(inner, Mapping) and depth > 1:
            yield from _fields(inner, depth - 1)


def _is_base64(name: str, value: str) -> bool:
    """Return whether a text is base64 without a URL before it."""
    if name in {"data", "file_data"}:
        return bool(value)
    return len(value) >= _MIN_DATA_CHARS and _BASE64.match(value) is not None


def _kind_of_type(kind: Any) -> MediaKind | None:
    """Return the kind by a part's type, such as `image_url`, `input_audio` or `document`."""
    if not isinstance(kind, str):
        return None
    if kind == "document":
        return "file"
    return next((media for media in _KINDS if media in kind.split("_")), None)


def _kind_of_media_type(media_type: str) -> MediaKind | None:
    family = media_type.partition("/")[0].lower()
    return next((kind for kind in _KINDS if kind == family), None)
