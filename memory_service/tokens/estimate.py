"""The offline estimate of tiktoken's count, from a llama tokenizer. Pure.

The estimate is too high rather than too low: an upstream refuses a prompt that is too long, while a
prompt that is a little too short loses nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from memory_service.tokens.slices import count_in_slices, well_formed

RESERVE: Final = 1.05

# Fitted by `python -m eval fit-token-factors` to the larger count of cl100k_base and
# o200k_base. On held-out texts of 50 tokens and more, with the reserve: English 14 % too high on
# average, and too low in one of 2,385 (by 4 %, in a formula); ids, JSON and logs 17 %, other
# languages 11 % (Ukrainian) to 41 % (Chinese) too high on average and never too low.
FACTORS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "latin": 0.93,
        "accented": 0.15,
        "digits": 1.25,
        "lines": 0.5,
        "cyrillic": 1.5,
        "greek": 1.03,
        "hebrew": 1.06,
        "arabic": 0.85,
        "devanagari": 1.01,
        "thai": 0.98,
        "hangul": 0.74,
        "han": 0.95,
        "japanese": 1.02,
    }
)
# A text with at least one accented letter in this many tokens counts as accented as a whole: other
# European languages split into more tokens than English, in words without an accent too.
ACCENT_REACH: Final = 25

LATIN_AMOUNTS: Final = ("latin", "accented", "digits", "lines")

_SCRIPTS: Final = {
    "cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u0590-\u05ff\ufb1d-\ufb4f",
    "arabic": "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\u200c\ufb50-\ufdff\ufe70-\ufefe",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    # With kana, because Japanese alternates between the two every few characters.
    "han": (
        "\u2e80-\u2fdf\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
        "\uff00-\uffef\U00020000-\U0003ffff"
    ),
    # No factor: the count is their UTF-8 bytes, which no vocabulary exceeds.
    "bytes": (
        "\u0530-\u058f\u0700-\u074f\u0780-\u086f\u0980-\u0dff\u0e80-\u10ff\u1200-\u1c7f"
        "\u1c90-\u1dff\u2c00-\u2ddf\u2e00-\u2e7f\u3100-\u312f\ua000-\ua63f\ua6a0-\uabff"
        "\U00010000-\U0001efff\U00040000-\U0010ffff"
    ),
}
_SCRIPT_RUN: Final = re.compile(
    "|".join(f"(?P<{script}>[{chars}]+(?: [{chars}]+)*)" for script, chars in _SCRIPTS.items())
)
_KANA: Final = re.compile("[\u3041-\u30ff]")
_ACCENTED: Final = re.compile("[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]")
# Turkish and Vietnamese letters that llama splits into bytes: its count is high enough for these.
_SPELLED_OUT: Final = re.compile("[\u011e\u011f\u0130\u0131\u015e\u015f\u1ea0-\u1ef9]")
_DIGITS: Final = re.compile("[0-9]{1,3}")
_LINES: Final = re.compile(r"\n{1,3}")
# Pieces that tiktoken never joins: a word with one sign before it, three digits, signs, blanks.
_PIECES: Final = re.compile(r"[^\n\w]?[^\W\d_]+|[0-9]{1,3}|\d| ?[^\s\w]+\n*|_+|\s*\n|\s+")


def measure(text: str, encode_length: Callable[[str], int]) -> dict[str, int]:
    """Return the amounts that `FACTORS` weigh, by name, for a well-formed text.

    `encode_length` returns the number of a text's tokens by a llama tokenizer. Each script is
    measured by itself, because the ratio to tiktoken's count depends on it. In Latin text (with
    everything that belongs to no script, such as punctuation and emoji) digits and line ends are
    counted apart: llama has a token for each one, tiktoken one for three digits and for a run of
    line ends.
    """
    parts: dict[str, list[str]] = {}
    rest = text if text.isascii() else _take_scripts(text, parts)
    amounts = {script: encode_length(" ".join(runs)) for script, runs in parts.items()}
    if "bytes" in parts:
        amounts["bytes"] = sum(len(run.encode()) for run in parts["bytes"])
    return amounts | _measure_latin(rest, encode_length)


def _take_scripts(text: str, parts: dict[str, list[str]]) -> str:
    """Move the runs of all scripts but Latin into `parts`; return the remaining text."""

    def take(match: re.Match[str]) -> str:
        script = "japanese" if _KANA.search(match[0]) else str(match.lastgroup)
        parts.setdefault(script, []).append(match[0])
        return ""

    return _SCRIPT_RUN.sub(take, text)


def _measure_latin(text: str, encode_length: Callable[[str], int]) -> dict[str, int]:
    """Return the amounts of Latin text; empty if there is none."""
    if not text:
        return {}
    groups = _DIGITS.findall(text)
    single = sum(map(len, groups)) + text.count("\n")
    tokens = max(0, encode_length(text) - single)
    accents = 0 if text.isascii() else _count_accents(text)
    return {
        "latin": tokens,
        "accented": min(tokens, ACCENT_REACH * accents),
        "digits": len(groups),
        "lines": len(_LINES.findall(text)),
        "pieces": len(_PIECES.findall(text)),
    }


def _count_accents(text: str) -> int:
    """Return the accented letters, less three for each that llama spells out, at least 0."""
    return max(0, len(_ACCENTED.findall(text)) - 4 * len(_SPELLED_OUT.findall(text)))


def weigh(amounts: Mapping[str, int], factors: Mapping[str, float]) -> float:
    """Return the estimate without the reserve for the amounts of `measure`.

    Latin text has at least as many tokens as pieces, because tiktoken splits between pieces with
    any vocabulary. This matters for plain words and formulas, where llama's tokens are as few as
    tiktoken's.
    """
    latin = sum(factors[name] * amounts.get(name, 0) for name in LATIN_AMOUNTS)
    others = amounts.keys() - {*LATIN_AMOUNTS, "pieces", "bytes"}
    return max(latin, amounts.get("pieces", 0)) + sum(
        factors[name] * amounts[name] for name in others
    )


class OfflineCounter:
    """An upper estimate of tiktoken's count from a llama tokenizer.

    The amounts of `measure` are weighed by `FACTORS` and multiplied by `RESERVE`. The factors are
    near the highest ratios seen, not averages.
    """

    name = f"offline:llama+{round(100 * RESERVE - 100)}%"

    def __init__(self, encode_length: Callable[[str], int]) -> None:
        self.encode_length = encode_length

    def count(self, text: str) -> int:
        """Return the estimate: 0 for an empty text, never more than its UTF-8 bytes."""
        return count_in_slices(well_formed(text), self._estimate)

    def _estimate(self, text: str) -> int:
        if not text:
            return 0
        amounts = measure(text, self.encode_length)
        estimate = math.ceil(RESERVE * weigh(amounts, FACTORS)) + amounts.get("bytes", 0)
        return max(1, min(estimate, len(text.encode())))
