"""What the README says is what the code does."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import cast
from zipfile import ZipFile

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from eval.__main__ import app as eval_app
from eval.datasets.catalogue import NAMES as DATASETS
from eval.reports.tables import placed
from eval.systems.choice import check
from ingest.cli import app as ingest_app
from ingest.formats import FORMATS
from ingest.transcripts import Format
from memory_service.api.app import create_app
from memory_service.commands.main import app
from memory_service.core.settings import Settings
from tests.support.environment import ROOT
from tests.support.reading import EXPORTS

README = (ROOT / "README.md").read_text(encoding="utf-8")


def command(name: str) -> str:
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
    assert found is not None
    return found[1]


def test_every_route_is_in_the_readme_and_every_one_there_exists(settings: Settings) -> None:
    served = {
        f"{method.upper()} {path}"
        for path, methods in create_app(settings).openapi()["paths"].items()
        for method in methods
    }
    documented = set(re.findall(r"^\| `((?:GET|POST|DELETE) /\S+)` \|", README, re.MULTILINE))
    assert documented == served


def test_the_python_of_the_readme_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(r"<!-- run: python -->\n```python\n(.+?)```", README, re.DOTALL)
    assert found is not None
    source = found[1].replace("http://127.0.0.1:8000", address)
    exec(compile(source, "README.md", "exec"), {})  # noqa: S102 - the README's own lines
    assert "Which locker is mine?" in capsys.readouterr().out


def test_the_program_without_http_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"<!-- run: embedded -->\n```python\n(.+?)```", README, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], "README.md", "exec"), {})  # noqa: S102 - the README's own lines
    assert capsys.readouterr().out.startswith("My locker at the gym is 8314.")


def test_the_format_of_the_readme_reads_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"<!-- run: format -->\n```python\n(.+?)```", README, re.DOTALL)
    assert found is not None
    tabs = ModuleType("tabs")
    exec(compile(found[1], "README.md", "exec"), tabs.__dict__)  # noqa: S102 - the README's own
    monkeypatch.setitem(FORMATS, "tabs", cast("Format", tabs))
    path = tmp_path / "talk.tsv"
    path.write_text("2024-05-01T08:00:00Z\tAnn\tHello.\nno tabs\n2024-05-01T08:01:00Z\tBo\tHi.\n")
    result = CliRunner().invoke(ingest_app, [str(path), "--dry-run", "--json"])
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["format"] == "tabs"
    assert (report["turns"]["stored"], len(report["warnings"])) == (2, 1)
    lines = [line for line in found[1].splitlines() if line and not line.startswith("from")]
    assert len(lines) <= 15


def test_the_history_of_the_readme_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"<!-- run: history -->\n```sh\n(.+?)```", README, re.DOTALL)
    assert found is not None
    ingest, ask = (shlex.split(line, comments=True)[1:] for line in found[1].splitlines())
    for name, format_name in (("chatgpt-export.zip", "chatgpt"), ("claude-data.zip", "claude_ai")):
        with ZipFile(tmp_path / name, "w") as archive:
            archive.write(EXPORTS / format_name / "conversations.json", "conversations.json")
    monkeypatch.chdir(tmp_path)
    data_dir = ["--data-dir", str(tmp_path / "data")]
    # The exports of the tests hold broken records, too.
    assert CliRunner().invoke(ingest_app, [*ingest, *data_dir]).exit_code == 1
    asked = CliRunner().invoke(app, [*ask, *data_dir])
    assert "It is 30 metres long." in asked.stdout


def test_every_command_of_the_readme_exists() -> None:
    commands = get_command(app)
    programs = r"^(?:\S+ )*?(memory-service|memory-ingest) ?(.*?)(?:#.*)?$"
    lines = re.findall(programs, README, re.MULTILINE)
    assert len(lines) >= 8
    for program, arguments in lines:
        words = [word for word in shlex.split(arguments) if not word.startswith("`")]
        known = commands if program == "memory-service" else get_command(ingest_app)
        for word in words:
            known = getattr(known, "commands", {}).get(word, known)
        options = {flag for parameter in known.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, arguments


@pytest.mark.parametrize("document", ["README.md", "docs/evaluation.md"])
def test_every_command_of_the_evaluation_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = re.findall(r"^python -m eval (.*?)(?:#.*)?$", text, re.MULTILINE)
    assert lines
    for line in lines:
        name, *words = shlex.split(line)
        known = getattr(get_command(eval_app), "commands", {})[name]
        options = {flag for parameter in known.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        given = dict(pairwise(words))
        check(given.get("--systems", "all").split(","))
        assert given.get("--dataset", "own") in DATASETS, line


def test_the_evaluation_says_where_its_tables_stand_and_which_command_writes_them() -> None:
    document = ROOT / "docs" / "evaluation.md"
    assert "\nnew\n" in placed(document, "new")
    (line,) = re.findall(r"^python -m eval tables .*", document.read_text(), re.MULTILINE)
    assert line.endswith("--into docs/evaluation.md")


@pytest.mark.parametrize("name", ["evidence", "ablation"])
def test_the_plots_of_the_readme_are_small_and_say_what_they_are_of(name: str) -> None:
    assert f"](docs/{name}.svg)" in README
    plot = (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8")
    assert len(plot) < 60_000
    assert ": locomo<" in plot
    assert re.search(r"held back: \d+ questions, 95 % intervals", plot)


def test_the_gate_runs_the_test_command_of_the_readme() -> None:
    assert command("test").endswith(".venv/bin/pytest")
    assert "<!-- command: test -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
