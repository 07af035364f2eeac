"""JSON as this service accepts it, and the exact text of the parts that are kept byte for byte.

Beyond RFC 8259, `loads` accepts no NaN or infinities (Python's parser takes them), no lone
surrogates and no NUL (they cannot be stored in UTF-8 and in PostgreSQL), and it has a bound on
nesting. The gateway forwards what applications say, so it reads with `loads_lenient`, which only
has the bound.

A byte order mark at the beginning of a text is skipped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from memory_service.core.errors import InvalidRequest

# Escapes that may stand for something unstorable; only then are the parsed strings walked.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_BEGINNING = re.compile(r"\ufeff?[ \t\n\r]*")
_SURROGATES = re.compile("[\ud800-\udfff]+")
# What may be a number that only the lenient parser takes.
_ODD_NUMBER = re.compile(r"NaN|Infinity|[0-9]{300}|[eE][+]?[0-9]{3}")
_REPLACEMENT = "\ufffd"


def loads(text: str, *, max_nesting: int, subject: str = "The body") -> Any:
    """Return the value of a JSON text; raises InvalidRequest with what is wrong and where.

    `subject` begins the error messages: what the text is.
    """
    value = _decoded(_DECODER, text, max_nesting, subject)
    strings = _SUSPICIOUS.search(text) or _UNSTORABLE.search(text)
    _check(value, max_nesting, subject, strings=strings is not None)
    return value


def loads_lenient(text: str, *, max_nesting: int, subject: str = "The body") -> Any:
    """Return the value of a JSON text as Python reads it, with any strings.

    Numbers that JSON has no value for (NaN, infinities, more than 4,300 digits) become None. Raises
    InvalidRequest, with the code `nesting_too_deep` for a text that is JSON but nests too deep.
    """
    value = _decoded(_LENIENT_DECODER, text, max_nesting, subject)
    _check(value, max_nesting, subject, strings=False)
    return value


def _decoded(decoder: json.JSONDecoder, text: str, max_nesting: int, subject: str) -> Any:
    try:
        return decoder.decode(text.removeprefix("\ufeff"))
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


def check_text(text: str, param: str) -> str:
    """Return the text if it can be stored; raises InvalidRequest on NUL or a lone surrogate."""
    if _UNSTORABLE.search(text):
        raise InvalidRequest(
            "Text must not hold NUL characters or lone surrogates: they cannot be stored as UTF-8.",
            param=param,
            code="invalid_text",
        )
    return text


def storable_text(text: str) -> str:
    """Return a text with U+FFFD for what no column can hold: NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(text: str, value: Any) -> str:
    """Return a JSON text that a column can hold: the text itself, or the same value rewritten.

    Escapes of NUL and of lone surrogates stay as they are: they are plain ASCII. `value` is what
    `loads_lenient` returns for the text.
    """
    if _ODD_NUMBER.search(text):
        try:
            _DECODER.decode(text)
        except ValueError:
            return escaped_surrogates(dumps(value))
    return escaped_surrogates(text)


def escaped_surrogates(text: str) -> str:
    """Return a JSON text with lone surrogates, which stand in strings only, as escapes."""
    if text.isascii() or not _SURROGATES.search(text):
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def encoded(text: str) -> bytes:
    """Return a JSON text in UTF-8; its lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace")


def rewritten(
    text: str, before: Mapping[str, Any], after: Mapping[str, Any], raws: Mapping[int, str]
) -> str:
    """Return the JSON of an object that was changed, with the exact text of what was not.

    `text` is the JSON of `before`. Members of `after` that are the very objects of `before` keep
    their text. `raws` has the texts of elements of changed lists, by the `id` of their objects.
    """
    spans = {key: (start, end) for key, start, end in _members(text)}
    members = [
        f"{dumps(key)}:{text[slice(*spans[key])]}"
        if key in spans and before.get(key) is value
        else f"{dumps(key)}:{_rewritten_value(value, raws)}"
        for key, value in after.items()
    ]
    return "{" + ",".join(members) + "}"


def _rewritten_value(value: Any, raws: Mapping[int, str]) -> str:
    if not isinstance(value, list):
        return dumps(value)
    return "[" + ",".join(raws.get(id(element)) or dumps(element) for element in value) + "]"


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
    first = _first_member(text)
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


def _finite_or_none(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _integer_or_none(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _none(_constant: str) -> None:
    return None


_MAX_DIGITS = 4_300
"""Python converts no longer integers."""

_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_LENIENT_DECODER = json.JSONDecoder(
    parse_constant=_none, parse_float=_finite_or_none, parse_int=_integer_or_none
)


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
    position = _first_member(text)
    while text[position] != "}":
        key, position = _LENIENT_DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        _, end = _LENIENT_DECODER.raw_decode(text, start)
        yield key, start, end
        position = _next(text, end)


def _first_member(text: str) -> int:
    """Return where the first member of the top-level object begins, or the object's end."""
    beginning = _BEGINNING.match(text)
    return _skip(text, (beginning.end() if beginning else 0) + 1)


def _elements(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the span of each element of the array at text[start:end]."""
    position = _skip(text, start + 1)
    while position < end - 1:
        _, stop = _LENIENT_DECODER.raw_decode(text, position)
        yield position, stop
        position = _next(text, stop)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _next(text: str, position: int) -> int:
    """Return where the next member or element begins, past a comma if there is one."""
    position = _skip(text, position)
    return _skip(text, position + 1) if text[position] == "," else position
