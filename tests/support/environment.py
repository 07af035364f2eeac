"""The environment of the tests: project root, benchmark data, number of examples."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

ROOT = Path(__file__).parents[2]
"""The root of the project."""

LONG = os.environ.get("MEMORY_SERVICE_TESTS") == "long"
"""Whether `.ci/long` asks for the full counts."""

BENCHMARK_DATA = Path(os.environ.get("BENCHMARK_DATA", ROOT.parent / "shared" / "data"))
"""Public sets and samples; tests that need them are skipped where they are not there."""


@contextmanager
def connected(address: str, key: str) -> Iterator[openai.OpenAI]:
    """Return an official client with a key."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as opened:
        yield opened
