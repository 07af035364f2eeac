"""Provenance: its fields, and that it has no secrets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from eval.provenance import provenance
from memory_service.core.settings import load_settings


def test_provenance_names_code_machine_packages_and_settings() -> None:
    values = provenance(load_settings(), seed=7).as_json()
    expected = {"commit", "dirty", "measured_at", "python", "platform", "cpu_count", "packages"}
    assert expected <= set(values)
    assert values["seed"] == 7
    assert values["settings"]["passage_words"] == 120


def test_provenance_leaves_out_what_a_command_does_not_have() -> None:
    values = provenance(load_settings()).as_json()
    assert not {"seed", "dataset_hash", "files"} & set(values)


def test_provenance_has_hashes_of_files(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_text("{}\n")
    values = provenance(load_settings(), files=[path]).as_json()
    assert values["files"] == {"turns.jsonl": hashlib.sha256(b"{}\n").hexdigest()}


def test_provenance_reveals_no_keys_or_locations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_API_KEY", "secret-key")
    monkeypatch.setenv("MEMORY_EMBEDDER_CONFIG", '{"api_key": "secret-key"}')
    monkeypatch.setenv("MEMORY_UPSTREAM_BASE_URL", "http://secret.example/v1")
    assert "secret" not in json.dumps(provenance(load_settings()).as_json())
