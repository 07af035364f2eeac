"""The llama tokenizer that the package `wordllama` ships, for the estimate and the local embedder.

Only the package's data files are read: importing it takes seconds, and its loader fetches files
from the network.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from memory_service.core.errors import StartupError

_PACKAGE: Final = "wordllama"
_TOKENIZER: Final = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"


def package_file(name: str) -> Path:
    """Return a data file of the package; raises StartupError if it is not installed."""
    try:
        path = Path(str(distribution(_PACKAGE).locate_file(name)))
    except PackageNotFoundError as error:
        raise StartupError(
            f"The package {_PACKAGE} is missing: reinstall memory_service."
        ) from error
    if not path.is_file():
        raise StartupError(f"{path} is missing: reinstall {_PACKAGE}.")
    return path


def tokenizer_file() -> Path:
    """Return the tokenizer's file; raises StartupError if it is not installed."""
    return package_file(_TOKENIZER)


def open_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a file, without padding, truncation and cache.

    Its own cache would keep whole texts, up to 100 MB of them, and is no faster: words are cached
    in `WordPieces`, counts in `CachedCounter`.
    """
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.model._resize_cache(0)  # noqa: SLF001 - offered for this, under this name
    return tokenizer
