"""Sizes of media in base64: pixels of an image, seconds of sound, pages of a document.

Each file is read as far as its size needs; what cannot be read has no size. Nothing here raises an
error: files come from callers.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from threading import Lock
from typing import Final

import imagesize
from cachetools import LRUCache, cached
from tinytag import TinyTag, TinyTagException

from memory_service.tokens.media_rules import ImageSize

# Formats have the size near the beginning; pictures and colour profiles may come before it.
_HEADER_CHARS: Final = (16_384, 1_048_576)
_MAX_PIXELS: Final = 1_000_000

_PDF: Final = b"%PDF-"
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
# A stream of compressed objects; since PDF 1.5 the objects of pages are in such streams.
_OBJECT_STREAM = re.compile(rb"/Type\s*/ObjStm.{0,400}?>>\s*stream\r?\n", re.DOTALL)
_MAX_STREAMS: Final = 2_000
_MAX_STREAM_BYTES: Final = 1_048_576

_CACHED_FILES: Final = 512
_READ_ERRORS = (ValueError, TypeError, KeyError, IndexError, OSError, struct.error, OverflowError)


def _key(data: str) -> tuple[int, int]:
    """Return a cache key: a string computes its hash once, however often it is counted."""
    return hash(data), len(data)


def image_size(data: str) -> ImageSize | None:
    """Return the size of an image in base64, None if it has none."""
    for chars in _HEADER_CHARS:
        header = _decoded(data[:chars])
        with suppress(*_READ_ERRORS):
            width, height = imagesize.get(BytesIO(header))
            if 0 < width <= _MAX_PIXELS and 0 < height <= _MAX_PIXELS:
                return ImageSize(int(width), int(height))
        if len(data) <= chars:
            return None
    return None


@cached(LRUCache(_CACHED_FILES), key=_key, lock=Lock())
def audio_seconds(data: str) -> float | None:
    """Return the length of sound in base64, None if it cannot be read."""
    with suppress(TinyTagException, *_READ_ERRORS):
        tag = TinyTag.get(file_obj=BytesIO(_decoded(data)), tags=False)
        if tag.duration is not None and tag.duration > 0:
            return float(tag.duration)
    return None


@cached(LRUCache(_CACHED_FILES), key=_key, lock=Lock())
def page_count(data: str) -> int | None:
    """Return the number of pages of a PDF in base64, None if it cannot be read.

    The objects of pages are counted, which takes a time that is bounded by the file's size.
    """
    content = _decoded(data)
    if not content.startswith(_PDF):
        return None
    pages = len(_PAGE.findall(content))
    pages += sum(len(_PAGE.findall(stream)) for stream in _object_streams(content))
    return pages or None


@cached(LRUCache(_CACHED_FILES), key=_key, lock=Lock())
def text_of(data: str) -> str | None:
    """Return the text of a text file in base64, None if it is something else."""
    content = _decoded(data)
    if not content or b"\x00" in content or content.startswith(_PDF):
        return None
    with suppress(UnicodeDecodeError):
        return content.decode()
    return None


def _object_streams(content: bytes) -> Iterator[bytes]:
    """Yield the object streams of a PDF that are compressed in the usual way, decompressed."""
    for number, match in enumerate(_OBJECT_STREAM.finditer(content)):
        if number == _MAX_STREAMS:
            return
        with suppress(zlib.error):
            yield zlib.decompressobj().decompress(
                content[match.end() : match.end() + _MAX_STREAM_BYTES], _MAX_STREAM_BYTES
            )


def _decoded(data: str) -> bytes:
    """Return the bytes of base64, which may be cut anywhere, and may lack its padding."""
    characters = data.encode("ascii", "ignore").translate(None, b" \t\r\n")
    characters = characters.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    with suppress(Base64Error):
        return b64decode(characters[: len(characters) // 4 * 4])
    return b""
