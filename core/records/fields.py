"""Reads the fields of one JSON object, one check a line, and keeps what nobody asked for.

A field that is absent or null counts as not there. Every method names the field by its path in the
sentence, so that an author can find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from . import bounds
from .dates import DateFlag, parse_date
from .rejected import Reason, Reject

T = TypeVar("T")

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]")


class Fields:
    """One JSON object being read. `rest()` is what was not taken."""

    __slots__ = ("_path", "_taken", "_values")

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path
        self._taken: set[str] = set()

    def take(self, name: str) -> Any:
        """The raw value or None."""
        self._taken.add(name)
        return self._values.get(name)

    def leave(self, name: str) -> None:
        """Put a taken field back among the unknown ones."""
        self._taken.discard(name)

    def rest(self) -> dict[str, Any]:
        """The fields nobody took, to be preserved."""
        taken = self._taken
        return {name: value for name, value in self._values.items() if name not in taken}

    def path(self, name: str) -> str:
        return f"{self._path}{name}"

    # --- text ---------------------------------------------------------------------------------

    def text(self, name: str, *, chars: int | None = None, size: int | None = None) -> str:
        """A text that must be there and must not be blank."""
        value = self._required(name, self.optional_text(name, chars=chars, size=size))
        if not value.strip():
            raise Reject(Reason.EMPTY, f"{self.path(name)} is empty; it needs some text.", self.path(name))
        return value

    def optional_text(self, name: str, *, chars: int | None = None, size: int | None = None) -> str | None:
        """A text of at most `chars` code points or `size` UTF-8 bytes."""
        value = self.take(name)
        return None if value is None else check_text(value, self.path(name), chars=chars, size=size)

    def url(self, name: str) -> str | None:
        value = self.take(name)
        return None if value is None else check_url(value, self.path(name))

    def language(self, name: str) -> str | None:
        value = self.take(name)
        return None if value is None else check_language(value, self.path(name))

    def hex_key(self, name: str) -> str:
        """A 32-byte key or hash that must be there: 64 lower-case hex digits."""
        return self._required(name, self.optional_hex_key(name))

    def optional_hex_key(self, name: str) -> str | None:
        value = self.optional_text(name, chars=64)
        if value is not None and _HEX.match(value) is None:
            sentence = f"{self.path(name)} must be 64 lower-case hex digits."
            raise Reject(Reason.BAD_FORM, sentence, self.path(name))
        return value

    # --- numbers and switches -----------------------------------------------------------------

    def integer(self, name: str, low: int, high: int) -> int:
        return self._required(name, self.optional_integer(name, low, high))

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high` (both included); `8.0` is JSON's way to write 8 as well."""
        value = self.take(name)
        if value is None:
            return None
        path = self.path(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Reject(Reason.WRONG_TYPE, f"{path} must be a whole number, not {describe(value)}.", path)
        if not low <= value <= high:
            shown = value if abs(value) < 10**20 else "far"
            sentence = f"{path} is {shown}; it must be a whole number from {low} to {high}."
            raise Reject(Reason.OUT_OF_RANGE, sentence, path)
        return value

    def switch(self, name: str) -> bool:
        """True or false; absent means false."""
        value = self.take(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            path = self.path(name)
            raise Reject(Reason.WRONG_TYPE, f"{path} must be true or false, not {describe(value)}.", path)
        return value

    def date(self, name: str) -> tuple[int | None, DateFlag | None]:
        """Milliseconds since 1970 or what is wrong; a date that cannot be read stays among the unknown."""
        result = parse_date(self.take(name))
        if isinstance(result, DateFlag):
            if result is not DateFlag.MISSING:
                self.leave(name)
            return None, result
        return result, None

    # --- objects and lists --------------------------------------------------------------------

    def object(self, name: str) -> Fields:
        return self._required(name, self.optional_object(name))

    def optional_object(self, name: str) -> Fields | None:
        value = self.take(name)
        return None if value is None else as_object(value, self.path(name))

    def items(self, name: str, most: int, read: Callable[[Any, str], T]) -> tuple[T, ...]:
        """A list of at most `most` items, each read by `read(item, path)`; absent means empty."""
        value = self.take(name)
        if value is None:
            return ()
        path = self.path(name)
        if not isinstance(value, list):
            raise Reject(Reason.WRONG_TYPE, f"{path} must be a list, not {describe(value)}.", path)
        if len(value) > most:
            raise Reject(Reason.TOO_MANY, f"{path} has {len(value)} items; the limit is {most}.", path)
        return tuple(read(item, f"{path}[{index}]") for index, item in enumerate(value))

    def tags(self) -> tuple[str, ...]:
        return self.items("tags", bounds.MAX_TAGS, _tag)

    def _required(self, name: str, value: T | None) -> T:
        if value is None:
            path = self.path(name)
            raise Reject(Reason.MISSING, f"{path} is missing.", path)
        return value


def as_object(value: Any, path: str) -> Fields:
    if not isinstance(value, dict):
        raise Reject(Reason.WRONG_TYPE, f"{path} must be an object, not {describe(value)}.", path)
    return Fields(value, f"{path}.")


def check_text(value: Any, path: str, *, chars: int | None = None, size: int | None = None) -> str:
    """`value` if it is a text within its limits and every SQL database can hold it."""
    if not isinstance(value, str):
        raise Reject(Reason.WRONG_TYPE, f"{path} must be text, not {describe(value)}.", path)
    if "\x00" in value:
        raise Reject(Reason.BAD_TEXT, f"{path} holds a NUL character.", path)
    if chars is not None and len(value) > chars:
        raise Reject(Reason.TOO_LONG, f"{path} has {len(value):,} characters; the limit is {chars:,}.", path)
    if size is not None and len(value) * 4 > size:
        length = len(value.encode("utf-8", "surrogatepass"))
        if length > size:
            raise Reject(Reason.TOO_LONG, f"{path} is {length:,} bytes; the limit is {size:,}.", path)
    return value


def check_url(value: Any, path: str) -> str:
    """`value` if it is an absolute http or https address (anything else could run in a reader's page)."""
    text = check_text(value, path, chars=bounds.MAX_URL)
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and _NOT_IN_URL.search(text) is None
    except ValueError:
        good = False
    if not good:
        sentence = f"{path} must be an address that begins with https:// or http://."
        raise Reject(Reason.BAD_FORM, sentence, path)
    return text


def check_language(value: Any, path: str) -> str:
    text = check_text(value, path, chars=35)
    if _LANGUAGE.match(text) is None:
        raise Reject(Reason.BAD_FORM, f"{path} must be a language code such as en or pt-BR.", path)
    return text


def _tag(value: Any, path: str) -> str:
    text = check_text(value, path, chars=bounds.MAX_TAG)
    if not text.strip():
        raise Reject(Reason.EMPTY, f"{path} is empty; leave the tag out.", path)
    return text


def describe(value: Any) -> str:
    """The JSON name of a value's type, for a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
