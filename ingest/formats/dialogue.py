"""Plain dialogues: `Ann: …`, Markdown's `**Ann:** …`, or a heading for each turn (`## User`).

Prose often has a word and a colon at the beginning of a line. So a text is a dialogue only if it
begins with a speaker (a title may come first), and if there are at least two speakers who both
speak again, or who are a user and an assistant. A line with another word and a colon belongs to the
turn that contains it; so does everything between the fences of a code block.

There are no times. A file is one conversation, identified by its first two turns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ingest.items.fields import one_line_title, speaker_name, storable
from ingest.records.lines import text_lines
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder

NAME = "dialogue"
EXPECTS = 'dialogues as text or Markdown: "Ann: …" and "Ben: …", "**Ann:** …", or "## User"'

_USERS = ("user", "human", "you", "me", "you said", "prompt")
_ASSISTANTS = (
    *("assistant", "ai", "bot", "model", "response", "chatgpt", "chatgpt said", "gpt", "claude"),
    *("claude said", "gemini", "copilot", "llama", "mistral"),
)
_ROLES = {
    **dict.fromkeys(_USERS, "user"),
    **dict.fromkeys(_ASSISTANTS, "assistant"),
    "system": "system",
}
_GENERIC = frozenset({"user", "human", "you", "me", "you said", "prompt", "assistant", "ai"})
"""Words for a role that are not names."""
_NO_SPEAKERS = frozenset(
    {
        *("from", "to", "cc", "bcc", "subject", "date", "sent", "re", "fwd", "reply-to"),
        *("note", "notes", "warning", "caution", "tip", "todo", "fixme", "example", "summary"),
        *("question", "answer", "decision", "action", "result", "status", "version", "description"),
        *("added", "fixed", "changed", "removed", "input", "output", "usage", "returns", "raises"),
        *("title", "author", "http", "https", "file", "path", "url", "name", "age", "email"),
        *("debug", "info", "notice", "error", "critical", "fatal", "trace"),
    }
)
_NAME = r"[^\W\d_][\w.'\u2019-]*(?: [\w.'\u2019()-]+){0,3}"
_STYLES = (
    re.compile(rf"#{{1,6}} +(?P<name>{_NAME})\s*:?\s*$(?P<text>)"),
    re.compile(rf"\*\*(?P<name>{_NAME})\s*(?::\*\*|\*\*\s*:)\s*(?P<text>.*)$"),
    re.compile(rf"(?P<name>{_NAME}):(?:\s+(?P<text>.*))?$"),
)
_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f")
_TITLE = re.compile(r"#{1,6} +(\S.*)$")
_FENCE = re.compile(r"\s*(```|~~~)")


class _Turn(NamedTuple):
    """The lines of one speaker."""

    location: Location
    name: str
    lines: list[str]


class _Style(NamedTuple):
    """How the turns of a text begin, and its speakers in lower case."""

    beginning: re.Pattern[str]
    speakers: frozenset[str]

    def match(self, line: str) -> re.Match[str] | None:
        """Return the match of a line in which one of the speakers begins a turn."""
        match = self.beginning.match(line)
        return match if match is not None and match["name"].casefold() in self.speakers else None


def sniff(source: ExportSource) -> bool:
    """Return whether a text is plainly a dialogue."""
    return any(_find_style(head.split("\n")) is not None for head in source.heads("*.txt", "*.md"))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each file."""
    for member in source.reading("*.txt", "*.md"):
        lines = list(text_lines(member, warn))
        style = _find_style([line for _, line in lines])
        if style is None:
            warn(Location(member.name, 1), f"is not a dialogue; expected are {EXPECTS}")
            continue
        turns, preface = _turns(lines, style)
        yield _transcript(Location(member.name, 1), turns, preface, options)


def _find_style(lines: Sequence[str]) -> _Style | None:
    """Return the form of turns and the speakers; None if this is not a dialogue."""
    for beginning in _STYLES:
        matches = list(_beginnings(lines, beginning))
        style = _Style(beginning, _speakers(matches, by_heading=beginning is _STYLES[0]))
        if style.speakers and _begins_with_speaker(lines, style):
            return style
    return None


def _speakers(matches: Sequence[re.Match[str]], *, by_heading: bool) -> frozenset[str]:
    """Return the speakers in lower case; empty if this is not a dialogue."""
    names = Counter(match["name"].casefold() for match in matches)
    by_role = {name for name in names if name in _ROLES}
    if {"user", "assistant"} <= {_ROLES[name] for name in by_role}:
        return frozenset(by_role)
    if by_heading:
        return frozenset()
    people = by_role | {
        name for name, times in names.items() if times > 1 and name not in _NO_SPEAKERS
    }
    texts = [match["text"] or "" for match in matches if match["name"].casefold() in people]
    # Settings and tables have one word after a name, or a number.
    sentences = sum(not text or " " in text or text.endswith(_ENDS) for text in texts)
    return frozenset(people) if len(people) > 1 and 2 * sentences >= len(texts) else frozenset()


def _beginnings(lines: Iterable[str], beginning: re.Pattern[str]) -> Iterator[re.Match[str]]:
    is_code = False
    for line in lines:
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code and (match := beginning.match(line)) is not None:
            yield match


def _begins_with_speaker(lines: Sequence[str], style: _Style) -> bool:
    """Return whether a turn begins on the first line, or on the first after a title."""
    filled = [line for line in lines if line.strip() and line.strip("-*_ ")]
    for line in filled[:2]:
        if style.match(line) is not None:
            return True
        if not _TITLE.match(line):
            return False
    return False


def _turns(lines: Sequence[tuple[Location, str]], style: _Style) -> tuple[list[_Turn], list[str]]:
    """Return the turns, and the lines before the first."""
    turns: list[_Turn] = []
    preface: list[str] = []
    is_code = False
    for location, line in lines:
        match = None if is_code else style.match(line)
        if _FENCE.match(line):
            is_code = not is_code
        if match is not None:
            turns.append(_Turn(location, match["name"], [match["text"] or ""]))
        elif turns:
            turns[-1].lines.append(line)
        elif line.strip():
            preface.append(line)
    return turns, preface


def _transcript(
    location: Location, turns: Sequence[_Turn], preface: Sequence[str], options: FormatOptions
) -> Transcript:
    texts = [storable("\n".join(turn.lines)).strip() for turn in turns]
    beginning = [
        part for turn, text in zip(turns[:2], texts, strict=False) for part in (turn.name, text)
    ]
    builder = TranscriptBuilder(derived_id("conv", NAME, *beginning))
    heading = _TITLE.match(preface[0]) if preface else None
    if len(preface) > (heading is not None):
        builder.skipped["text before the dialogue"] = 1
    for turn, text in zip(turns, texts, strict=True):
        if not text:
            builder.skipped["empty"] += 1
            continue
        word = turn.name.casefold()
        is_role = word in _GENERIC or word == "system"
        builder.add(
            {"role": _ROLES.get(word, "user"), "content": text},
            parent=builder.last,
            name=None if is_role else speaker_name(turn.name),
            location=turn.location,
        )
    return builder.build(
        location,
        builder.last,
        options,
        title=one_line_title(heading[1]) if heading else None,
        metadata={"source": NAME},
    )
