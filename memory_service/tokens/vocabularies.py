"""Files of tiktoken's vocabularies: read from its cache, downloaded if that is allowed.

tiktoken's own loader takes its cache from the environment and goes to the network, without a time
limit, whenever a file is missing or damaged. Here both are decided by the caller.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import tempfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
import structlog

DOWNLOAD_TIMEOUT_SECONDS: Final = 10.0

logger = structlog.get_logger(__name__)

Fetch = Callable[[str], bytes]
"""Returns the content of a URL; raises VocabularyError."""


class VocabularyError(RuntimeError):
    """A vocabulary is missing, damaged or not available; the message says which and why."""


def download(url: str) -> bytes:
    """Return the content of a URL; each step takes at most `DOWNLOAD_TIMEOUT_SECONDS`."""
    try:
        response = httpx2.get(url, timeout=DOWNLOAD_TIMEOUT_SECONDS, follow_redirects=True)
        return response.raise_for_status().content
    except httpx2.HTTPError as error:
        raise VocabularyError(f"{url} cannot be downloaded: {error!r}") from error


def read_vocabulary(url: str, sha256: str, cache_dir: Path | None, fetch: Fetch | None) -> bytes:
    """Return a vocabulary whose hash is right, from the cache or, with `fetch`, the network."""
    # tiktoken names its cache files this way; the hash is not for security.
    name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        return _read(cache_dir, name, sha256)
    except VocabularyError:
        if fetch is None:
            raise
    data = fetch(url)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VocabularyError(f"{url} did not send the vocabulary")
    _keep(cache_dir, name, data)
    return data


def _read(cache_dir: Path | None, name: str, sha256: str) -> bytes:
    """Return a file of the cache; raises VocabularyError if it is missing or damaged."""
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
    """Write a file of the cache atomically; a failure is logged, since the cache is optional."""
    if cache_dir is None:
        return
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=cache_dir, prefix=name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(partial).replace(cache_dir / name)
    except OSError as error:
        logger.warning(
            "a vocabulary could not be written to the cache",
            cache_dir=str(cache_dir),
            reason=str(error),
        )


def parse_ranks(data: bytes) -> dict[bytes, int]:
    """Return the ranks of tokens; each line of a file is a token in base64 and its rank."""
    try:
        pairs = (line.split() for line in data.splitlines() if line)
        return {b64decode(token): int(rank) for token, rank in pairs}
    except (ValueError, binascii.Error) as error:
        raise VocabularyError(f"a vocabulary cannot be parsed: {error}") from error
