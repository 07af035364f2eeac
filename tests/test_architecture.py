"""The house rules, read off the syntax: who may import whom, and what only one file may do."""

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

ROOT = Path(__file__).parent.parent
PRODUCT = ("memory_service", "ingest")
PACKAGES = (*PRODUCT, "eval")


class Layer(NamedTuple):
    """Modules (and the packages below them) that lie on one level."""

    name: str
    modules: tuple[str, ...]
    may_import_each_other: bool = False


# From the bottom up: a module imports from the layers below its own.
LAYERS = (
    Layer("version", ("memory_service",)),
    Layer("errors", ("errors",)),
    Layer("records", ("records",)),
    Layer(
        "pure",
        (
            *("strict_json", "clock", "items", "analyser", "chunking", "tokens", "ranking"),
            *("messages", "prompt", "relevance", "small_talk", "terminal", "alignment", "echo"),
            *("folding", "summary_prompts", "summary_part", "word_pieces"),
            *(
                "cues",
                "lexicon",
                "matching",
                "reading",
                "selection",
                "holidays",
                "time_expressions",
                "time_words",
                "timeline",
            ),
        ),
        may_import_each_other=True,
    ),
    Layer("configuration", ("settings", "logs")),
    Layer("turn log", ("turn_log",), may_import_each_other=True),
    Layer(
        "checks and files of vendors",
        ("embedders.checks", "openai_client", "chroma_files"),
    ),
    Layer("processes", ("wire", "child_process", "garbage"), may_import_each_other=True),
    Layer(
        "adapters",
        (
            *("embedders.local", "embedders.openai", "embedders.chroma_registry"),
            *("chroma_index", "vocabularies", "testing", "chat_model", "upstream"),
        ),
    ),
    Layer("interfaces", ("interfaces",)),
    Layer("process of an adapter", ("chroma_process",)),
    Layer("in that process", ("chroma_child",)),
    Layer("cache", ("conversation_cache",)),
    Layer("behind the use cases", ("vector_cache", "path_cache", "later")),
    Layer("states and traces", ("prompt_states", "traces")),
    Layer("choice of an adapter", ("embedders", "embedders.opening"), may_import_each_other=True),
    Layer("before the use cases", ("planning",)),
    Layer(
        "use cases",
        (
            *("remember", "indexing", "recall", "build_prompt", "forget", "export", "verify"),
            *("summarize", "summary_work", "summary_search", "prompt_summaries"),
            *("index_repair", "passage_vectors", "placement", "rebuild", "scrub"),
        ),
        may_import_each_other=True,
    ),
    Layer("gateway", ("gateway",), may_import_each_other=True),
    Layer("composition", ("service",)),
    Layer("in process", ("embedded",)),
    Layer("api", ("api",), may_import_each_other=True),
    Layer("server", ("server",)),
    Layer("for people to read", ("prompt_view",)),
    Layer("demonstration", ("quickstart", "ask")),
    Layer("command", ("cli", "__main__"), may_import_each_other=True),
    Layer("ingest", ("ingest",), may_import_each_other=True),
    Layer("eval", ("eval",), may_import_each_other=True),
)

# A library whose types or habits must not spread has one home.
HOMES = {
    "chromadb": ("chroma_index", "embedders.chroma_registry", "eval.vector_baseline"),
    "tiktoken": ("vocabularies",),
    "tiktoken_ext": ("vocabularies",),
    "sqlalchemy": ("turn_log",),
    "sqlite3": ("turn_log", "chroma_files"),
    "alembic": ("turn_log",),
    "fastapi": ("api",),
    "starlette": ("api",),
    "uvicorn": ("server",),
    "threadpoolctl": ("server",),
    "filelock": ("service", "chroma_child"),
    "typer": ("cli", "ingest.cli"),
    "Stemmer": ("analyser",),
    "py3langid": ("analyser",),
    "safetensors": ("embedders.local",),
}

OFFERED = {"embedded"}
"""What the package itself offers by name, and imports only when somebody asks for it."""

