"""`meta/self`: what wrote this bee, and which earlier bee it goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ..limits import MAX_SAFE_INTEGER
from .fields import Fields
from .stamp import Stamp, read_stamp

SCHEMA: Final = "meadow"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Resumes:
    """The bee this one goes on from: its key (64 hex), and its length and tree hash when it was left."""

    bee: str
    length: int
    tree_hash: str
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"bee": self.bee, "length": self.length, "treeHash": self.tree_hash, **self.extra}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta(Stamp):
    """The first record of a bee; `blobs` is the key of the author's media core."""

    schema: str = SCHEMA
    version: int = SCHEMA_VERSION
    software: str | None = None
    blobs: str | None = None
    resumes: Resumes | None = None

    @property
    def kind(self) -> str:
        return "meta"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"schema": self.schema, "v": self.version}
        if self.software is not None:
            out["software"] = self.software
        if self.blobs is not None:
            out["blobs"] = self.blobs
        if self.resumes is not None:
            out["resumes"] = self.resumes.to_json()
        return self._stamped(out)


def read_meta(key: str, fields: Fields) -> Meta:
    resumes = fields.optional_object("resumes")
    return Meta(
        schema=fields.text("schema", chars=64),
        version=fields.integer("v", 0, MAX_SAFE_INTEGER),
        software=fields.optional_text("software", chars=200),
        blobs=fields.optional_hex_key("blobs"),
        resumes=_read_resumes(resumes) if resumes else None,
        **read_stamp(key, fields),
    )


def _read_resumes(fields: Fields) -> Resumes:
    return Resumes(
        bee=fields.hex_key("bee"),
        length=fields.integer("length", 0, MAX_SAFE_INTEGER),
        tree_hash=fields.hex_key("treeHash"),
        extra=fields.rest(),
    )
