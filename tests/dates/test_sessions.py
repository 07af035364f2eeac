"""Expressions in questions that count sessions."""

import pytest

from memory_service.dates.sessions import SESSION_RULES, SessionRange, find_sessions


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What did we discuss two sessions ago?", -2, -2),
        ("What did we discuss last time?", -1, -1),
        ("What did we talk about in the last 3 conversations?", -3, -1),
        ("What did we discuss in our twenty-third session?", 23, 23),
        ("What did we discuss over sessions 15 through 17?", 15, 17),
        ("What did we chat about from the 15th through 17th sessions?", 15, 17),
        ("What did we say in the session before last?", -2, -2),
        ("What did I say the first time we talked?", 1, 1),
        ("Not our last session, but the one before that.", -2, -2),
        ("What was in session 4?", 4, 4),
    ],
)
def test_sessions_are_counted_from_either_end(question: str, first: int, last: int) -> None:
    (match,) = find_sessions(question)
    assert match.sessions == SessionRange(first, last)


def test_session_spans_do_not_overlap() -> None:
    text = "our second session, the last 3 conversations and two chats ago"
    spans = [text[slice(*match.span)] for match in find_sessions(text)]
    assert spans == ["two chats ago", "the last 3 conversations", "our second session"]


def test_session_rules_have_unique_names() -> None:
    names = [rule.name for rule in SESSION_RULES]
    assert len(set(names)) == len(names)
