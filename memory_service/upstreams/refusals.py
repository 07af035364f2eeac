"""Read an upstream's refusal of a prompt that is too long. Pure.

Servers use different status codes, error codes and wordings for it. The wordings are in
`data/refusals.toml`. Only the texts of an error are read: some servers repeat the request in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from memory_service.core.data_files import read_toml

STATUSES: Final = frozenset({200, 400, 413, 422, 500, 503})
"""Statuses with which servers refuse a prompt for its length. 200: the error is in the body."""

_NUMBER = r"\\d[\\d,_]{0,11}"
_PLACEHOLDER = re.compile(r"(?<=>)N(?=\))")
_MAX_DEPTH = 6
_MAX_TEXTS = 64
_MAX_TEXT_CHARS = 4_000
# Fields that hold the texts of an error. Others may repeat the request.
_TEXT_FIELDS = frozenset(
    {
        *("message", "error", "errors", "detail", "details", "msg", "raw", "metadata", "code"),
        *("type", "status", "reason", "description", "error_message", "error_msg", "error_code"),
    }
)
_COUNT_FIELDS: Final = {"n_ctx": "window", "n_prompt_tokens": "prompt"}
"""llama.cpp states its counts in fields: ggml-org/llama.cpp#15780."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream's refusal of a prompt for its length, with the token counts that it states.

    `window` is the limit; it covers the answer too unless `counts_answer` is false. `prompt` and
    `output` are the tokens of the prompt, and those reserved for the answer, as the server counts
    them. `over` is by how much the prompt exceeds the limit. `is_quota` says that the limit is one
    of the caller's account, not the model's context window.
    """

    window: int | None = None
    prompt: int | None = None
    output: int | None = None
    over: int | None = None
    counts_answer: bool = True
    is_quota: bool = False

    @property
    def is_consistent(self) -> bool:
        """Whether the stated tokens do exceed the stated limit, as far as they are stated."""
        if self.window is None or self.prompt is None:
            return True
        output = (self.output or 0) if self.counts_answer else 0
        return self.prompt + output >= self.window


class _Wordings(NamedTuple):
    """The content of `data/refusals.toml`."""

    with_counts: Sequence[re.Pattern[str]]
    without_counts: re.Pattern[str]
    about_others: re.Pattern[str]


def refusal_of(status: int, content: bytes) -> Refusal | None:
    """Return the refusal that an answer is; None if it is none, or one for another reason."""
    if status not in STATUSES:
        return None
    error = _parsed(content)
    if status == 200 and not _is_error(error):
        return None
    texts = _texts_of(error)
    wordings = _wordings()
    counts = _counts_in_fields(error)
    if "window" in counts:
        return _refusal(counts)
    for wording in wordings.with_counts:
        if match := wording.search(texts):
            return _refusal({k: _as_int(v) for k, v in match.groupdict().items() if v})
    if wordings.about_others.search(texts) or not wordings.without_counts.search(texts):
        return None
    return Refusal()


@cache
def _wordings() -> _Wordings:
    content = read_toml("memory_service.upstreams", "refusals.toml")
    patterns = [_PLACEHOLDER.sub(_NUMBER, wording["pattern"]) for wording in content["wordings"]]
    return _Wordings(
        [re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in patterns],
        *(
            re.compile("|".join(content[table]["words"]), re.IGNORECASE)
            for table in ("without_counts", "about_others")
        ),
    )


def _refusal(counts: Mapping[str, int]) -> Refusal:
    """Return the refusal with the counts of a wording."""
    output, total = counts.get("output"), counts.get("total")
    # The prompt may be stated in parts: the messages, and the functions.
    prompt = counts.get("prompt") if total is None else total - (output or 0)
    window = counts.get("window", counts.get("input_window", counts.get("quota")))
    return Refusal(
        window=window,
        prompt=prompt or None,
        output=output,
        over=counts.get("over"),
        counts_answer="input_window" not in counts,
        is_quota="quota" in counts,
    )


def _as_int(number: str) -> int:
    return int(re.sub(r"\D", "", number))


def _parsed(content: bytes) -> Any:
    """Return the JSON of a body, or its text."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _is_error(body: Any) -> bool:
    return isinstance(body, Mapping) and bool(body.get("error"))


def _texts_of(error: Any) -> str:
    texts = []
    for text in _texts(error, _MAX_DEPTH):
        texts.append(text[:_MAX_TEXT_CHARS])
        if len(texts) == _MAX_TEXTS:
            break
    return "\n".join(texts)


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts of an error; proxies wrap the error of another server as JSON text."""
    if depth == 0:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _TEXT_FIELDS:
                yield from _texts(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth - 1)
    elif isinstance(value, str):
        nested = _nested(value)
        if nested is None:
            yield value
        else:
            yield from _texts(nested, depth - 1)
    elif isinstance(value, int):
        yield str(value)


def _nested(text: str) -> Any:
    """Return the JSON that a text consists of; None if it is plain text."""
    start = text.lstrip()[:1]
    if start not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _counts_in_fields(error: Any) -> dict[str, int]:
    """Return the counts that llama.cpp's error has as fields."""
    inner = error.get("error") if isinstance(error, Mapping) else None
    if not isinstance(inner, Mapping):
        return {}
    return {
        name: inner[field]
        for field, name in _COUNT_FIELDS.items()
        if type(inner.get(field)) is int and inner[field] > 0
    }
