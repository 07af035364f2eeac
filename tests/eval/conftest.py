"""A run of all systems on the small set, for the tests that read runs."""

from __future__ import annotations

import pytest

from eval.runs.run_folder import RunFolder
from tests.support.evaluation_set import checked, write

NAME = "a<i>&$x$"
"""A name with markup, which must be escaped."""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run of all systems on the small set, under a hostile name."""
    folder = tmp_path_factory.mktemp("set")
    checked("run", *write(folder, NAME), "--out", str(folder / "run"))
    return RunFolder(folder / "run")
