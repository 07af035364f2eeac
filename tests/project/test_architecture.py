"""Rules of the code, checked in the syntax tree: imports, broad excepts, calls at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.environment import ROOT

PRODUCT = ("memory_service", "ingest")
PACKAGES = (*PRODUCT, "eval")


# Lowest first: a package imports from itself and from those above it in this list.
ORDER = (
    "core",
    "testing",
    "text",
    "tokens",
    "items",
    "dates",
    "turn_log",
    "subprocesses",
    "chroma",
    "llm",
    "upstreams",
    "embedders",
    "recall",
    "vector_index",
    "summaries",
    "prompts",
    "conversations",
    "identity",
    "gateway",
    "responses",
    "maintenance",
    "composition",
    "service",
    "embedded",
    "api",
    "server",
    "commands",
    "__main__",
    "ingest.transcripts",
    "ingest.sources",
    "ingest.records",
    "ingest.items",
    "ingest.trees",
    "ingest.formats",
    "ingest.sinks",
    "ingest.pipeline",
    "ingest.progress",
    "ingest.cli",
    "ingest",
    "eval",
)

EVAL_ORDER = (
    "eval.errors",
    "eval.json_files",
    "eval.extras",
    "eval.provenance",
    "eval.console",
    "eval.datasets",
    "eval.metrics",
    "eval.systems",
    "eval.runs",
    "eval.reports",
    "eval.retrieval",
    "eval.answers",
    "eval.benchmarks",
    "eval.fitting",
)
"""The same, inside `eval`."""

LEVELS = (*ORDER[:-1], *EVAL_ORDER, ORDER[-1])

POLICY = (
    *("recall", "vector_index", "summaries", "prompts", "conversations", "gateway"),
    *("identity", "maintenance", "api"),
)
"""Packages of policy; adapters and settings are passed to them."""

ADAPTERS = (
    *("chroma", "llm", "embedders", "core.settings"),
    *("tokens.encodings", "tokens.vocabularies", "tokens.llama_tokenizer"),
)

# The modules that may import a library.
LIBRARY_USERS = {
    "chromadb": ("chroma.index", "embedders.chroma_registry"),
    "tiktoken": ("tokens.encodings",),
    "tiktoken_ext": ("tokens.encodings",),
    "sqlalchemy": ("turn_log",),
    "sqlite3": ("turn_log", "chroma.files"),
    "alembic": ("turn_log",),
    "fastapi": ("api",),
    "starlette": ("api",),
    "uvicorn": ("server",),
    "imagesize": ("tokens.media_files",),
    "tinytag": ("tokens.media_files",),
    "tokenizers": ("tokens.llama_tokenizer", "embedders.local"),
    "threadpoolctl": ("server",),
    "filelock": ("composition.data_folder", "chroma.child"),
    "typer": ("commands", "ingest.cli"),
    "Stemmer": ("text",),
    "py3langid": ("text",),
    "safetensors": ("embedders.local",),
}

LAZY_IMPORTS = {"embedded"}
"""Modules that `memory_service` offers by name, and imports at the first access."""

BROAD_EXCEPTS = {
    "api.middleware": 1,  # Any bug in a request is answered and logged.
    "gateway.chat_completions": 1,  # A bug in recall must not stop a conversation.
    "chroma.child": 1,  # A panic of Chroma's Rust reaches the parent as an answer.
    "vector_index.indexer": 1,  # A bug does not end the thread: it is logged and shown by /readyz.
    "embedders.chroma_registry": 2,  # Functions of any vendor, each with errors of its own.
}


class Import(NamedTuple):
    """An import statement's target: a dotted name, and the line it is on."""

    target: str
    line: int


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax of every module by its short name (without `memory_service.`)."""
    return {
        _short(".".join(path.relative_to(ROOT).with_suffix("").parts)): ast.parse(
            path.read_text("utf-8")
        )
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def _short(name: str) -> str:
    return name.removesuffix(".__init__").removeprefix("memory_service.")


def imports(tree: ast.AST) -> Iterator[Import]:
    """Yield what a syntax tree imports; `from a import b` is `a.b` where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(_short(imported.name), node.lineno) for imported in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import on line {node.lineno}"
            for imported in node.names:
                inner = _short(f"{node.module}.{imported.name}")
                name = inner if inner in modules() else _short(str(node.module))
                yield Import(name, node.lineno)


def within(module: str, names: tuple[str, ...]) -> bool:
    """Return whether a module is one of the names, or below one of them."""
    return any(
        module == name or (name != "memory_service" and module.startswith(f"{name}."))
        for name in names
    )


