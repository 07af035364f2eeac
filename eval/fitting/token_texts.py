"""The texts that the token factors are fitted to, cut into windows of 50 tokens and more.

English comes from `*.docs.jsonl` files of conversations (a line: {"conv": …, "text": …}). Other
languages are the paragraphs in `token_texts.toml`. In addition there is what programs write into
chats. Half of the texts fit, the other half is held back; all choices are seeded.
"""

from __future__ import annotations

import base64
import json
import random
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from memory_service.tokens.counting import TokenCounter

CORPORA = ("locomo", "realtalk", "beam_100k")
SHORTEST_TOKENS = 50
WINDOWS = 200
"""Windows of each language."""
DOCUMENTS = 1_200
"""Texts of each corpus."""

_LONG_CHARS = 1_200
_UNSPACED = frozenset({"zh", "zh-Hant", "ja", "th"})
"""Languages whose lines and paragraphs are joined without a blank."""


@dataclass(frozen=True, slots=True)
class TextSample:
    """A span of text with the number of tokens that it should be counted as.

    `group` is its corpus or language; `script` names its factor.
    """

    group: str
    script: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class LanguageTexts:
    """The paragraphs of one language, and the script whose factor is fitted to them."""

    script: str
    paragraphs: Sequence[str]


class _Text(NamedTuple):
    group: str
    script: str
    text: str


def load_languages() -> Mapping[str, LanguageTexts]:
    """Read the paragraphs by language."""
    path = Path(__file__).with_name("token_texts.toml")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        language: LanguageTexts(entry["script"], entry["paragraphs"].strip().split("\n\n"))
        for language, entry in entries.items()
    }


def samples(docs: Path, half: int, truth: TokenCounter) -> Iterator[TextSample]:
    """Yield the samples of one half (0 fits, 1 is held back) that are long enough.

    `truth` counts their tokens.
    """
    for group, script, text in _texts(docs, half, truth):
        tokens = truth.count(text)
        if tokens >= SHORTEST_TOKENS:
            yield TextSample(group, script, text, tokens)


def _texts(docs: Path, half: int, truth: TokenCounter) -> Iterator[_Text]:
    """Yield the texts of one half."""
    rng = random.Random(half)
    for corpus in CORPORA:
        for text in _conversation_texts(docs / f"{corpus}.docs.jsonl", half, rng):
            yield _Text(corpus, "latin", text)
    for text in _machine_texts(rng):
        yield _Text("machine", "latin", text)
    for language, texts in load_languages().items():
        running = join_lines(language, texts.paragraphs[half::2])
        for window in _windows(running, len(running) / truth.count(running), rng):
            yield _Text(language, texts.script, window)


def join_lines(language: str, paragraphs: Sequence[str]) -> str:
    """Return paragraphs as one running text."""
    blank = "" if language in _UNSPACED else " "
    return blank.join(blank.join(paragraph.splitlines()) for paragraph in paragraphs)


def _windows(text: str, chars_per_token: float, rng: random.Random) -> Iterator[str]:
    """Yield spans of about 50 to 250 tokens at random positions, from a blank on if any."""
    for _ in range(WINDOWS):
        start = max(0, text.rfind(" ", 0, rng.randrange(len(text))))
        yield text[start : start + int(rng.randrange(50, 250) * chars_per_token)]


def _conversation_texts(path: Path, half: int, rng: random.Random) -> Iterator[str]:
    """Yield texts of every second conversation: short ones in groups, slices of long ones."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    conversations = sorted({row["conv"] for row in rows})[half::2]
    texts = [row["text"] for row in rows if row["conv"] in conversations]
    rng.shuffle(texts)
    chosen = texts[:DOCUMENTS]
    for text in chosen:
        yield text
        if len(text) > _LONG_CHARS:
            start = rng.randrange(len(text) - 800)
            yield text[start : start + rng.randrange(200, 800)]
    for start in range(0, len(chosen), 6):
        yield "\n".join(texts[start : start + 6])


def _machine_texts(rng: random.Random) -> Iterator[str]:
    """Yield what programs write into chats: ids, hashes, base64, JSON, log lines and numbers."""
    for _ in range(WINDOWS):
        raw = rng.randbytes(120)
        yield " ".join(str(uuid.UUID(bytes=raw[at : at + 16])) for at in (0, 16, 32, 48))
        yield f"sha256:{raw[:64].hex()}"
        yield base64.b64encode(raw).decode()
        yield _json_text(raw, rng)
        yield "\n".join(_log_line(number, raw, rng) for number in range(1, 6))
        yield "\n".join(
            "\t".join(f"{rng.gauss(0, 10**power):.3f}" for power in range(6)) for _ in range(5)
        )


def _json_text(raw: bytes, rng: random.Random) -> str:
    row = {
        "id": raw[:4].hex(),
        "price_eur": rng.random() * 900,
        "inStock": True,
        "tags": ["a1", "B2"],
    }
    return json.dumps([row] * 4, indent=rng.choice((None, 2, 4)))


def _log_line(number: int, raw: bytes, rng: random.Random) -> str:
    milliseconds, worker = rng.randrange(1000), rng.randrange(9999)
    time = f"2024-0{number}-1{number}T0{number}:3{number}:15.{milliseconds}Z"
    path = f"/v1/items/{raw[number : number + 3].hex()}?page={number}"
    return f"{time} ERROR worker[{worker}] GET {path} 50{number}"
