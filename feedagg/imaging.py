"""One image made fit for pages, in a process of its own: `python -m feedagg.imaging WIDTH… < bytes > answer`.

Whoever wrote the bytes may have built them to fill the memory of whoever decodes them, and a photo says where it was
taken. So they are decoded behind limits, turned the right way up, and written anew in each width; nothing else of the
file survives. Of a moving image the first picture is kept. The answer is one line of JSON, {"sizes": [bytes of
each]} or {"problem": sentence}, then the WebP files one after the other.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Sequence
from typing import Final

WIDTHS: Final = (640, 1600)
"""Pixels of the longer side: in a list, and alone."""

MARK: Final = 160
"""Pixels of both sides of the picture beside an author's name: the middle of theirs, on white where it is clear."""

MAX_PIXELS: Final = 50_000_000
MAX_MEMORY: Final = 1536 * 1024**2
MAX_SECONDS: Final = 20
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")


def prepare(data: bytes, widths: Sequence[int] = WIDTHS) -> list[bytes]:
    """The image in each width, never larger than it came, or as a `MARK`. Raises `ValueError` with a sentence."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # judged below, before anything is decoded
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise ValueError(
                    f"It has {width:,} x {height:,} pixels; the limit is {MAX_PIXELS // 1_000_000} million."
                )
            opened.draft("RGB", (max(widths), max(widths)))
            upright = ImageOps.exif_transpose(opened)
            is_clear = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            pixels = upright.convert("RGBA" if is_clear else "RGB")
    except UnidentifiedImageError:
        raise ValueError("It is no image that can be read here: JPEG, PNG, WebP and GIF can.") from None
    except (OSError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(f"It cannot be read: {error}.") from error
    made = []
    for width in widths:
        if width == MARK:
            smaller = ImageOps.fit(pixels, (width, width), Image.Resampling.LANCZOS)
            bare = Image.new("RGB", smaller.size, "white")
            bare.paste(smaller, mask=smaller if is_clear else None)
        else:
            smaller = pixels.copy()
            smaller.thumbnail((width, width), Image.Resampling.LANCZOS)
            bare = Image.new(smaller.mode, smaller.size)
            bare.paste(smaller)
        out = io.BytesIO()
        bare.save(out, "WEBP", quality=80)
        made.append(out.getvalue())
    return made


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        made = prepare(sys.stdin.buffer.read(), [int(width) for width in sys.argv[1:]])
        head: dict[str, object] = {"sizes": [len(one) for one in made]}
    except ValueError as error:
        made, head = [], {"problem": str(error)}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + b"".join(made))


if __name__ == "__main__":
    main()
