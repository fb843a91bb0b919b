"""Encodings of keys and values, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import BadArgument, DecodingError
from core.hyperbee.encodings import ENCODINGS, Prefixed, resolve

WRITTEN = [
    ("binary", b"\x00\xff", b"\x00\xff"),
    ("binary", "é", "é".encode()),
    ("utf-8", "é", "é".encode()),
    ("utf-8", "\ud83d\ude00", "😀".encode()),
    ("utf-8", "\ud83d", b"\xef\xbf\xbd"),
    ("ascii", "aÿ\u0141", b"a\xffA"),
    ("hex", "00Ff", b"\x00\xff"),
    ("base64", "AP8=", b"\x00\xff"),
    ("base64", "_-8", b"\xff\xef"),
    ("ucs2", "a\ud83d", b"a\x00=\xd8"),
    ("json", {"a": 1.0}, b'{"a":1}'),
    ("ndjson", [1], b"[1]\n"),
]

READ = [
    ("binary", b"\x00\xff", b"\x00\xff"),
    ("utf-8", b"a\xff", "a\ufffd"),
    ("ascii", b"a\xe1", "aa"),
    ("hex", b"\x00\xff", "00ff"),
    ("base64", b"\xff\xef", "/+8="),
    ("utf16le", b"a\x00=\xd8!", "a\ud83d"),
    ("json", b'{"a":1}', {"a": 1}),
    ("ndjson", b"[1]\n", [1]),
]


@pytest.mark.parametrize(("name", "value", "data"), WRITTEN)
def test_writing(name: str, value: Any, data: bytes) -> None:
    assert resolve(name).encode(value) == data


@pytest.mark.parametrize(("name", "data", "value"), READ)
def test_reading(name: str, data: bytes, value: Any) -> None:
    assert resolve(name).decode(data) == value


@pytest.mark.parametrize("name", [name for name in ENCODINGS if "json" not in name])
def test_what_is_neither_text_nor_bytes_is_refused(name: str) -> None:
    with pytest.raises(BadArgument):
        resolve(name).encode(12)


@pytest.mark.parametrize(("name", "value"), [("hex", "0"), ("hex", "zz"), ("base64", "a"), ("base64", "é")])
def test_text_that_does_not_fit_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadArgument):
        resolve(name).encode(value)


def test_a_value_that_is_not_json_says_so() -> None:
    with pytest.raises(DecodingError, match="not JSON"):
        resolve("json").decode(b"{oops")


def test_a_name_that_does_not_exist_and_an_object_that_is_no_codec() -> None:
    with pytest.raises(BadArgument, match="latin9"):
        resolve("latin9")
    with pytest.raises(BadArgument):
        resolve(object())  # type: ignore[arg-type]


def test_an_application_may_bring_its_own() -> None:
    class Reversed:
        def encode(self, value: str) -> bytes:
            return value.encode()[::-1]

        def decode(self, data: bytes) -> str:
            return data[::-1].decode()

    codec = resolve(Reversed())
    assert codec.decode(codec.encode("abc")) == "abc"


def test_a_prefix_is_added_and_taken_away() -> None:
    codec = Prefixed(b"x\x00", resolve("utf-8"))
    assert codec.encode("a") == codec.encode(b"a") == b"x\x00a"
    assert codec.decode(b"x\x00a") == "a"