CATCH_EVERYTHING = {
    "api.middleware": 1,  # A bug in a request is answered and logged, whatever it is.
    "gateway.converse": 1,  # A bug in recall must not stop a conversation that needs none.
    "chroma_child": 1,  # A panic of Chroma's Rust reaches the parent as an answer, not as silence.
    "indexing": 1,  # The thread outlives a bug: it is logged, shown by /readyz, and tried again.
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
            yield from (Import(_short(one.name), node.lineno) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import on line {node.lineno}"
            for one in node.names:
                inner = _short(f"{node.module}.{one.name}")
                name = inner if inner in modules() else _short(str(node.module))
                yield Import(name, node.lineno)


def within(module: str, names: tuple[str, ...]) -> bool:
    """Return whether a module is one of the names, or below one of them."""
    return any(
        module == name or (name != "memory_service" and module.startswith(f"{name}."))
        for name in names
    )


def level(module: str) -> int:
    """Return the number of the layer whose name for a module is the longest."""
    fitting = [
        (len(name), number)
        for number, layer in enumerate(LAYERS)
        for name in layer.modules
        if within(module, (name,))
    ]
    assert fitting, f"{module} is in no layer: give it its place"
    return max(fitting)[1]


def layer_named(name: str) -> Layer:
    return next(layer for layer in LAYERS if layer.name == name)


def product_modules() -> list[str]:
    return [name for name in modules() if not within(name, ("eval",))]


@pytest.mark.parametrize("module", list(modules()))
def test_a_module_imports_from_the_layers_below_its_own(module: str) -> None:
    own = level(module)
    for target, line in imports(modules()[module]):
        if target not in modules() or target == module:
            continue
        if module == "memory_service" and target in OFFERED:
            continue
        theirs = level(target)
        allowed = theirs < own or (theirs == own and LAYERS[own].may_import_each_other)
        assert allowed, f"{module}:{line} imports {target}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        name: {one.target for one in imports(tree) if one.target in modules()} - {name}
        if name != "memory_service"
        else set[str]()
        for name, tree in modules().items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


@pytest.mark.parametrize("module", list(modules()))
def test_no_import_of_our_own_hides_in_a_function(module: str) -> None:
    functions = [
        node
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    hidden = [one for node in functions for one in imports(node) if one.target in modules()]
    assert hidden == []


@pytest.mark.parametrize("layer", ["use cases", "gateway", "api", "interfaces"])
def test_what_decides_knows_neither_adapters_nor_settings(layer: str) -> None:
    foreign = (*layer_named("adapters").modules, "settings")
    for module in filter(lambda one: within(one, layer_named(layer).modules), modules()):
        if module in {"api.app", "api.state"}:
            continue  # They hand the settings on to whoever opens the service.
        for target, line in imports(modules()[module]):
            assert not within(target, foreign), f"{module}:{line} imports {target}"


@pytest.mark.parametrize("library", list(HOMES))
def test_a_library_stays_at_home(library: str) -> None:
    users = {
        module
        for module in product_modules()
        if any(within(one.target, (library,)) for one in imports(modules()[module]))
    }
    assert users, f"nobody imports {library} any more"
    assert {module for module in users if not within(module, HOMES[library])} == set()


@pytest.mark.parametrize("module", product_modules())
def test_the_environment_is_read_in_the_settings_only(module: str) -> None:
    reads = {
        node.lineno
        for node in ast.walk(modules()[module])
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"})
    }
    assert not reads or module == "settings"


@pytest.mark.parametrize("module", list(modules()))
def test_nobody_catches_everything_but_where_it_is_said(module: str) -> None:
    broad = [
        node.lineno
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node.type)
    ]
    assert len(broad) == CATCH_EVERYTHING.get(module, 0), f"{module}: lines {broad}"


def _catches_everything(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"})
        for name in names
    )


@pytest.mark.parametrize("module", list(modules()))
def test_nothing_is_done_when_a_module_is_imported(module: str) -> None:
    for node in modules()[module].body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            allowed = called.startswith("app.") or within(module, ("turn_log.migrations.env",))
            assert allowed, f"{module}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=lambda one: one.name)
def test_no_test_sleeps_or_mocks(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not [one for one in imports(tree) if within(one.target, ("unittest", "mock"))]
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"sleep", "time.sleep", "asyncio.sleep"} & set(calls)


@pytest.mark.parametrize("module", ["memory_service.server", "ingest.cli"])
def test_the_process_beside_chromas_does_not_import_it(module: str) -> None:
    program = f"import sys, {module}; sys.exit('chromadb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
