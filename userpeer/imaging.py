"""One image made fit to publish, in a process of its own: `python -m userpeer.imaging SIDE < photo > answer`.

A photo of a phone says where it was taken and with what; a file made by a stranger may be built to fill the memory of
whoever decodes it. So the pixels are decoded behind limits, turned the right way up, made at most SIDE long and
written anew, and nothing else of the file survives. The answer is one line of JSON ({"w", "h", "mime"} or
{"problem": sentence}), then the bytes.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import Final

LONG_SIDE: Final = 2048
MAX_PIXELS: Final = 60_000_000
MAX_MEMORY: Final = 2 * 1024**3
MAX_SECONDS: Final = 20
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")


def prepare(data: bytes, side: int = LONG_SIDE) -> tuple[bytes, dict[str, object]]:
    """The image to publish, at most `side` pixels long, and its {"w", "h" (pixels), "mime"}.

    Raises `ValueError` with a sentence.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # judged below, before anything is decoded
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise ValueError(
                    f"This image has {width:,} x {height:,} pixels; the limit is {MAX_PIXELS // 1_000_000} million. "
                    "Make it smaller and try again."
                )
            opened.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(opened)
            is_clear = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            pixels = upright.convert("RGBA" if is_clear else "RGB")
    except UnidentifiedImageError:
        raise ValueError(
            "This file is not an image that can be read here; JPEG, PNG, WebP and GIF can."
        ) from None
    except (OSError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(f"This image cannot be read: {error}.") from error
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    bare = Image.new(pixels.mode, pixels.size)
    bare.paste(pixels)
    out = io.BytesIO()
    if is_clear:
        bare.save(out, "WEBP", quality=85)
    else:
        bare.save(out, "JPEG", quality=85, optimize=True, progressive=True)
    mime = "image/webp" if is_clear else "image/jpeg"
    return out.getvalue(), {"w": bare.width, "h": bare.height, "mime": mime}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        data, facts = prepare(sys.stdin.buffer.read(), int(sys.argv[1]))
    except ValueError as error:
        data, facts = b"", {"problem": str(error)}
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + data)


if __name__ == "__main__":
    main()
