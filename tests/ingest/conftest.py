"""Files that several tests of ingestion read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a file of two conversations with five messages."""
    path = tmp_path / "history.jsonl"
    talks = [
        [("system", "Be brief."), ("user", "My cat is called Pixel."), ("assistant", "Noted.")],
        [("user", "Which wine goes with carp?"), ("assistant", "A Riesling.")],
    ]
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": role, "content": text} for role, text in talk]})
            + "\n"
            for talk in talks
        )
    )
    return path
