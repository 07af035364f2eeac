"""JSON as this service accepts it, and the exact text of the parts that are kept byte for byte.

Beyond RFC 8259: no NaN or infinities (Python's parser takes them), no lone surrogates and no NUL
(they cannot be stored in UTF-8 and in PostgreSQL), and a bound on nesting.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from memory_service.core.errors import InvalidRequest

# Escapes that may stand for something unstorable; only then are the parsed strings walked.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")


def loads(text: str, *, max_nesting: int, subject: str = "The body") -> Any:
    """Return the value of a JSON text; raises InvalidRequest with what is wrong and where.

    `subject` begins the error messages: what the text is.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{subject} is not valid JSON: {error.msg} at character {error.pos}.",
            code="invalid_json",
        ) from error
    except RecursionError as error:
        raise _too_deep(max_nesting, subject) from error
    except ValueError as error:
        raise InvalidRequest(
            f"{subject} is not valid JSON: {error}.", code="invalid_json"
        ) from error
    strings = _SUSPICIOUS.search(text) or _UNSTORABLE.search(text)
    _check(value, max_nesting, subject, strings=strings is not None)
    return value


def check_text(text: str, param: str) -> str:
    """Return the text if it can be stored; raises InvalidRequest on NUL or a lone surrogate."""
    if _UNSTORABLE.search(text):
        raise InvalidRequest(
            "Text must not hold NUL characters or lone surrogates: they cannot be stored as UTF-8.",
            param=param,
            code="invalid_text",
        )
    return text


def raw_elements(text: str, member: str) -> list[str]:
    """Return the exact text of each element of the array that a top-level member holds.

    `text` must be a valid JSON object whose last `member` is an array, as `loads` has found.
    """
    # Of equal keys the last one counts; an earlier one need not be an array.
    spans = {key: (start, end) for key, start, end in _members(text)}
    return [text[a:b] for a, b in _elements(text, *spans[member])] if member in spans else []


def with_member(text: str, member: str, value: Any) -> str:
    """Return the JSON of an object with another value of a member, otherwise as it was written.

    `text` must be a valid JSON object, as `loads` has found.
    """
    spans = [(start, end) for key, start, end in _members(text) if key == member]
    if spans:
        # Of equal keys the last one counts.
        start, end = spans[-1]
        return text[:start] + dumps(value) + text[end:]
    first = _skip(text, _skip(text, 0) + 1)
    comma = "" if text[first] == "}" else ","
    return f"{text[:first]}{dumps(member)}:{dumps(value)}{comma}{text[first:]}"


def dumps(value: Any) -> str:
    """Return compact JSON with keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """Return the same text for equal values, regardless of the order of their keys."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number[:40]} is out of range")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _too_deep(max_nesting: int, subject: str) -> InvalidRequest:
    return InvalidRequest(
        f"{subject} nests deeper than {max_nesting} levels (MEMORY_MAX_NESTING).",
        code="nesting_too_deep",
    )


def _check(value: Any, max_nesting: int, subject: str, *, strings: bool) -> None:
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for node in level:
            if depth == max_nesting and isinstance(node, (dict, list)):
                raise _too_deep(max_nesting, subject)
            if isinstance(node, dict):
                below.extend(node.values())
                if strings:
                    below.extend(node)
            elif isinstance(node, list):
                below.extend(node)
            elif strings and isinstance(node, str):
                check_text(node, "body")
        level, depth = below, depth + 1


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (key, start, end) of each value of the top-level object."""
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        _, end = _DECODER.raw_decode(text, start)
        yield key, start, end
        position = _next(text, end)


def _elements(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the span of each element of the array at text[start:end]."""
    position = _skip(text, start + 1)
    while position < end - 1:
        _, stop = _DECODER.raw_decode(text, position)
        yield position, stop
        position = _next(text, stop)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _next(text: str, position: int) -> int:
    """Return where the next member or element begins, past a comma if there is one."""
    position = _skip(text, position)
    return _skip(text, position + 1) if text[position] == "," else position
