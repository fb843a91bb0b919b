"""A coverage receipt that can be held against the aggregator: what it says it saw, under its own key.

    {"statement": "<JSON as text>", "key": "<64 hex digits>", "signature": "<128 hex digits>"}

The signature is over the bytes of `statement` as they stand (`core.peer.Peer.sign`), so nothing has to be spelled
again to check it. The statement names the bee, its length and the hash of its tree of that length, what was indexed,
skipped and why, the last contact and the next try.
"""

from __future__ import annotations

import json
from typing import Any

from core.errors import DecodingError, InvalidSignature
from core.peer import Peer, is_signed
from feedagg.receipts import Receipt
from feedagg.transparency import encode

KIND = "meadow-receipt"


def statement(made: Receipt, tree: bytes, length: int, now: int) -> dict[str, Any]:
    """What the receipt says, for programs. `tree`: the hash of the bee's tree of `length` blocks, as stored here."""
    source, tally = made.source, made.tally
    return {
        "kind": KIND, "at": now, "bee": source.key, "state": made.state, "reason": source.state_reason,
        "fork": source.fork, "length": source.length, "stored": length, "tree": tree.hex(),
        "indexedFrom": source.tail, "indexedTo": source.cursor, "listed": tally.listed, "kept": tally.kept,
        "skipped": tally.skipped, "hidden": tally.hidden, "lastContact": source.last_contact,
        "nextTry": source.next_at, "error": source.error,
    }  # fmt: skip


def sign(peer: Peer, said: dict[str, Any]) -> dict[str, str]:
    """The statement under the aggregator's key."""
    text = encode(said).decode()
    return {"statement": text, "key": peer.public_key.hex(), "signature": peer.sign(text.encode()).hex()}


def check(data: bytes) -> tuple[dict[str, Any], str]:
    """(the statement, the key that made it). Raises `DecodingError` or `InvalidSignature` with a sentence."""
    try:
        signed = json.loads(data)
        text, key, signature = signed["statement"], signed["key"], signed["signature"]
        said = json.loads(text)
        if said["kind"] != KIND:
            raise ValueError
        is_true = is_signed(text.encode(), bytes.fromhex(signature), bytes.fromhex(key))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DecodingError("this is neither a proof file nor a receipt") from error
    if not is_true:
        raise InvalidSignature("the signature of the receipt is not valid")
    return said, key
