"""Counters: the offline estimate, and tiktoken's encodings where their vocabularies are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import ENCODINGS, open_counter, open_offline_counter
from memory_service.tokens.estimate import OfflineCounter
from tests.support.environment import ROOT

O200K_FILE = "fb374d419588a4632f3f557e76b4b70aebbca790"


@pytest.fixture(scope="session")
def vocabulary_dir() -> Path:
    named = os.environ.get("TIKTOKEN_CACHE_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "tiktoken"
    if not (folder / O200K_FILE).is_file():
        pytest.skip(f"tiktoken's vocabularies are not in {folder}: set TIKTOKEN_CACHE_DIR")
    return folder


@pytest.fixture(scope="session")
def offline() -> OfflineCounter:
    return open_offline_counter()


@pytest.fixture
def real(vocabulary_dir: Path) -> list[TokenCounter]:
    return [
        open_counter(name, allow_download=False, cache_dir=vocabulary_dir) for name in ENCODINGS
    ]
