"""Strict JSON: what is accepted, and the exact text of array elements."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import InvalidRequest
from memory_service.items.strict_json import (
    canonical,
    check_text,
    dumps,
    loads,
    raw_elements,
    with_member,
)

SPACE = st.text(" \t\r\n", max_size=3)
SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(SIGNS)
)
# "items" among the keys: the member that is looked for may also stand deeper.
KEYS = st.sampled_from(["items", "a", 'it"ems']) | st.text(SIGNS, max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=8
)


def nested(levels: int, innermost: str = "") -> str:
    return "[" * levels + innermost + "]" * levels


@st.composite
def texts_of(draw: st.DrawFn, value: Any) -> str:
    """Return one of the many spellings of a value."""
    return json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, 3, "\t"])),
        separators=(draw(SPACE) + "," + draw(SPACE), draw(SPACE) + ":" + draw(SPACE)),
    )


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return the text of an object, and the texts of the elements of its last "items"."""
    elements = [draw(texts_of(value)) for value in draw(st.lists(VALUES, max_size=4))]
    padded = [draw(SPACE) + element + draw(SPACE) for element in elements]
    array = "[" + (",".join(padded) or draw(SPACE)) + "]"
    before = draw(st.lists(st.tuples(KEYS, VALUES), max_size=3))
    after = draw(st.lists(st.tuples(KEYS.filter(lambda key: key != "items"), VALUES), max_size=2))
    members = [(key, draw(texts_of(value))) for key, value in before]
    members += [("items", array), *((key, draw(texts_of(value))) for key, value in after)]
    spaced = [
        draw(SPACE) + json.dumps(key) + draw(SPACE) + ":" + draw(SPACE) + text + draw(SPACE)
        for key, text in members
    ]
    return draw(SPACE) + "{" + ",".join(spaced) + "}" + draw(SPACE), elements


@given(bodies())
def test_elements_are_the_sent_text_byte_for_byte(body: tuple[str, list[str]]) -> None:
    text, elements = body
    assert raw_elements(text, "items") == elements


@given(bodies())
def test_elements_are_those_that_loads_returns(body: tuple[str, list[str]]) -> None:
    text, _ = body
    values = loads(text, max_nesting=64)["items"]
    assert [loads(element, max_nesting=64) for element in raw_elements(text, "items")] == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", []),
        ('{"items":[]}', []),
        ('{ "items" : [ \n ] }', []),
        ('{"other":{"items":[1]},"list":[{"items":[2]}]}', []),
        ('{"items":[1],"items":[2 , 3]}', ["2", "3"]),
        ('{"items":5,"items":[{ }]}', ["{ }"]),
        ('{"\\u0069tems":["\\u0041"]}', ['"\\u0041"']),
        ('{"items":[1.0,1e2,-0]}', ["1.0", "1e2", "-0"]),
        ('{"items":[{"a":"]}, {"}, "[,"]}', ['{"a":"]}, {"}', '"[,"']),
    ],
)
def test_elements_of_the_last_top_level_member(text: str, expected: list[str]) -> None:
    assert raw_elements(text, "items") == expected


@given(VALUES)
def test_loads_reads_what_dumps_writes(value: Any) -> None:
    assert loads(dumps(value), max_nesting=64) == value


@given(st.dictionaries(KEYS, VALUES))
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "-1e999", '{"a":[1,2e400]}', "9" * 5_000],
)
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        loads(text, max_nesting=64)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a"',
        '{"a":',
        "[1,",
        "[1,]",
        '"abc',
        "tru",
        "{} {}",
        "\ufeff\ufeff{}",
        '"a\x00b"',
    ],
)
def test_invalid_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        loads(text, max_nesting=64)


@given(VALUES.filter(lambda value: isinstance(value, (dict, list, str))), st.data())
def test_truncated_json_is_refused(value: Any, data: st.DataObject) -> None:
    text = dumps(value)
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        loads(text[:cut], max_nesting=64)


@pytest.mark.parametrize(
    "string",
    [
        r"\ud800",
        r"\uDC00",
        r"\udc00\ud800",
        r"x\ud83dy",
        r"\ud83d\ud83d\ude00",
        r"\u0000",
        r"a\u0000b",
        "\ud83d",
    ],
)
@pytest.mark.parametrize("shape", ['"%s"', '{"a":["%s"]}', '{"%s":1}', '[{"a":{"%s":[]}}]'])
def test_nul_and_lone_surrogates_are_refused_everywhere(shape: str, string: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        loads(shape % string, max_nesting=64)
    assert caught.value.code == "invalid_text"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d\ude00"', "😀"),
        ('"😀"', "😀"),
        (r'"\\ud800 \\u0000"', r"\ud800 \u0000"),
        (r'"\u0001\uffff"', "\x01\uffff"),
    ],
)
def test_escapes_that_only_look_unstorable_are_accepted(text: str, value: str) -> None:
    assert loads(text, max_nesting=64) == value


@pytest.mark.parametrize(
    "text", [nested(4), nested(4, "1"), '{"a":[{"b":[]}]}', '{"a":[{"b":["c"]}]}']
)
def test_nesting_up_to_the_limit_is_accepted(text: str) -> None:
    assert dumps(loads(text, max_nesting=4)) == text


@pytest.mark.parametrize(
    "text", [nested(5), nested(5, "1"), '{"a":[{"b":[{}]}]}', '{"a":[{"b":[{"c":"\\u0000"}]}]}']
)
def test_nesting_over_the_limit_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        loads(text, max_nesting=4)
    assert caught.value.code == "nesting_too_deep"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, nested(100_000), '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_hundred_thousand_brackets_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        loads(text, max_nesting=500)
    assert caught.value.code == "nesting_too_deep"


def test_deepest_nesting_that_settings_allow() -> None:
    text = '{"items":[' + nested(498) + "]}"
    loads(text, max_nesting=500)
    assert raw_elements(text, "items") == [nested(498)]


def test_error_has_the_position() -> None:
    with pytest.raises(InvalidRequest, match="at character 8"):
        loads('{"a": 1,}', max_nesting=64)


def test_check_text_names_the_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_text("a\x00", "metadata.note")
    assert caught.value.param == "metadata.note"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{"model":"m"}'),
        ('\ufeff {"a": NaN}', '\ufeff {"model":"m","a": NaN}'),
        (' { "a": 1.0 } ', ' { "model":"m","a": 1.0 } '),
        ('{"model": "x", "b":[1,  2]}', '{"model": "m", "b":[1,  2]}'),
        ('{"a":{"model":"x"},"model":null}', '{"a":{"model":"x"},"model":"m"}'),
        ('{"model":1,"model":{"b":2}}', '{"model":1,"model":"m"}'),
    ],
)
def test_member_is_replaced_and_nothing_else(text: str, expected: str) -> None:
    assert with_member(text, "model", "m") == expected
