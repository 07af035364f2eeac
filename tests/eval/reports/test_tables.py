"""`python -m eval tables`: runs as Markdown tables of a document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eval.reports.markdown import cells
from eval.reports.markdown.document import render
from eval.reports.tables import BEGIN, END
from eval.runs.run_folder import RunFolder
from tests.support.evaluation_set import checked, evaluate, write

SYSTEMS = "product,bm25,dense-local,last-20,product-without-words,product-without-floor"
NAME = "a|<i>_b"
DOCUMENT = f"# Numbers\n\n{BEGIN}\nold\n{END}\n\nafter\n"
GROWTH_RESULT: dict[str, Any] = {
    "plan": {"layout": "one"},
    "dataset": {"name": "own"},
    "sizes": [
        {
            "size": 1_000_000,
            "passages": 1_000_100,
            "exact_scan_max": 150_000,
            "questions": 80,
            "recall@10": 0.5,
            "evidence@1000": 0.25,
            "search_ms": {"p50": 12.5, "p99": 40.0},
            "context_ms": {"p50": 14.5, "p99": 50.0},
            "memory": {"rss_bytes": 900_000_000},
            "disk_bytes": {"total": 5_000_000_000},
        }
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the folders of two runs of the small set: vectors in memory, and those of Chroma."""
    folder = tmp_path_factory.mktemp("set")
    options = write(folder, NAME)
    checked("run", *options, "--systems", SYSTEMS, "--out", str(folder / "memory"))
    always = ["--systems", "product", "--exact-scan-max", "0"]
    checked("run", *options, *always, "--out", str(folder / "index"))
    return [str(folder / "memory"), str(folder / "index")]


@pytest.fixture(scope="module")
def rendered(runs: list[str]) -> str:
    return render([RunFolder(Path(path)) for path in runs], [GROWTH_RESULT])


def rows(rendered: str, title: str) -> list[list[str]]:
    """Return the cells of the first table after a title, without its head."""
    table = re.search(r"(?:^\|.*\n?)+", rendered.partition(title)[2], re.MULTILINE)
    assert table is not None
    return [line.strip("| ").split(" | ") for line in table[0].splitlines()[2:]]


def test_sides_have_separate_rows(rendered: str) -> None:
    counted = [cells[1:3] for cells in rows(rendered, "### At a glance")]
    assert counted == [["held back†", "3"], ["tuned on†", "1"]]


def test_mean_has_interval_of_run(runs: list[str], rendered: str) -> None:
    part = RunFolder(Path(runs[0])).metrics["systems"]["product"]["by_side"]["held_back"]
    metric = part["metrics"]["recall@10"]
    expected = f"{metric['mean']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"
    assert rows(rendered, "### At a glance")[0][4] == expected


def test_leads_over_each_system_and_side(rendered: str) -> None:
    shown = [tuple(cells[1:3]) for cells in rows(rendered, "### What the product has ahead")]
    sides = ("held back†", "tuned on†")
    assert shown == [(name, side) for name in ("bm25", "dense-local") for side in sides]


def test_ablations_have_rows(rendered: str) -> None:
    assert [cells[0] for cells in rows(rendered, "### What each part earns")] == ["words", "floor"]
    assert "in rightful silence it earns" in rendered


def test_both_vector_modes_are_compared(rendered: str) -> None:
    (cells,) = rows(rendered, "### Both ways to compare vectors")
    assert cells[1] == "4"
    assert cells[2] == cells[3]
    assert cells[4].startswith("0.000 (0.000 to 0.000)")


def test_growth_has_row_per_size(rendered: str) -> None:
    (cells,) = rows(rendered, "### Growth in one conversation")
    numbers = ["0.500", "0.250", "12.5 / 40.0", "14.5 / 50.0", "900", "5,000"]
    assert cells == ["1,000,000", "Chroma", *numbers]


def test_names_are_escaped(rendered: str) -> None:
    for table in re.findall(r"(?:^\|.*\n?)+", rendered, re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table
    assert set(re.findall(r"(?<!\\)<(\w+)", rendered)) <= {"br", "details", "summary"}


def test_tables_replace_previous_tables(runs: list[str], tmp_path: Path) -> None:
    document = tmp_path / "numbers.md"
    document.write_text(DOCUMENT)
    growth_file = tmp_path / "growth.json"
    growth_file.write_text(json.dumps(GROWTH_RESULT))
    command = ["tables", *runs, "--growth", str(growth_file), "--into", str(document)]
    checked(*command)
    first = document.read_text()
    checked(*command)
    assert document.read_text() == first
    assert first.startswith(f"# Numbers\n\n{BEGIN}\nMeasured at")
    assert first.endswith(f"{END}\n\nafter\n")
    assert "### Growth" in first


@pytest.mark.parametrize("text", ["# Numbers\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_document_without_marks_is_unchanged(runs: list[str], tmp_path: Path, text: str) -> None:
    document = tmp_path / "numbers.md"
    document.write_text(text)
    result = evaluate("tables", *runs, "--into", str(document))
    assert result.exit_code == 1
    assert f"has no line {BEGIN}" in " ".join(result.stderr.split())
    assert document.read_text() == text


def test_two_runs_of_one_mode_are_refused(runs: list[str]) -> None:
    for twice, complaint in ((runs[0], "ask the same questions"), (runs[1], "both ask Chroma")):
        result = evaluate("tables", twice, twice)
        assert result.exit_code == 1
        assert complaint in " ".join(result.stderr.split())


def test_other_json_than_growth_is_refused(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    result = evaluate("tables", runs[0], "--growth", str(path))
    assert result.exit_code == 1
    assert "is not what `python -m eval growth" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("mean", "expected"),
    [(0.0004, "0.000"), (-0.0004, "0.000"), (0.02, "+0.020"), (-1, "\N{MINUS SIGN}1.000")],
)
def test_signed_number(mean: float, expected: str) -> None:
    assert cells.signed(mean) == expected
