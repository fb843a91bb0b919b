"""Images of a record: where their bytes lie in the author's media core, and what a blind reader is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..limits import MAX_SAFE_INTEGER
from . import bounds
from .fields import Fields, as_object


@dataclass(frozen=True, slots=True)
class Blob:
    """A run of bytes in the core that `meta/self.blobs` names: the four numbers of a Hyperblobs id."""

    block_offset: int
    block_length: int
    byte_offset: int
    byte_length: int
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "blockOffset": self.block_offset,
            "blockLength": self.block_length,
            "byteOffset": self.byte_offset,
            "byteLength": self.byte_length,
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a post; `width` and `height` in pixels, None where the author left them out."""

    blob: Blob
    alt: str = ""
    width: int | None = None
    height: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"blob": self.blob.to_json(), "alt": self.alt}
        if self.width is not None:
            out["w"] = self.width
        if self.height is not None:
            out["h"] = self.height
        out.update(self.extra)
        return out


def read_blob(fields: Fields) -> Blob:
    return Blob(
        block_offset=fields.integer("blockOffset", 0, MAX_SAFE_INTEGER),
        block_length=fields.integer("blockLength", 0, MAX_SAFE_INTEGER),
        byte_offset=fields.integer("byteOffset", 0, MAX_SAFE_INTEGER),
        byte_length=fields.integer("byteLength", 0, MAX_SAFE_INTEGER),
        extra=fields.rest(),
    )


def read_image(value: Any, path: str) -> Image:
    fields = as_object(value, path)
    return Image(
        blob=read_blob(fields.object("blob")),
        alt=fields.optional_text("alt", chars=bounds.MAX_ALT) or "",
        width=fields.optional_integer("w", 1, 100_000),
        height=fields.optional_integer("h", 1, 100_000),
        extra=fields.rest(),
    )
