"""The documentation as tests read it: pages, fenced blocks, command lines, links and headings."""

from __future__ import annotations

import re
import shlex
import string
import textwrap
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.support.environment import ROOT

README = ROOT / "README.md"
PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAMS = ("memory-service", "memory-ingest", "python -m eval")

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"<!-- (.+?) -->\n *$")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ASSIGNMENT = re.compile(r"\w+=\S*")


class Block(NamedTuple):
    """A fenced block: its page, line and language, the comment above it, and its text."""

    page: Path
    line: int
    language: str
    marker: str
    source: str

    @property
    def name(self) -> str:
        """Where it is, such as `README.md:12`."""
        return f"{self.page.name}:{self.line}"


class CommandLine(NamedTuple):
    """A command line of the project: where it is, its variables, program and arguments."""

    place: str
    variables: tuple[str, ...]
    program: str
    arguments: tuple[str, ...]


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _BLOCK.sub("", text_of(page))


def blocks(*pages: Path) -> list[Block]:
    """Return the fenced blocks of some pages, of all by default."""
    fenced_blocks = []
    for page in pages or PAGES:
        text = text_of(page)
        for match in _BLOCK.finditer(text):
            above = text[: match.start()]
            marker = _MARKER.search(above)
            fenced_blocks.append(
                Block(
                    page=page,
                    line=above.count("\n") + 1,
                    language=match[2],
                    marker=marker[1] if marker else "",
                    source=textwrap.dedent(match[3]),
                )
            )
    return fenced_blocks


def marked(kind: str, *pages: Path) -> list[Block]:
    """Return the blocks whose marker is `run: KIND`, with or without a package behind it."""
    return [
        block for block in blocks(*pages) if block.marker.partition(" with ")[0] == f"run: {kind}"
    ]


def command_lines() -> list[CommandLine]:
    """Return the project's command lines of all shell blocks."""
    return [
        line
        for block in blocks()
        if block.language == "sh"
        for words in _commands(block.source)
        if (line := _command_line(block.name, words)) is not None
    ]


def _commands(source: str) -> Iterator[list[str]]:
    """Yield the words of each command; variables that the block sets are replaced."""
    variables: dict[str, str] = {}
    for line in source.replace("\\\n", " ").splitlines():
        words = shlex.split(string.Template(line).safe_substitute(variables), comments=True)
        if len(words) == 1 and _ASSIGNMENT.match(words[0]):
            name, _, variables[name] = words[0].partition("=")
            continue
        for is_separator, group in groupby(words, key=lambda word: word in {"&&", "|", ">"}):
            if not is_separator:
                yield list(group)


def _command_line(place: str, words: list[str]) -> CommandLine | None:
    variables = [word for word in words if re.match(r"[A-Z_]+=", word)]
    words = words[len(variables) :]
    name = Path(words[0]).name if words else ""
    if words[:3] == ["docker", "compose", "run"]:
        program, arguments = "memory-service", words[words.index("memory_service") + 1 :]
    elif name == "python" and words[1:3] == ["-m", "eval"]:
        program, arguments = "python -m eval", words[3:]
    elif name in PROGRAMS:
        program, arguments = name, words[1:]
    else:
        return None
    return CommandLine(place, tuple(variables), program, tuple(arguments))


def inline_commands() -> list[CommandLine]:
    """Return the command lines that stand in the text; they may have placeholders."""
    return [
        CommandLine(page.name, (), program, tuple(code[len(program) :].split()))
        for page in PAGES
        for code in _INLINE.findall(prose_of(page))
        for program in PROGRAMS
        if code == program or code.startswith(f"{program} ")
    ]


def inline_code(page: Path) -> list[str]:
    """Return what stands between backticks in the text of a page."""
    return _INLINE.findall(prose_of(page))


def links(page: Path) -> list[str]:
    """Return the relative links of a page."""
    return [link for link in _LINK.findall(prose_of(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    counted: Counter[str] = Counter()
    slugs = set()
    for _, title in _HEADING.findall(prose_of(page)):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        slugs.add(f"{slug}-{counted[slug]}" if counted[slug] else slug)
        counted[slug] += 1
    return slugs


def sections(page: Path, level: int) -> dict[str, str]:
    """Return the text below each heading of a level, up to the next of that or a higher level."""
    text = prose_of(page)
    headings = [match for match in _HEADING.finditer(text) if len(match[1]) <= level]
    ends = [*(match.start() for match in headings[1:]), len(text)]
    return {
        match[2]: text[match.end() : end]
        for match, end in zip(headings, ends, strict=True)
        if len(match[1]) == level
    }
