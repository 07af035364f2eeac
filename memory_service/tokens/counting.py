"""How many tokens a text, a message or a whole prompt takes, by a counter that has a name.

Everything here is arithmetic on text: no files, no clock, no settings. The counters which know a
real vocabulary are opened in `vocabularies`.

Costs of a prompt are additive: `count_messages(messages, tools, counter)` is exactly
`PRIMING_TOKENS + count_tools(tools, counter)` plus `count_message` of each message. A prompt is
therefore built by adding up parts which were counted once.
"""

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, Protocol

# The chat format's own tokens, by the formula of OpenAI's cookbook ("How to count tokens with
# tiktoken"): three around every message, one more for a name, three which start the reply.
MESSAGE_TOKENS: Final = 3
NAME_TOKENS: Final = 1
PRIMING_TOKENS: Final = 3

# The wire form of tools is not published. The cookbook measures 7 + 12 tokens around a function
# plus 3 a property on top of its words; the JSON text with its quotes and braces outweighs the
# properties' share, so that these two constants leave the sum above what is billed.
TOOLS_TOKENS: Final = 12
TOOL_TOKENS: Final = 12
TOOL_CALL_TOKENS: Final = 8

# Media are estimates, chosen from the upper end of what the vendor's formulas give.
# An image is 85 tokens plus 170 for each 512-pixel tile, eight tiles at most.
IMAGE_LOW_TOKENS: Final = 85
IMAGE_TOKENS: Final = 85 + 8 * 170
# Sound costs about 10 tokens a second. Characters of base64 per token, at the lowest data rates
# in use: 16 kB/s uncompressed, 4 kB/s otherwise.
AUDIO_WAV_CHARS_PER_TOKEN: Final = 2000
AUDIO_CHARS_PER_TOKEN: Final = 500
# A reply's sound, sent back by its id: about half a minute of it.
AUDIO_REFERENCE_TOKENS: Final = 300
# A page of a document costs its text and an image of it, about 2500 tokens in 25 kB of base64;
# a file named only by its id counts as one page.
FILE_CHARS_PER_TOKEN: Final = 10
FILE_TOKENS: Final = 2500

RESERVE: Final = 1.05

# Fitted by `python -m eval fit-token-factors` to the larger count of cl100k_base and o200k_base.
# On texts of 50 tokens and more which were held back, with the reserve: English 14 % too high on
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
# From one accented letter in so many tokens on, a text counts wholly as accented: other European
# languages split into more tokens than English, whether a given word has an accent or not.
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
    # With kana, because Japanese changes between the two every few characters.
    "han": (
        "\u2e80-\u2fdf\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
        "\uff00-\uffef\U00020000-\U0003ffff"
    ),
    # No factor: these are counted by their UTF-8 bytes, which no vocabulary exceeds.
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
# Turkish and Vietnamese letters which llama spells out in bytes, and so counts high enough.
_SPELLED_OUT: Final = re.compile("[\u011e\u011f\u0130\u0131\u015e\u015f\u1ea0-\u1ef9]")
_DIGITS: Final = re.compile("[0-9]{1,3}")
_LINES: Final = re.compile(r"\n{1,3}")
# What tiktoken never joins: a word with one sign before it, three digits, other signs, blanks.
_PIECES: Final = re.compile(r"[^\n\w]?[^\W\d_]+|[0-9]{1,3}|\d| ?[^\s\w]+\n*|_+|\s*\n|\s+")

# Longest stretch, in characters, that a tokenizer gets at once. tiktoken's pattern overflows its
# stack between 400,000 and a million blanks, and its panic is not an `Exception`.
SLICE_CHARS: Final = 16_384
# Added for each cut through an unbroken run, where the two sides may share tokens differently.
CUT_TOKENS: Final = 4

# Encodings by the beginning of a model's name; whatever else there is today uses o200k_base.
DEFAULT_ENCODING: Final = "o200k_base"
_OLDER_ENCODING: Final = "cl100k_base"
_OLDER_MODEL: Final = re.compile(
    r"(?:ft:)?(?:gpt-4(?![.o\d])|gpt-4-|gpt-3\.?5|text-embedding-|davinci-002|babbage-002)"
)


class TokenCounter(Protocol):
    """Counts the tokens of plain text, with a name under which results can be compared."""

    @property
    def name(self) -> str:
        """Return what counts, such as "tiktoken:o200k_base" or "offline:llama+5%"."""

    def count(self, text: str) -> int:
        """Return the tokens of a text, at least 0 and 0 only if it is empty."""


