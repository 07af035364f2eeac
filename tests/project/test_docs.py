"""The documentation agrees with the code: examples, commands, links, routes, settings, tables."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from zipfile import ZipFile

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from eval.__main__ import app as eval_app
from eval.reports.tables import placed
from eval.systems.choice import check
from ingest.cli import app as ingest_app
from ingest.formats import FORMATS
from ingest.formats.format import Format
from memory_service.api.app import create_app
from memory_service.commands.main import app
from memory_service.core import errors
from memory_service.core.settings import Settings
from tests.project.test_architecture import ORDER
from tests.support.documents import (
    PAGES,
    PROGRAMS,
    README,
    Block,
    CommandLine,
    anchors,
    blocks,
    command_lines,
    inline_code,
    inline_commands,
    links,
    marked,
    prose_of,
    sections,
    text_of,
)
from tests.support.environment import ROOT
from tests.support.reading import EXPORTS

DOCS = ROOT / "docs"
MAX_README_LINES = 220
ALL_COMMANDS = dict(zip(PROGRAMS, map(get_command, (app, ingest_app, eval_app)), strict=True))

RUN_HERE = {"server", "embedded", "history", "format", "format test"}
RUN_WITH_AN_UPSTREAM = {"upstream", "serve"}
"""Run by `tests/end_to_end/test_gateway_recipes.py`."""

WRITTEN_BY_THE_READER = {"ingest/formats/tabs.py", "tests/ingest/test_tabs.py"}
"""Files that the worked example of docs/contributing.md asks the reader to create."""

NEVER_SERVED = {
    "vector_index_unavailable",
    "embedder_unavailable",
    "embedder_refused",
    "chat_model_unavailable",
    "chat_model_refused",
    "startup_error",
}
"""Codes of errors that no response has."""


def page_name(value: Path | Block) -> str:
    return value.name


def run_python(block: Block, address: str = "http://127.0.0.1:8000") -> None:
    source = block.source.replace("http://127.0.0.1:8000", address)
    exec(compile(source, block.name, "exec"), {})  # noqa: S102 - the documentation's own lines


# Examples


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language == "python"], ids=page_name
)
def test_python_block_is_run_or_has_reason(block: Block) -> None:
    kind, _, detail = block.marker.partition(": ")
    if kind == "not run":
        assert detail
    else:
        assert kind == "run"
        assert detail.partition(" with ")[0] in RUN_HERE | RUN_WITH_AN_UPSTREAM


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_markers_are_known(page: Path) -> None:
    used = {block.marker.partition(" with ")[0] for block in blocks(page)}
    runs = {marker.removeprefix("run: ") for marker in used if marker.startswith("run: ")}
    assert runs <= RUN_HERE | RUN_WITH_AN_UPSTREAM


@pytest.mark.parametrize("page", [README, DOCS / "quickstart.md"], ids=page_name)
def test_examples_of_a_server_recall_what_was_stored(
    page: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = marked("server", page)
    assert examples
    for block in examples:
        if block.language == "python":
            run_python(block, address)
            assert "8314" in capsys.readouterr().out, block.name
        elif shutil.which("curl") is not None:
            source = block.source.replace("http://127.0.0.1:8000", address)
            done = subprocess.run(
                ["bash", "-c", source],  # noqa: S607 - as a reader runs it
                capture_output=True,
                check=True,
                timeout=60,
                text=True,
            )
            assert "8314" in done.stdout, block.name


@pytest.mark.parametrize("block", marked("embedded"), ids=page_name)
def test_example_without_http_recalls_what_was_stored(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(block)
    assert capsys.readouterr().out.startswith("My locker at the gym is 8314.")


@pytest.mark.parametrize("block", marked("history"), ids=page_name)
def test_imported_history_is_recalled(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest, ask = (shlex.split(line, comments=True)[1:] for line in block.source.splitlines())
    for name, format_name in (("chatgpt-export.zip", "chatgpt"), ("claude-data.zip", "claude_ai")):
        with ZipFile(tmp_path / name, "w") as archive:
            archive.write(EXPORTS / format_name / "conversations.json", "conversations.json")
    monkeypatch.chdir(tmp_path)
    data_dir = ["--data-dir", str(tmp_path / "data")]
    # The exports of the tests hold broken records, too.
    assert CliRunner().invoke(ingest_app, [*ingest, *data_dir]).exit_code == 1
    answer = CliRunner().invoke(app, [*ask, *data_dir])
    assert "It is 30 metres long." in answer.stdout


@pytest.fixture
def tabs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the format of the worked example, registered."""
    (block,) = marked("format")
    module = ModuleType("tabs")
    exec(compile(block.source, block.name, "exec"), module.__dict__)  # noqa: S102 - as above
    monkeypatch.setitem(FORMATS, "tabs", cast("Format", module))
    return module


