"""`python -m eval report` and `plots`: escaping, contents and determinism."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from eval.reports import charts
from eval.runs.run_folder import RunFolder
from tests.support.evaluation_set import HOSTILE, checked, evaluate


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    """Return the run's report as HTML."""
    path = run.path.parent / "report.html"
    checked("report", str(run.path), "--html", str(path))
    return path.read_text()


class _Tags(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_transcript_text_is_escaped(page: str) -> None:
    parsed = _Tags(page)
    assert not parsed.tags & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "i",
        "a",
        "form",
    }
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in parsed.texts) >= 2


def test_page_has_no_outside_references(page: str) -> None:
    pointing = {"href", "src", "srcset", "xlink:href", "action", "data"}
    outside = [value for name, value in _Tags(page).attributes if name in pointing]
    assert outside
    assert all(value.startswith("#") for value in outside)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_page_has_plots_and_worst_questions(page: str) -> None:
    assert page.count("<svg") == 3
    text = "".join(_Tags(page).texts)
    for heading in ("Evidence in the prompt", "What each part earns", "Worst questions of product"):
        assert heading in text
    assert "found at" in text


def test_chart_is_well_formed_and_deterministic(run: RunFolder) -> None:
    first, again = charts.evidence(run), charts.evidence(run)
    assert first == again
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours


def test_plots_writes_two_files(run: RunFolder, tmp_path: Path) -> None:
    checked("plots", str(run.path), "--out", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.svg", "evidence.svg"]
    for path in tmp_path.iterdir():
        plot = path.read_text()
        assert "held back: 3 questions, 95 % intervals over 3 questions" in plot
        assert len(plot) < 60_000


def test_report_json_has_metrics_of_runs(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    checked("report", str(run.path), "--json-out", str(out))
    (reported,) = json.loads(out.read_text())["runs"]
    assert reported == {**run.about, **run.metrics}


def test_folder_without_run_is_refused(tmp_path: Path) -> None:
    result = evaluate("report", str(tmp_path))
    assert result.exit_code == 1
    assert "is no run: run.json" in result.stderr.replace("\n", " ")