def level(module: str) -> int:
    """Return the position of a module's package in the order; `memory_service` is first."""
    if module == "memory_service":
        return -1
    fitting = [number for number, name in enumerate(LEVELS) if within(module, (name,))]
    assert fitting, f"{module} is in no package of ORDER: add it there"
    return fitting[0]


def is_package(module: str) -> bool:
    """Return whether a module is a package of the service or of the evaluation."""
    return any(name.startswith(f"{module}.") for name in modules()) and not within(
        module, ("memory_service", "turn_log.migrations")
    )


def product_modules() -> list[str]:
    return [name for name in modules() if not within(name, ("eval",))]


@pytest.mark.parametrize("module", list(modules()))
def test_imports_follow_the_order_of_packages(module: str) -> None:
    for target, line in imports(modules()[module]):
        if target in modules() and not (module == "memory_service" and target in LAZY_IMPORTS):
            assert level(target) <= level(module), f"{module}:{line} imports {target}"


def test_formats_do_not_import_each_other() -> None:
    formats = {".".join(name.split(".")[:3]) for name in modules() if name.count(".") > 1}
    products = {name for name in formats if within(name, ("ingest.formats",))}
    for module in filter(lambda name: within(name, tuple(products)), modules()):
        own = ".".join(module.split(".")[:3])
        for target, line in imports(modules()[module]):
            is_foreign = within(target, tuple(products - {own, "ingest.formats.format"}))
            assert not is_foreign, f"{module}:{line} imports {target}"


def test_imports_have_no_cycles() -> None:
    graph = {
        name: {imported.target for imported in imports(tree) if imported.target in modules()}
        - {name}
        if name != "memory_service"
        else set[str]()
        for name, tree in modules().items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


@pytest.mark.parametrize("module", list(modules()))
def test_functions_import_no_own_modules(module: str) -> None:
    functions = [
        node
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    hidden = [
        imported for node in functions for imported in imports(node) if imported.target in modules()
    ]
    assert hidden == []


@pytest.mark.parametrize("package", POLICY)
def test_policy_imports_neither_adapters_nor_settings(package: str) -> None:
    for module in filter(lambda name: within(name, (package,)), modules()):
        if module in {"api.app", "api.state"}:
            continue  # They pass the settings to the code that opens the service.
        for target, line in imports(modules()[module]):
            assert not within(target, ADAPTERS), f"{module}:{line} imports {target}"


@pytest.mark.parametrize("package", [name for name in modules() if is_package(name)])
def test_package_docstring_has_imports_and_start_reading(package: str) -> None:
    docstring = ast.get_docstring(modules()[package]) or ""
    assert "Imports: " in docstring, package
    assert "Start reading: " in docstring, package


def test_public_class_names_are_unique() -> None:
    owners: dict[str, list[str]] = {}
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners.setdefault(node.name, []).append(module)
    assert {name: where for name, where in owners.items() if len(where) > 1} == {}


@pytest.mark.parametrize("library", list(LIBRARY_USERS))
def test_library_is_imported_by_its_modules_only(library: str) -> None:
    users = {
        module
        for module in product_modules()
        if any(within(imported.target, (library,)) for imported in imports(modules()[module]))
    }
    assert users, f"no module imports {library}"
    assert {module for module in users if not within(module, LIBRARY_USERS[library])} == set()


@pytest.mark.parametrize("module", product_modules())
def test_environment_is_read_by_settings_only(module: str) -> None:
    reads = {
        node.lineno
        for node in ast.walk(modules()[module])
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"})
    }
    assert not reads or module == "core.settings"


@pytest.mark.parametrize("module", list(modules()))
def test_broad_except_only_where_listed(module: str) -> None:
    broad = [
        node.lineno
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]
    assert len(broad) == BROAD_EXCEPTS.get(module, 0), f"{module}: lines {broad}"


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"})
        for name in names
    )


@pytest.mark.parametrize("module", list(modules()))
def test_modules_call_nothing_at_import(module: str) -> None:
    for node in modules()[module].body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            allowed = called.startswith("app.") or within(module, ("turn_log.migrations.env",))
            assert allowed, f"{module}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_no_test_sleeps_or_mocks(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not [
        imported for imported in imports(tree) if within(imported.target, ("unittest", "mock"))
    ]
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"sleep", "time.sleep", "asyncio.sleep"} & set(calls)


@pytest.mark.parametrize("module", ["memory_service.server", "ingest.cli"])
def test_parent_process_does_not_import_chromadb(module: str) -> None:
    program = f"import sys, {module}; sys.exit('chromadb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