@pytest.mark.usefixtures("tabs")
def test_format_of_the_worked_example_is_ingested(tmp_path: Path) -> None:
    (printf,) = re.findall(
        r"^ *printf '(.+)' > talk\.tsv$", text_of(DOCS / "contributing.md"), re.MULTILINE
    )
    path = tmp_path / "talk.tsv"
    path.write_text(printf.encode().decode("unicode_escape"))
    result = CliRunner().invoke(ingest_app, [str(path), "--dry-run", "--json"])
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["format"] == "tabs"
    assert (report["turns"]["stored"], report["warnings"]) == (2, [])


@pytest.mark.usefixtures("tabs")
def test_test_of_the_worked_example_passes(tmp_path: Path) -> None:
    (block,) = marked("format test")
    namespace: dict[str, Any] = {}
    exec(compile(block.source, block.name, "exec"), namespace)  # noqa: S102 - as above
    (test,) = (value for name, value in namespace.items() if name.startswith("test_"))
    test(tmp_path)


# Commands


@pytest.mark.parametrize("line", command_lines(), ids=lambda line: f"{line.place}-{line.program}")
def test_command_line_parses(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in line.arguments:
        make_input(Path(word))
    assert {name.partition("=")[0] for name in line.variables} <= variables()
    name, command, arguments = line.program, ALL_COMMANDS[line.program], list(line.arguments)
    while hasattr(command, "commands"):
        name, arguments = arguments[0], arguments[1:]
        command = command.commands[name]
    context = command.make_context(name, arguments)
    if line.program == "python -m eval" and "systems" in context.params:
        check(str(context.params["systems"]).split(","))


def make_input(path: Path) -> None:
    """Create the file or folder that an argument names: some commands need it."""
    if path.name.startswith("-") or path.is_absolute() or ":" in str(path):
        return
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elif str(path) in {"docs", "path/to/the/sets/benchmarks"}:
        path.mkdir(parents=True, exist_ok=True)


def test_all_programs_are_shown() -> None:
    assert {line.program for line in command_lines()} == set(PROGRAMS)


@pytest.mark.parametrize("line", inline_commands(), ids=lambda line: " ".join(line.arguments))
def test_command_in_the_text_exists(line: CommandLine) -> None:
    command = ALL_COMMANDS[line.program]
    for word in line.arguments:
        if word.islower() and not word.startswith("-") and hasattr(command, "commands"):
            command = command.commands[word]
    options = {"--help", *(flag for parameter in command.params for flag in parameter.opts)}
    assert {word for word in line.arguments if word.startswith("--")} <= options


def test_every_subcommand_is_documented() -> None:
    shown = {
        (line.program, line.arguments[0])
        for line in (*command_lines(), *inline_commands())
        if line.arguments
    }
    for program in ("memory-service", "python -m eval"):
        names = getattr(ALL_COMMANDS[program], "commands", {})
        assert {(program, name) for name in names} <= shown


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_variables_are_settings(page: Path) -> None:
    assert set(re.findall(r"\bMEMORY_[A-Z_]*[A-Z]\b", text_of(page))) <= variables()


def variables() -> set[str]:
    return {f"MEMORY_{name.upper()}" for name in Settings.model_fields}


def test_gate_runs_the_test_command_of_the_readme() -> None:
    (block,) = (block for block in blocks(README) if block.marker == "command: test")
    assert block.source.strip().endswith(".venv/bin/pytest")
    assert "<!-- command: test -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# Links and paths


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_paths_in_the_text_exist(page: Path) -> None:
    code = [*inline_code(page), *(word for block in blocks(page) for word in block.source.split())]
    paths = {
        path
        for path in code
        if re.fullmatch(r"(memory_service|ingest|eval|tests|\.ci)/[\w./-]+", path)
        and not any(part.partition(".")[0].isupper() for part in Path(path).parts)
    }
    missing = {path for path in paths if not (ROOT / path).exists()}
    assert missing <= WRITTEN_BY_THE_READER


def test_index_links_every_page() -> None:
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= {link.partition("#")[0] for link in links(DOCS / "index.md")}
    assert {f"docs/{name}" for name in pages} <= {link.partition("#")[0] for link in links(README)}


# Pages


def test_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= MAX_README_LINES


def operations() -> dict[str, set[str]]:
    """Return the names of the fields and parameters of each route."""
    fields: dict[str, set[str]] = {}
    for path, methods in create_app(Settings()).openapi()["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
            fields[f"`{method.upper()} {path}`"] = {
                *body["content"]["application/json"]["schema"].get("properties", ()),
                *(
                    parameter["name"]
                    for parameter in operation.get("parameters", ())
                    if parameter["in"] != "path"
                ),
            }
    return fields


def test_api_page_has_every_route_and_no_other() -> None:
    routes = {title for title in sections(DOCS / "api.md", 3) if title.startswith("`")}
    assert routes == set(operations())


@pytest.mark.parametrize("route", list(operations()))
def test_api_page_has_every_field_of_a_route(route: str) -> None:
    if "chat/completions" in route:
        text = prose_of(DOCS / "api.md")
    else:
        text = sections(DOCS / "api.md", 3)[route]
    assert operations()[route] <= set(re.findall(r"`([^`\n]+)`", text))


def test_api_page_has_every_error_code() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "memory_service").rglob("*.py")
    )
    raised = set(re.findall(r'\bcode="(\w+)"', source)) | {
        error.default_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ServiceError)
    }
    table = sections(DOCS / "api.md", 3)["Errors"]
    rows = re.findall(r"^\| \d+ \| (.+?) \|", table, re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert documented == (raised - NEVER_SERVED) | {"unknown_route", "method_not_allowed"}


def test_ingestion_page_has_every_format() -> None:
    formats = {title for title in sections(DOCS / "ingestion.md", 3) if title.startswith("`")}
    assert formats == {f"`{name}`" for name in FORMATS}


def test_ingestion_page_has_every_option() -> None:
    options = {
        flag for parameter in ALL_COMMANDS["memory-ingest"].params for flag in parameter.opts
    }
    text = text_of(DOCS / "ingestion.md")
    of_the_shell = {"--install-completion", "--show-completion"}
    assert {
        flag for flag in options - of_the_shell if flag.startswith("--") and flag not in text
    } == set()


def test_architecture_page_has_the_order_of_packages() -> None:
    table = sections(DOCS / "architecture.md", 2)["Packages"]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert rows == [name for name in ORDER if name != "__main__" and "." not in name]


def test_evaluation_page_has_table_marks_and_command() -> None:
    document = DOCS / "evaluation.md"
    assert "\nnew\n" in placed(document, "new")
    (line,) = re.findall(r"^python -m eval tables .*", text_of(document), re.MULTILINE)
    assert line.endswith("--into docs/evaluation.md")


@pytest.mark.parametrize("name", ["evidence", "ablation"])
def test_plots_of_readme_are_small_and_labelled(name: str) -> None:
    assert f"](docs/{name}.svg)" in text_of(README)
    plot = (DOCS / f"{name}.svg").read_text(encoding="utf-8")
    assert len(plot) < 60_000
    assert ": locomo<" in plot
    assert re.search(r"held back: \d+ questions, 95 % intervals", plot)


def test_table_rows_have_as_many_cells_as_their_header() -> None:
    for page in PAGES:
        rows = [
            (number, row.replace("\\|", "").count("|"))
            for number, row in enumerate(text_of(page).splitlines(), start=1)
            if row.lstrip().startswith("|")
        ]
        for (before, cells), (number, row_cells) in pairwise(rows):
            assert number != before + 1 or row_cells == cells, f"{page.name}:{number}"
