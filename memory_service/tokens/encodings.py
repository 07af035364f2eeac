"""Opens token counters: tiktoken's vocabulary if it is at hand, else an estimate.

The only file that knows tiktoken. tiktoken's own loader takes its cache from the environment and
goes to the network, without a timeout, whenever a file is missing or damaged; here both are the
caller's decision.
"""

import binascii
import hashlib
import importlib.metadata
import os
import tempfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any, Final

import httpx2
import structlog
import tiktoken
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it publishes none
from tokenizers import Tokenizer

from memory_service.core.settings import Settings
from memory_service.tokens.counting import (
    CachedCounter,
    OfflineCounter,
    TokenCounter,
    count_in_slices,
    encoding_name_for_model,
    well_formed,
)
from memory_service.tokens.word_pieces import WordPieces

ENCODINGS: Final = ("o200k_base", "cl100k_base")
DOWNLOAD_TIMEOUT_S: Final = 10.0

_LOADER: Final = "load_tiktoken_bpe"
_PACKAGE: Final = "wordllama"
_TOKENIZER_FILE: Final = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"

_log = structlog.get_logger(__name__)
_lock = Lock()
_opened: dict[tuple[str, bool, Path | None], TokenCounter] = {}

Fetch = Callable[[str], bytes]


class VocabularyError(RuntimeError):
    """A vocabulary is missing, damaged or not to be had; the message says which and why."""


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


def download(url: str) -> bytes:
    """Return what is at a URL, or raise `VocabularyError` within `DOWNLOAD_TIMEOUT_S` a step."""
    try:
        response = httpx2.get(url, timeout=DOWNLOAD_TIMEOUT_S, follow_redirects=True)
        return response.raise_for_status().content
    except httpx2.HTTPError as error:
        raise VocabularyError(f"{url} cannot be downloaded: {error!r}") from error


def open_counter(
    encoding: str, *, allow_download: bool, cache_dir: Path | None, fetch: Fetch = download
) -> TokenCounter:
    """Return the counter for one of `ENCODINGS`, the same one on every call.

    `cache_dir` is tiktoken's cache, or None if there is none. A file in it is used only if its
    hash is right. Otherwise it is downloaded, if that is allowed, and kept there; failing that
    the estimate counts, and one warning says so. A process keeps what it has opened, so that
    counts do not change while it runs.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r}; known are {', '.join(ENCODINGS)}")
    key = (encoding, allow_download, cache_dir)
    with _lock:
        if key not in _opened:
            counter = _open(encoding, cache_dir, fetch if allow_download else None)
            _opened[key] = CachedCounter(counter)
        return _opened[key]


def counter_of(settings: Settings, model: str | None) -> TokenCounter:
    """Return the counter for a model, as the settings say where its vocabulary may be had."""
    return open_counter(
        encoding_name_for_model(model),
        allow_download=settings.tiktoken_download,
        cache_dir=settings.tiktoken_cache_dir,
    )


def open_offline_counter() -> OfflineCounter:
    """Return the estimate that needs no vocabulary of tiktoken."""
    tokenizer = Tokenizer.from_file(str(_tokenizer_file()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # It would remember whole texts, up to 100 MB of them; counts are remembered elsewhere.
    tokenizer.model._resize_cache(0)  # noqa: SLF001 - offered for this, under this name
    # Else "</s>" in a user's text is one token, though an upstream counts it as three.
    tokenizer.encode_special_tokens = True
    pieces = WordPieces(lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
    return OfflineCounter(lambda text: len(pieces.ids(text)))


def _open(encoding: str, cache_dir: Path | None, fetch: Fetch | None) -> TokenCounter:
    """Return tiktoken's counter, or the estimate after a warning."""
    try:
        return TiktokenCounter(_load(encoding, cache_dir, fetch))
    except VocabularyError as error:
        counter = open_offline_counter()
        _log.warning(
            "token counts are estimated: vocabulary not available",
            encoding=encoding,
            counter=counter.name,
            reason=str(error),
        )
        return counter


def _load(encoding: str, cache_dir: Path | None, fetch: Fetch | None) -> tiktoken.Encoding:
    """Return tiktoken's encoding, built from a vocabulary file that we read ourselves.

    tiktoken keeps URL, hash, pattern and special tokens inside one function for each encoding.
    That function runs here as it is, except that the loader it calls is ours.
    """
    constructor: Any = openai_public.ENCODING_CONSTRUCTORS[encoding]
    if _LOADER not in constructor.__code__.co_names:
        raise VocabularyError("this version of tiktoken keeps its vocabularies in an unknown way")

    def load(url: str, expected_hash: str) -> dict[bytes, int]:
        return _ranks(_vocabulary(url, expected_hash, cache_dir, fetch))

    ours = FunctionType(constructor.__code__, {**constructor.__globals__, _LOADER: load})
    return tiktoken.Encoding(**ours())


def _vocabulary(url: str, sha256: str, cache_dir: Path | None, fetch: Fetch | None) -> bytes:
    """Return the vocabulary's bytes, with the right hash, from the cache or the network."""
    # tiktoken names its cache files this way; the hash secures nothing.
    name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        return _read(cache_dir, name, sha256)
    except VocabularyError:
        if fetch is None:
            raise
    data = fetch(url)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VocabularyError(f"{url} sent something else than the vocabulary")
    _keep(cache_dir, name, data)
    return data


def _read(cache_dir: Path | None, name: str, sha256: str) -> bytes:
    """Return a file of the cache, or raise `VocabularyError` with what is wrong with it."""
    if cache_dir is None:
        raise VocabularyError("there is no cache of vocabularies")
    path = cache_dir / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VocabularyError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VocabularyError(f"{path} is damaged ({len(data)} bytes)")
    return data


def _keep(cache_dir: Path | None, name: str, data: bytes) -> None:
    """Write a file of the cache in one step; a cache that cannot be written is not needed."""
    if cache_dir is None:
        return
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=cache_dir, prefix=name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(partial).replace(cache_dir / name)
    except OSError as error:
        _log.warning("a vocabulary was not kept", cache_dir=str(cache_dir), reason=str(error))


def _ranks(data: bytes) -> dict[bytes, int]:
    """Return tokens and their ranks: a line each, the token in base64."""
    try:
        pairs = (line.split() for line in data.splitlines() if line)
        return {b64decode(token): int(rank) for token, rank in pairs}
    except (ValueError, binascii.Error) as error:
        raise VocabularyError(f"a vocabulary cannot be parsed: {error}") from error


def _tokenizer_file() -> Path:
    """Return the tokenizer file of the local embedder's package, which is not imported.

    Importing it takes seconds and its loader goes to the network.
    """
    try:
        files = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise VocabularyError(f"the package {_PACKAGE} is not installed") from error
    path = Path(str(files.locate_file(_TOKENIZER_FILE)))
    if not path.is_file():
        raise VocabularyError(f"{path} is missing; is {_PACKAGE} the pinned version?")
    return path
