"""Token counters for models: tiktoken's encoding if its vocabulary is available, else an estimate.

No other file imports tiktoken.
"""

from __future__ import annotations

from pathlib import Path
from threading import Condition
from types import FunctionType
from typing import Any, Final

import structlog
import tiktoken
from cachetools import cached
from cachetools.keys import hashkey
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it publishes none

from memory_service.core.settings import Settings
from memory_service.tokens.cache import CachedCounter
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.estimate import OfflineCounter
from memory_service.tokens.llama_tokenizer import open_tokenizer, tokenizer_file
from memory_service.tokens.model_table import encoding_name
from memory_service.tokens.slices import count_in_slices, well_formed
from memory_service.tokens.vocabularies import (
    Fetch,
    VocabularyError,
    download,
    parse_ranks,
    read_vocabulary,
)
from memory_service.tokens.word_pieces import WordPieces

ENCODINGS: Final = ("o200k_base", "cl100k_base")

_LOADER: Final = "load_tiktoken_bpe"

logger = structlog.get_logger(__name__)


class TiktokenCounter:
    """Counts with a vocabulary of tiktoken; text that spells a special token is plain text."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding
        self.name = f"tiktoken:{encoding.name}"

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return count_in_slices(well_formed(text), self._count)

    def _count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


def _counter_key(
    encoding: str, *, allow_download: bool, cache_dir: Path | None, fetch: Fetch = download
) -> tuple[object, ...]:
    """Return the cache key of a counter; it leaves out `fetch`, which does not change counts."""
    del fetch
    return hashkey(encoding, allow_download, cache_dir)


# While one thread opens a counter, which may download it, threads that need another do not wait.
@cached({}, key=_counter_key, condition=Condition())
def open_counter(
    encoding: str, *, allow_download: bool, cache_dir: Path | None, fetch: Fetch = download
) -> TokenCounter:
    """Return the counter for one of `ENCODINGS`, the same one on every call.

    `cache_dir` is tiktoken's cache, or None if there is none. A file in it is used only if its
    hash is right. Otherwise it is downloaded, if that is allowed, and written to the cache; if that
    fails too, the estimate counts and one warning is logged. A process keeps the counters that it
    has opened, so that counts do not change while it runs.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r}; known are {', '.join(ENCODINGS)}")
    return CachedCounter(_open(encoding, cache_dir, fetch if allow_download else None))


def counter_of(settings: Settings, model: str | None) -> TokenCounter:
    """Return the counter for a model; the settings say where vocabularies are."""
    return open_counter(
        encoding_name(model),
        allow_download=settings.tiktoken_download,
        cache_dir=settings.tiktoken_cache_dir,
    )


def open_offline_counter() -> OfflineCounter:
    """Return the estimate, which needs no vocabulary of tiktoken."""
    tokenizer = open_tokenizer(tokenizer_file())
    # Otherwise "</s>" in a user's text is one token, though an upstream counts it as three.
    tokenizer.encode_special_tokens = True
    pieces = WordPieces(lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
    return OfflineCounter(lambda text: len(pieces.ids(text)))


def _open(encoding: str, cache_dir: Path | None, fetch: Fetch | None) -> TokenCounter:
    """Return tiktoken's counter; without its vocabulary log a warning and return the estimate."""
    try:
        return TiktokenCounter(_load(encoding, cache_dir, fetch))
    except VocabularyError as error:
        counter = open_offline_counter()
        logger.warning(
            "token counts are estimated: vocabulary not available",
            encoding=encoding,
            counter=counter.name,
            reason=str(error),
        )
        return counter


def _load(encoding: str, cache_dir: Path | None, fetch: Fetch | None) -> tiktoken.Encoding:
    """Return tiktoken's encoding, built from a vocabulary file that this package reads.

    tiktoken keeps URL, hash, pattern and special tokens inside one function for each encoding.
    That function runs here unchanged, except that the loader which it calls is replaced.
    """
    constructor: Any = openai_public.ENCODING_CONSTRUCTORS[encoding]
    if _LOADER not in constructor.__code__.co_names:
        raise VocabularyError("this version of tiktoken keeps its vocabularies in an unknown way")

    def load(url: str, expected_hash: str) -> dict[bytes, int]:
        return parse_ranks(read_vocabulary(url, expected_hash, cache_dir, fetch))

    patched = FunctionType(constructor.__code__, {**constructor.__globals__, _LOADER: load})
    return tiktoken.Encoding(**patched())
