"""`ref`: names the exact version of someone's record that a reply or a reaction answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..limits import MAX_SAFE_INTEGER
from . import bounds
from .fields import Fields


@dataclass(frozen=True, slots=True)
class Ref:
    """The bee's key (64 hex), the record's key, its block's number and BLAKE2b-256 of its value (64 hex)."""

    bee: str
    key: str
    seq: int
    hash: str
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"bee": self.bee, "key": self.key, "seq": self.seq, "hash": self.hash, **self.extra}


def read_ref(fields: Fields) -> Ref:
    return Ref(
        bee=fields.hex_key("bee"),
        key=fields.text("key", size=bounds.MAX_KEY_BYTES),
        seq=fields.integer("seq", 0, MAX_SAFE_INTEGER),
        hash=fields.hex_key("hash"),
        extra=fields.rest(),
    )


def value_hash(value: bytes) -> str:
    """BLAKE2b-256 of a value's bytes as they stand in the block, 64 hex digits."""
    return blake2b(value, digest_size=32).hexdigest()
