"""Settings: descriptions, units, defaults, impossible values, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_service.commands import main
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings, load_settings, settings_table
from tests.support.environment import ROOT

PAGE = ROOT / "docs" / "settings.md"
UNITS = {
    *("bytes", "chars", "words", "seconds", "hours", "vectors", "turns", "tokens", "vector"),
    *("nesting", "items", "port", "top", "dimension", "budget", "window", "batch", "scan"),
    *("traces", "days", "mib", "share", "threads"),
}
"""The name of a number has one of these units among its words."""

UNITS_BY_WORD = {
    **{word: word for word in ("bytes", "seconds", "hours", "days", "tokens", "words", "turns")},
    **{word: word for word in ("vectors", "items", "traces", "share")},
    "chars": "characters",
    "mib": "MiB",
}
"""The unit that docs/settings.md gives a number with one of these words in its name."""

NUMBERS = [
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in {int, float, int | None, float | None}
]


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_setting_is_described_in_sentences(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert re.fullmatch(r"[A-Z][^|\n]+\.", description)


@pytest.mark.parametrize("name", NUMBERS)
def test_number_has_unit_in_name(name: str) -> None:
    assert UNITS & set(name.split("_"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEMORY_PORT", "-1"),
        ("MEMORY_PORT", "65536"),
        ("MEMORY_PORT", "http"),
        ("MEMORY_DEFAULT_USER", ""),
        ("MEMORY_DEFAULT_USER", " ann"),
        ("MEMORY_DEFAULT_USER", "a" * 129),
        ("MEMORY_LOG_FORMAT", "xml"),
        ("MEMORY_LOG_LEVEL", "loud"),
        ("MEMORY_MAX_BODY_BYTES", "0"),
        ("MEMORY_MAX_NESTING", "501"),
        ("MEMORY_MAX_TEXT_CHARS", "1e"),
        ("MEMORY_MAX_ITEMS_PER_CALL", "0"),
        ("MEMORY_MAX_QUERY_CHARS", ""),
        ("MEMORY_RETRY_WINDOW_SECONDS", "-1"),
        ("MEMORY_IDEMPOTENCY_HOURS", "0"),
        ("MEMORY_PASSAGE_WORDS", "1"),
        ("MEMORY_PASSAGE_OVERLAP_WORDS", "120"),
        ("MEMORY_NEIGHBOUR_PAUSE_HOURS", "0"),
        ("MEMORY_NEIGHBOUR_PAUSE_HOURS", "inf"),
        ("MEMORY_NEIGHBOUR_PAUSE_HOURS", "nan"),
        ("MEMORY_COLLECTION_VECTORS", "1"),
        ("MEMORY_INDEX_BATCH", "5001"),
        ("MEMORY_TOKEN_BUDGET", "63"),
        ("MEMORY_CONTEXT_WINDOW", "0"),
        ("MEMORY_RESERVED_OUTPUT_TOKENS", "-5"),
        ("MEMORY_RECENT_TOKENS", "-1"),
        ("MEMORY_RECENT_TURNS", "1001"),
        ("MEMORY_TOP_K", "101"),
        ("MEMORY_SUMMARIES", "perhaps"),
        ("MEMORY_SUMMARY_MODEL", ""),
        ("MEMORY_SUMMARY_TOKENS", "31"),
        ("MEMORY_SUMMARY_TOKEN_SHARE", "0.51"),
        ("MEMORY_SUMMARY_THREADS", "0"),
        ("MEMORY_TIKTOKEN_DOWNLOAD", "perhaps"),
        ("MEMORY_EMBEDDER", "magic"),
        ("MEMORY_EMBEDDER_CONFIG", "[]"),
        ("MEMORY_EMBEDDER_DIMENSION", "0"),
        ("MEMORY_EMBEDDER_TIMEOUT_SECONDS", "inf"),
        ("MEMORY_UPSTREAM_BASE_URL", "api.openai.com/v1"),
        ("MEMORY_UPSTREAM_TIMEOUT_SECONDS", "0"),
        ("MEMORY_UPSTREAM_AUTHORIZATION_HEADER", "perhaps"),
        ("MEMORY_RECALL_TIMEOUT_SECONDS", "nan"),
        ("MEMORY_STRICT_RECALL", "rather"),
    ],
)
def test_impossible_value_is_refused_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError, match=rf"\b{variable}\b"):
        load_settings()


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_PORT", "x")
    monkeypatch.setenv("MEMORY_TOP_K", "x")
    with pytest.raises(StartupError, match=r"(?s)MEMORY_PORT.*MEMORY_TOP_K"):
        load_settings()


def test_command_names_the_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_TOP_K", "many")
    result = CliRunner().invoke(main.app, ["keys", "list"])
    assert isinstance(result.exception, StartupError)
    assert "MEMORY_TOP_K" in result.exception.message


def test_option_takes_precedence_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMORY_PORT", "9001")
    assert load_settings().port == 9001
    assert load_settings(port=None).port == 9001
    assert load_settings(port=9002).port == 9002


@pytest.mark.parametrize(
    "variable", ["MEMORY_TIKTOKEN_CACHE_DIR", "TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"]
)
def test_tiktoken_variables_set_cache_dir(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv(variable, str(tmp_path))
    assert load_settings().tiktoken_cache_dir == tmp_path


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1


def test_table_has_one_row_per_setting_with_its_default() -> None:
    rows = settings_table().splitlines()
    assert len(rows) == 2 + len(Settings.model_fields)
    assert all(row.count("|") == 4 for row in rows)
    assert "| `MEMORY_PORT` | `8000` | Port to listen on. 0 takes a free port. |" in rows


def test_table_is_the_same_on_every_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = settings_table()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMORY_PORT", "1")
    assert settings_table() == table
    assert str(Path.home()) not in table


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def page_rows() -> dict[str, list[str]]:
    """Return unit, default and meaning of each variable of docs/settings.md."""
    rows = re.findall(r"^\| `MEMORY_.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    columns_of = {variable: columns for variable, *columns in map(cells, rows)}
    assert len(columns_of) == len(rows)
    return columns_of


@pytest.mark.parametrize("row", settings_table().splitlines()[2:], ids=lambda row: cells(row)[0])
def test_settings_page_has_the_default_and_meaning_of_the_code(row: str) -> None:
    variable, default, meaning = cells(row)
    unit, *columns = page_rows()[variable]
    assert columns == [default, meaning], (
        f"the row is | {variable} | {unit} | {default} | {meaning} |"
    )


def test_settings_page_has_no_other_variable() -> None:
    assert len(page_rows()) == len(Settings.model_fields)


@pytest.mark.parametrize("name", NUMBERS)
def test_settings_page_has_the_unit_of_a_number(name: str) -> None:
    unit, *_ = page_rows()[f"`MEMORY_{name.upper()}`"]
    assert name == "port" or unit[0].isalpha()
    named = {UNITS_BY_WORD[word] for word in name.split("_") if word in UNITS_BY_WORD}
    assert not named or unit in named
