"""Plain dialogues: `Ann: …`, Markdown's `**Ann:** …`, or a heading for each turn (`## User`).

Much prose has a word and a colon at the beginning of a line. So only what is plainly a dialogue is
one: it begins with somebody speaking (a title may come first), and there are at least two speakers
who both speak again, or who are a user and an assistant. What follows other words and a colon
belongs to the turn it stands in; so does everything between the fences of a code block.

There are no times. A file is one conversation, known by its first two turns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ingest.chains import Chain, speaker, title
from ingest.openai_items import storable
from ingest.records import text_lines
from ingest.sources import Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id

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
"""Words that say a role and no name."""
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


@dataclass(slots=True)
class _Turn:
    """Who speaks, and the lines of it."""

    place: Place
    name: str
    lines: list[str] = field(default_factory=list)


def sniff(source: Source) -> bool:
    """Return whether a text is plainly a dialogue."""
    return any(_find_style(head.split("\n")) is not None for head in source.heads("*.txt", "*.md"))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each file."""
    for member in source.reading("*.txt", "*.md"):
        lines = list(text_lines(member, warn))
        found = _find_style([line for _, line in lines])
        if found is None:
            warn(Place(member.name, 1), f"is no dialogue that can be told from prose: {EXPECTS}")
            continue
        style, speakers = found
        turns, before = _turns(lines, style, speakers)
        yield _transcript(Place(member.name, 1), turns, before, options)


def _find_style(lines: Sequence[str]) -> tuple[re.Pattern[str], frozenset[str]] | None:
    """Return how turns begin, and who speaks; None if this is no dialogue."""
    for style in _STYLES:
        speakers = _speakers(list(_beginnings(lines, style)), by_heading=style is _STYLES[0])
        if speakers and _begins_with(lines, style, speakers):
            return style, speakers
    return None


def _speakers(found: Sequence[re.Match[str]], *, by_heading: bool) -> frozenset[str]:
    """Return who speaks, in lower case; nobody if this is no dialogue."""
    names = Counter(match["name"].casefold() for match in found)
    by_role = {name for name in names if name in _ROLES}
    if {"user", "assistant"} <= {_ROLES[name] for name in by_role}:
        return frozenset(by_role)
    if by_heading:
        return frozenset()
    people = by_role | {
        name for name, times in names.items() if times > 1 and name not in _NO_SPEAKERS
    }
    said = [match["text"] or "" for match in found if match["name"].casefold() in people]
    # Settings and tables have one word after a name, or a number.
    sentences = sum(not text or " " in text or text.endswith(_ENDS) for text in said)
    return frozenset(people) if len(people) > 1 and 2 * sentences >= len(said) else frozenset()


def _beginnings(lines: Iterable[str], style: re.Pattern[str]) -> Iterator[re.Match[str]]:
    is_code = False
    for line in lines:
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code and (match := style.match(line)) is not None:
            yield match


def _begins_with(lines: Sequence[str], style: re.Pattern[str], speakers: frozenset[str]) -> bool:
    """Return whether the first line, or the first after a title, is somebody speaking."""
    said = [line for line in lines if line.strip() and line.strip("-*_ ")]
    for line in said[:2]:
        match = style.match(line)
        if match is not None and match["name"].casefold() in speakers:
            return True
        if not _TITLE.match(line):
            return False
    return False


def _turns(
    lines: Sequence[tuple[Place, str]], style: re.Pattern[str], speakers: frozenset[str]
) -> tuple[list[_Turn], list[str]]:
    """Return the turns, and the lines before the first."""
    turns: list[_Turn] = []
    before: list[str] = []
    is_code = False
    for place, line in lines:
        match = None if is_code else style.match(line)
        if _FENCE.match(line):
            is_code = not is_code
        if match is not None and match["name"].casefold() in speakers:
            turns.append(_Turn(place, match["name"], [match["text"] or ""]))
        elif turns:
            turns[-1].lines.append(line)
        elif line.strip():
            before.append(line)
    return turns, before


def _transcript(
    place: Place, turns: Sequence[_Turn], before: Sequence[str], options: Options
) -> Transcript:
    said = [(turn, storable("\n".join(turn.lines)).strip()) for turn in turns]
    beginning = [part for turn, text in said[:2] for part in (turn.name, text)]
    chain = Chain(derived_id("conv", NAME, *beginning))
    heading = _TITLE.match(before[0]) if before else None
    if len(before) > (heading is not None):
        chain.skipped["text before the dialogue"] = 1
    end: str | None = None
    for turn, text in said:
        word = turn.name.casefold()
        if not text:
            chain.skipped["empty"] += 1
            continue
        end = chain.add(
            {"role": _ROLES.get(word, "user"), "content": text},
            parent=end,
            name=None if word in _GENERIC or word == "system" else speaker(turn.name),
        )
    return Transcript(
        place=place,
        id=chain.conversation_id,
        items=chain.kept(end, options),
        head=end,
        title=title(heading[1]) if heading else None,
        metadata={"source": NAME},
        skipped=chain.skipped,
    )
