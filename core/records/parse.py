"""One entry of a bee in, one record or one reason out.

The key decides the kind. A key of no known form is read by the rule for workshop bees: an object with a
text `title` is a movie, one with a text `text` is a post, whatever the key. What remains is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from . import bounds
from .fields import Fields, describe
from .follow import Follow, read_follow
from .lists import FilmList, ListItem, read_list, read_list_item
from .meta import Meta, read_meta
from .post import Post, read_post, read_post_by_hand
from .profile import Profile, read_profile
from .reaction import Reaction, read_reaction
from .rejected import Reason, Reject, Rejected
from .values import check_json, load_json
from .watch import Watch, read_watch, read_watch_by_hand
from .watchlist import WatchlistItem, read_watchlist_item

Record = Meta | Profile | Post | Watch | WatchlistItem | Follow | Reaction | FilmList | ListItem


class _Kind(NamedTuple):
    form: re.Pattern[str]  # what must follow `<kind>/`
    hint: str  # the same for a person
    read: Callable[[str, Fields], Record]


_T16 = "[0-9a-f]{16}"
_HEX = "[0-9a-f]{64}"
_KINDS: dict[str, _Kind] = {
    "meta": _Kind(re.compile(r"self\Z"), "meta/self", read_meta),
    "profile": _Kind(re.compile(r"self\Z"), "profile/self", read_profile),
    "post": _Kind(re.compile(rf"{_T16}\Z"), "post/<16 hex digits>", read_post),
    "movie": _Kind(re.compile(rf"{_T16}\Z"), "movie/<16 hex digits>", read_watch),
    "watchlist": _Kind(re.compile(r"[^/]+\Z"), "watchlist/<film ref>", read_watchlist_item),
    "follow": _Kind(re.compile(rf"{_HEX}\Z"), "follow/<64 hex digits>", read_follow),
    "react": _Kind(
        re.compile(rf"{_HEX}/.+/[^/]{{1,{bounds.MAX_REACTION}}}\Z", re.DOTALL),
        "react/<bee>/<key>/<reaction>",
        read_reaction,
    ),
    "list": _Kind(re.compile(rf"{_T16}\Z"), "list/<16 hex digits>", read_list),
    "listitem": _Kind(re.compile(rf"{_T16}/[^/]+\Z"), "listitem/<16 hex digits>/<order>", read_list_item),
}


def parse_record(key: str | bytes, value: bytes | object) -> Record | Rejected:
    """Read one entry. `value` is the block's value as bytes, or the JSON value decoded from it.

    Never raises for any `key` and `value` that came out of a bee.
    """
    text = _key_text(key)
    shown = text if text is not None else bytes(key).hex() if isinstance(key, (bytes, bytearray)) else ""
    try:
        if text is None:
            raise Reject(Reason.BAD_KEY, f"The key is not UTF-8 of at most {bounds.MAX_KEY_BYTES:,} bytes.")
        return _read(text, decode_value(value))
    except Reject as reject:
        return Rejected(shown, reject.reason, reject.sentence, reject.field)


def decode_value(value: bytes | object) -> dict[str, Any]:
    """The JSON object of a value; raises `Reject` (a private exception) if there is none."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = load_json(bytes(value))
    else:
        check_json(value)
    if not isinstance(value, dict):
        raise Reject(Reason.NOT_AN_OBJECT, f"The value is {describe(value)}; a record is a JSON object.")
    return value


def kind_of(key: str) -> str | None:
    """The kind that a key names by its form (`post`, `movie`, ...), or None."""
    head, slash, rest = key.partition("/")
    kind = _KINDS.get(head)
    return head if slash and kind is not None and kind.form.match(rest) else None


def _read(key: str, value: dict[str, Any]) -> Record:
    kind = kind_of(key)
    if kind is not None and not (kind == "movie" and "film" not in value and _has_text(value, "title")):
        return _KINDS[kind].read(key, Fields(value))
    head = key.partition("/")[0]
    if head not in _KINDS or head in ("post", "movie"):
        if _has_text(value, "title"):
            return read_watch_by_hand(key, Fields(value))
        if _has_text(value, "text"):
            return read_post_by_hand(key, Fields(value))
    if head in _KINDS and "/" in key:
        sentence = f"A key that begins with {head}/ must have the form {_KINDS[head].hint}."
        raise Reject(Reason.BAD_KEY, sentence)
    sentence = "The key names no known kind, and the value has neither a title nor a text."
    raise Reject(Reason.UNKNOWN_KIND, sentence)


def _has_text(value: dict[str, Any], name: str) -> bool:
    return isinstance(value.get(name), str)


def _key_text(key: str | bytes) -> str | None:
    """The key as text, or None if it is not UTF-8 or too long."""
    try:
        size = len(key.encode() if isinstance(key, str) else key)
        return None if size > bounds.MAX_KEY_BYTES else key if isinstance(key, str) else bytes(key).decode()
    except UnicodeError:
        return None
