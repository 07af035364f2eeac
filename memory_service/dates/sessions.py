"""Sessions that a question counts: "two sessions ago", "our first conversation". Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from memory_service.dates.english import (
    CONVERSATION,
    NUMBER,
    ORDINAL,
    TO,
    compiled,
    number_value,
)
from memory_service.text.spans import Span


class SessionRange(NamedTuple):
    """Sessions from the first to the last, counted from 1, or from the end where negative."""

    first: int
    last: int


class SessionRule(NamedTuple):
    """A named pattern, and the sessions that its match means."""

    name: str
    pattern: re.Pattern[str]
    sessions: Callable[[re.Match[str]], SessionRange]


class SessionMatch(NamedTuple):
    """Sessions, and the span of the text that names them."""

    sessions: SessionRange
    span: Span


def find_sessions(text: str) -> list[SessionMatch]:
    """Return the sessions that a text counts; no two spans overlap."""
    matches: list[SessionMatch] = []
    for rule in SESSION_RULES:
        for match in rule.pattern.finditer(text):
            if not any(match.start() < end and start < match.end() for _, (start, end) in matches):
                matches.append(SessionMatch(rule.sessions(match), Span(*match.span())))
    return matches


def _ago(match: re.Match[str]) -> SessionRange:
    number = number_value(match["number"])
    return SessionRange(-number, -number)


def _last_ones(match: re.Match[str]) -> SessionRange:
    return SessionRange(-number_value(match["number"]), -1)


def _last(_match: re.Match[str]) -> SessionRange:
    return SessionRange(-1, -1)


def _before_last(_match: re.Match[str]) -> SessionRange:
    return SessionRange(-2, -2)


def _first(_match: re.Match[str]) -> SessionRange:
    return SessionRange(1, 1)


def _numbered(match: re.Match[str]) -> SessionRange:
    number = number_value(match["number"])
    return SessionRange(number, number)


def _range(match: re.Match[str]) -> SessionRange:
    return SessionRange(number_value(match["first"]), number_value(match["last"]))


def _rules() -> Iterator[SessionRule]:
    """Yield the rules in the order in which they take their parts of a text."""
    yield SessionRule(
        "sessions_ago", compiled(rf"(?P<number>{NUMBER}) {CONVERSATION}s? ago\b"), _ago
    )
    yield SessionRule(
        "last_sessions",
        compiled(rf"(?:the |our )?(?:last|past|previous) (?P<number>{NUMBER}) {CONVERSATION}s\b"),
        _last_ones,
    )
    yield SessionRule(
        "session_before_last",
        compiled(
            rf"(?:the |our )?(?:{CONVERSATION} before (?:the )?last|last but one {CONVERSATION})\b"
        ),
        _before_last,
    )
    yield SessionRule(
        "not_last_session",
        compiled(
            rf"not (?:the |our )?last {CONVERSATION},? but the one before(?: that| it)?\b"
            rf"|the one before (?:the |our )?last {CONVERSATION}\b"
        ),
        _before_last,
    )
    yield SessionRule(
        "last_session",
        compiled(
            r"(?:in |during )?(?:the |our )?(?:last|latest|previous|most recent) "
            rf"{CONVERSATION}\b"
            r"|(?:the )?last time(?! (?:i|he|she|they)\b)(?=\W*$| we\b| you and i\b)"
        ),
        _last,
    )
    yield SessionRule(
        "ordinal_range",
        compiled(
            rf"(?:the |our )?(?P<first>{ORDINAL})(?: {CONVERSATION})?s? (?:through|to|until|and) "
            rf"(?:the )?(?P<last>{ORDINAL}) {CONVERSATION}s?\b"
        ),
        _range,
    )
    yield SessionRule(
        "number_range",
        compiled(
            rf"{CONVERSATION}s? (?P<first>\d{{1,3}}) ?{TO} ?(?:{CONVERSATION} )?"
            r"(?P<last>\d{1,3})\b"
        ),
        _range,
    )
    yield SessionRule(
        "ordinal_session",
        compiled(
            rf"(?:in |during )?(?:the |our )?(?:very )?(?P<number>{ORDINAL}) {CONVERSATION}\b"
        ),
        _numbered,
    )
    yield SessionRule(
        "numbered_session", compiled(r"(?:in )?session (?P<number>\d{1,3})\b"), _numbered
    )
    yield SessionRule(
        "first_time",
        compiled(r"(?:the )?(?:very )?first time we (?:talked|spoke|chatted|met)\b"),
        _first,
    )


SESSION_RULES = tuple(_rules())
