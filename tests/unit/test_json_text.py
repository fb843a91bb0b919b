"""JSON as JavaScript writes it. The expected texts were printed by `JSON.stringify` of Node 20."""

from __future__ import annotations

import math
from collections import OrderedDict
from enum import IntEnum
from typing import Any

import pytest

from core.errors import BadArgument, DecodingError
from core.hyperbee.json_text import dumps, loads

STRINGIFIED = [
    (None, "null"),
    (True, "true"),
    (0, "0"),
    (-0.0, "0"),
    (1.0, "1"),
    (-1.5, "-1.5"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1e15, "1000000000000000"),
    (1e16, "10000000000000000"),
    (123456789012345680000.0, "123456789012345680000"),
    (1e21, "1e+21"),
    (-1.25e21, "-1.25e+21"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (0.0001, "0.0001"),
    (0.000001, "0.000001"),
    (1.5e-6, "0.0000015"),
    (1e-7, "1e-7"),
    (-1.25e-7, "-1.25e-7"),
    (5e-324, "5e-324"),
    (math.nan, "null"),
    (math.inf, "null"),
    (-math.inf, "null"),
    (2**53 - 1, "9007199254740991"),
    (2**60, "1152921504606847000"),
    (10**21, "1e+21"),
    ("", '""'),
    ("é\u2028/<>\x7f", '"é\u2028/<>\x7f"'),
    ('"\\\b\f\n\r\t\x00\x1f', '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f"'),
    ("😀", '"😀"'),
    ("\ud83d\ude00", '"😀"'),
    ("a\ud83d", '"a\\ud83d"'),
    ("\ude00\ud83d", '"\\ude00\\ud83d"'),
    ([], "[]"),
    ((1, None, [True]), "[1,null,[true]]"),
    ({}, "{}"),
    ({"b": 1, "a": [1.0, "x"]}, '{"b":1,"a":[1,"x"]}'),
    ({"b": 0, "10": 1, "9": 2, "01": 3, "-1": 4}, '{"9":2,"10":1,"b":0,"01":3,"-1":4}'),
    ({"4294967294": 1, "4294967295": 2, "0": 3}, '{"0":3,"4294967294":1,"4294967295":2}'),
    ({"": {"\ud800": "\udfff"}}, '{"":{"\\ud800":"\\udfff"}}'),
]


@pytest.mark.parametrize(("value", "text"), STRINGIFIED)
def test_text_is_that_of_json_stringify(value: Any, text: str) -> None:
    assert dumps(value) == text.encode()


def test_subclasses_of_json_types_are_their_types() -> None:
    class Colour(IntEnum):
        RED = 1

    class Name(str):
        pass

    value = OrderedDict([("z", Colour.RED), ("a", Name("x"))])
    assert dumps(value) == b'{"z":1,"a":"x"}'


def test_integer_keys_become_strings() -> None:
    assert dumps({"a": 0, 2: 1, 1: 2}) == b'{"1":2,"2":1,"a":0}'


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), {"a": {None: 1}}, 2**53 + 1, 10**400])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(BadArgument):
        dumps(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadArgument, match="nested"):
        dumps(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" \n\t\r[1, 2.5e0 ]\n", [1, 2.5]),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\ud83d"', "\ud83d"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"1e400", math.inf),
        (b'"\xff"', "\ufffd"),
    ],
)
def test_what_json_parse_accepts(text: bytes, value: Any) -> None:
    assert loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"NaN",
        b"-Infinity",
        b"[Infinity]",
        b"1 2",
        b"'a'",
        b"\xef\xbb\xbf1",
        b'"\x01"',
        b"01",
    ],
)
def test_what_json_parse_refuses(text: bytes) -> None:
    with pytest.raises(DecodingError):
        loads(text)


def test_depth_that_would_overflow_the_stack_is_refused() -> None:
    with pytest.raises(DecodingError):
        loads(b"[" * 1_000_000)
    with pytest.raises(DecodingError):
        loads(b"1" * 10_000)
