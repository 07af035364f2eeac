"""Showing transcripts on a terminal, without effect of their control characters and markup."""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

# All control characters but line feed and tab, with the C1 set and the bidirectional overrides.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str, style: str = "") -> Text:
    """Return a text from a transcript for rich, in which markup and escapes have no effect."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), style=style)


def stdout() -> Console:
    """Return a console on standard output; plain text when that is not a terminal."""
    return Console(highlight=False)


def stderr() -> Console:
    """Return a console on standard error, for progress and errors."""
    return Console(stderr=True, highlight=False)
