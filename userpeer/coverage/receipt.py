"""A coverage receipt as it comes from an aggregator: whether it is signed, whether it is about us, and what it says.

    {"statement": "<JSON as text>", "key": "<64 hex digits>", "signature": "<128 hex digits>"}

The signature is over the bytes of `statement` (`core.peer.is_signed`). Everything in it is a stranger's word: each
field has its type and its bound here, and what does not fit is refused with a sentence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from core.peer import is_signed
from core.records import is_bee_key
from userpeer.errors import UserError

KIND: Final = "meadow-receipt"
MAX_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 500
MAX_NAMES: Final = 64
MAX_NUMBER: Final = 2**53


class BadReceipt(UserError):
    """What came is no receipt of ours, or nobody signed it."""

    code = "bad-receipt"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an aggregator says under its key `by` (64 hex). Times in milliseconds since 1970.

    `length` was seen, `stored` blocks of it are held, `tree` is the hash (hex) of the tree of these. Blocks
    [`indexed_from`, `indexed_to`) are read. `listed`, `kept`: records by kind; `skipped`: by reason.
    """

    by: str
    at: int
    state: str
    reason: str | None
    fork: int
    length: int
    stored: int
    tree: str
    indexed_from: int
    indexed_to: int
    listed: dict[str, int]
    kept: dict[str, int]
    skipped: dict[str, int]
    hidden: int
    last_contact: int | None
    next_try: int | None
    error: str | None


def read_receipt(data: bytes | str, bee: str) -> Receipt:
    """The receipt about `bee` (64 hex). Raises `BadReceipt`."""
    try:
        signed = json.loads(data)
        text, key, signature = signed["statement"], signed["key"], signed["signature"]
        said = json.loads(text)
        is_true = is_bee_key(key) and is_signed(text.encode(), bytes.fromhex(signature), bytes.fromhex(key))
        if said["kind"] != KIND:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadReceipt("What it answered is not a receipt.") from None
    if not is_true:
        raise BadReceipt("Its receipt has a signature that is not valid, so it is worth nothing.")
    if said.get("bee") != bee:
        raise BadReceipt("Its receipt is about somebody else’s bee.")
    try:
        return _receipt(key, said)
    except (KeyError, TypeError, ValueError):
        raise BadReceipt("Its receipt is signed, but says something that this program cannot read.") from None


def _receipt(key: str, said: dict[str, Any]) -> Receipt:
    return Receipt(
        by=key,
        at=min(_number(said["at"]), _LAST_MOMENT),
        state=_text(said["state"]) or "",
        reason=_text(said.get("reason")),
        fork=_number(said["fork"]),
        length=_number(said["length"]),
        stored=_number(said["stored"]),
        tree=_text(said["tree"]) or "",
        indexed_from=_number(said["indexedFrom"]),
        indexed_to=_number(said["indexedTo"]),
        listed=_counts(said["listed"]),
        kept=_counts(said["kept"]),
        skipped=_counts(said["skipped"]),
        hidden=_number(said["hidden"]),
        last_contact=_time(said.get("lastContact")),
        next_try=_time(said.get("nextTry")),
        error=_text(said.get("error")),
    )


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MAX_NUMBER:
        raise ValueError
    return value


_LAST_MOMENT: Final = 253_402_300_799_000
"""The end of the year 9999, which is as far as dates go."""


def _time(value: Any) -> int | None:
    """A moment; 0 and none are the same: never."""
    if value is None or value == 0:
        return None
    return min(_number(value), _LAST_MOMENT)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError
    return " ".join(value.split())[:MAX_TEXT] or None


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > MAX_NAMES:
        raise ValueError
    return {(_text(name) or "?"): _number(number) for name, number in value.items()}
