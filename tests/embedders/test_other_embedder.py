"""Data of another embedder: the commands that the error message gives convert the data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingest.cli import app as ingest_app
from memory_service.commands import main
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.testing import HashingEmbedder
from tests.support.storing import create, eventually, findings


def test_commands_of_error_restore_data_with_other_embedder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Settings(data_dir=tmp_path / "old"), Settings(data_dir=tmp_path / "new")
    with Service.open(old, purpose="tests", embedder=HashingEmbedder()) as service:
        create(service, "c", "the locker is 8314", "we had soup")
        eventually(lambda: service.index_status().lag == 0)
    with pytest.raises(StartupError, match="was made with embedder 'testing/hashing'") as refused:
        Service.open(old, purpose="tests")
    export, ingest = map(shlex.split, re.findall(r"`([^`]+)`", refused.value.message))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORY_DATA_DIR", str(old.data_dir))
    assert CliRunner().invoke(main.app, export[1:]).exit_code == 0
    assert CliRunner().invoke(ingest_app, [*ingest[1:], str(new.data_dir)]).exit_code == 0
    with Service.open(new, purpose="tests") as service:
        eventually(lambda: service.index_status().lag == 0)
        assert findings(service, with_index=True) == []
        with service.log.read() as snapshot:
            assert snapshot.properties.get("embedder") != HashingEmbedder.name