def encoding_name_for_model(model: str | None) -> str:
    """Return the name of a model's encoding; an unknown model gets the newest one.

    A vendor in front ("openai/gpt-4") is passed over, since proxies add one.
    """
    name = (model or "").lower().rpartition("/")[2]
    return _OLDER_ENCODING if _OLDER_MODEL.match(name) else DEFAULT_ENCODING


def well_formed(text: str) -> str:
    """Return a text that UTF-8 can hold: halves of a surrogate pair are joined or replaced.

    JSON lets a client send half a pair, and tokenizers refuse it.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def count_in_slices(text: str, count: Callable[[str], int], limit: int = SLICE_CHARS) -> int:
    """Return `count(text)`, asking for at most `limit` characters at a time.

    A cut between a word and the blank after it is where tokenizers split too, and changes
    nothing. A text without one is cut anywhere and `CUT_TOKENS` are added for each cut, so that
    the sum errs by a few tokens in 16,384 characters, upwards.
    """
    if len(text) <= limit:
        return count(text)
    return sum(count(piece) + (0 if clean else CUT_TOKENS) for piece, clean in _cut(text, limit))


def _cut(text: str, limit: int) -> Iterator[tuple[str, bool]]:
    """Yield consecutive pieces, and whether each one ends where tokenizers split."""
    start = 0
    while len(text) - start > limit:
        end, clean = _cut_at(text, start, start + limit)
        yield text[start:end], clean
        start = end
    yield text[start:], True


def _cut_at(text: str, start: int, end: int) -> tuple[int, bool]:
    """Return the last place in the piece's second half where a blank follows a word."""
    blank = text.rfind(" ", (start + end) // 2, end)
    if blank > start and not text[blank - 1].isspace():
        return blank, True
    return end, False


def measure(text: str, encode_length: Callable[[str], int]) -> dict[str, int]:
    """Return the amounts that `FACTORS` weigh, by name, for a well-formed text.

    `encode_length` is a llama tokenizer. Its tokens are told apart by script, because how they
    compare with tiktoken's depends on it. In Latin text (with whatever belongs to no script:
    punctuation, emoji) digits and line ends are taken out: llama has a token for each one,
    tiktoken one for three digits and for a run of line ends.
    """
    parts: dict[str, list[str]] = {}
    rest = text if text.isascii() else _take_scripts(text, parts)
    amounts = {script: encode_length(" ".join(runs)) for script, runs in parts.items()}
    if "bytes" in parts:
        amounts["bytes"] = sum(len(run.encode()) for run in parts["bytes"])
    return amounts | _measure_latin(rest, encode_length)


def _take_scripts(text: str, parts: dict[str, list[str]]) -> str:
    """Move the runs of all scripts but Latin into `parts`; return what remains."""

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
    """Return the accented letters, at least 0; three for each one which is spelled out go off."""
    return max(0, len(_ACCENTED.findall(text)) - 4 * len(_SPELLED_OUT.findall(text)))


def weigh(amounts: Mapping[str, int], factors: Mapping[str, float]) -> float:
    """Return the estimate without reserve for what `measure` returned.

    Latin text is at least its pieces: tiktoken splits it there, whatever its vocabulary. This
    catches plain words and formulas, where llama's tokens are as few as tiktoken's.
    """
    latin = sum(factors[name] * amounts.get(name, 0) for name in LATIN_AMOUNTS)
    others = amounts.keys() - {*LATIN_AMOUNTS, "pieces", "bytes"}
    return max(latin, amounts.get("pieces", 0)) + sum(
        factors[name] * amounts[name] for name in others
    )


class OfflineCounter:
    """Estimates tiktoken's count from a llama tokenizer, from above.

    The amounts of `measure` are weighed by `FACTORS`, and `RESERVE` comes on top. The factors
    are no averages but near the highest ratios seen: a prompt that turns out too long is
    refused, one that is a little short loses nothing.
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


class CachedCounter:
    """Remembers what another counter said: the same turns are counted for every prompt.

    Holds at most `max_entries` counts and forgets the least recently used. A text longer than
    `max_key_chars` is kept as its hash, so memory is bounded too: at most about 1 kB an entry.
    """

    def __init__(
        self, counter: TokenCounter, max_entries: int = 32_768, max_key_chars: int = 256
    ) -> None:
        self._counter = counter
        self._max_entries = max_entries
        self._max_key_chars = max_key_chars
        self._counts: OrderedDict[str | bytes, int] = OrderedDict()
        self._lock = Lock()
        self.name = counter.name

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, text: str) -> int:
        """Return the wrapped counter's count. Two threads may both count a new text."""
        key = text if len(text) <= self._max_key_chars else _digest(text)
        with self._lock:
            known = self._counts.get(key)
            if known is not None:
                self._counts.move_to_end(key)
                return known
        counted = self._counter.count(text)
        self._remember(key, counted)
        return counted

    def _remember(self, key: str | bytes, counted: int) -> None:
        with self._lock:
            self._counts[key] = counted
            while len(self._counts) > self._max_entries:
                self._counts.popitem(last=False)


def _digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text, lone surrogates included."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def count_messages(
    messages: Iterable[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    counter: TokenCounter,
) -> int:
    """Return the tokens of a chat-completions prompt, the start of the reply included."""
    fixed = PRIMING_TOKENS + count_tools(tools, counter)
    return fixed + sum(count_message(message, counter) for message in messages)


def count_message(message: Mapping[str, Any], counter: TokenCounter) -> int:
    """Return the tokens of one message with its share of the chat format.

    Every field counts, also one that this version does not know: an upstream may put it into
    the prompt, and too high is the side to err on.
    """
    fields = (_count_field(name, value, counter) for name, value in message.items())
    return MESSAGE_TOKENS + sum(fields)


def count_tools(tools: Sequence[Mapping[str, Any]] | None, counter: TokenCounter) -> int:
    """Return the tokens of the tools' definitions, from above; 0 without tools."""
    if not tools:
        return 0
    return TOOLS_TOKENS + sum(TOOL_TOKENS + counter.count(_as_text(tool)) for tool in tools)


def _count_field(name: str, value: Any, counter: TokenCounter) -> int:
    """Return the tokens of one field of a message."""
    if value is None:
        return 0
    count_item = _LIST_ITEMS.get(name)
    if count_item and isinstance(value, list):
        return sum(count_item(item, counter) for item in value)
    if name == "function_call":
        return _count_call(value, counter)
    if name == "audio":
        return AUDIO_REFERENCE_TOKENS
    return (NAME_TOKENS if name == "name" else 0) + counter.count(_as_text(value))


def _count_part(part: Any, counter: TokenCounter) -> int:
    """Return the tokens of one part of a content list."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in {"text", "refusal"}:
        return counter.count(_as_text(part.get(kind)))
    if kind == "image_url":
        low = _get(part.get("image_url"), "detail") == "low"
        return IMAGE_LOW_TOKENS if low else IMAGE_TOKENS
    if kind == "input_audio":
        return _audio_tokens(part.get("input_audio"))
    if kind == "file":
        return _file_tokens(part.get("file"), counter)
    return counter.count(_as_text(part))


def _audio_tokens(audio: Any) -> int:
    """Return an estimate for inline sound, from the length of its base64."""
    wav = _get(audio, "format") == "wav"
    return math.ceil(
        len(_get(audio, "data")) / (AUDIO_WAV_CHARS_PER_TOKEN if wav else AUDIO_CHARS_PER_TOKEN)
    )


def _file_tokens(file: Any, counter: TokenCounter) -> int:
    """Return an estimate for a file, from the length of its base64 and at least a page."""
    size = math.ceil(len(_get(file, "file_data")) / FILE_CHARS_PER_TOKEN)
    return max(size, FILE_TOKENS) + counter.count(_get(file, "filename"))


def _count_call(call: Any, counter: TokenCounter) -> int:
    """Return the tokens of a call of a tool: its name, arguments and whatever else it holds."""
    return TOOL_CALL_TOKENS + sum(counter.count(text) for text in _texts(call))


_LIST_ITEMS: Final = MappingProxyType({"content": _count_part, "tool_calls": _count_call})


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts inside nested objects, their keys apart."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    else:
        yield _as_text(value)


def _get(value: Any, key: str) -> str:
    """Return a field as text; empty if it, or the object around it, is missing."""
    return _as_text(value.get(key)) if isinstance(value, Mapping) else ""


def _as_text(value: Any) -> str:
    """Return a text as it is, nothing for null, and compact JSON for everything else."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
