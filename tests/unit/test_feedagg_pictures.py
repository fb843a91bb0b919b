"""Images of strangers: decoded behind limits, written anew without EXIF, kept in a cache that is bounded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from feedagg import imaging
from feedagg.picture_cache import PictureCache


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (2000, 1000), mode: str = "RGB", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else (200, 80, 40, 128)[: len(mode)]).save(out, kind, **options)
    return out.getvalue()


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "A telltale camera"
    exif[0x0112] = 6  # taken with the camera on its side
    exif.get_ifd(0x8825)[1] = "N"
    return picture(exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        picture("PNG", mode="RGBA"),
        picture("WEBP"),
        picture("GIF", mode="P"),
        picture("JPEG", mode="L"),
        picture("JPEG", mode="CMYK"),
    ],
)
def test_each_kind_becomes_webp_in_every_width(data: bytes) -> None:
    for width, made in zip(imaging.WIDTHS, imaging.prepare(data), strict=True):
        with Image.open(io.BytesIO(made)) as opened:
            assert opened.format == "WEBP"
            assert opened.size == (width, width // 2)


def test_a_small_image_is_not_made_larger() -> None:
    for made in imaging.prepare(picture(size=(30, 20))):
        with Image.open(io.BytesIO(made)) as opened:
            assert opened.size == (30, 20)


def test_what_a_camera_wrote_beside_the_pixels_is_gone_and_the_image_upright() -> None:
    data = with_exif()
    assert b"telltale" in data
    for made in imaging.prepare(data):
        assert b"telltale" not in made
        assert b"EXIF" not in made
        with Image.open(io.BytesIO(made)) as opened:
            assert not opened.getexif()
            assert opened.height == 2 * opened.width


def bomb(side: int) -> bytes:
    """A small PNG that says it has side x side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no image"),
        (bomb(100_000), "pixels"),
        (bomb(1_000), "cannot be read"),
        (picture()[:500], "cannot be read"),
    ],
)
def test_what_cannot_be_shown_says_so(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        imaging.prepare(data)


def test_the_cache_is_bounded_and_keeps_what_is_asked_for(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, 1000)
    cache.open()
    for name in "abc":
        cache.put(name, name.encode() * 300)
    assert cache.get("a") == b"a" * 300
    cache.put("d", b"d" * 300)
    assert cache.get("b") is None
    assert cache.get("a") == b"a" * 300
    cache.put("huge", b"x" * 1001)
    assert cache.get("huge") is None
    assert cache.total == sum(path.stat().st_size for path in tmp_path.iterdir()) == 900


def test_the_cache_is_there_after_a_restart(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, 1000)
    cache.open()
    cache.put("a", b"a" * 300)
    cache.put("b", b"b" * 300)
    (tmp_path / "c.part").write_bytes(b"half")
    again = PictureCache(tmp_path, 500)
    again.open()
    assert again.get("b") == b"b" * 300
    assert again.get("a") is None
    assert again.total == 300
    assert [path.name for path in tmp_path.iterdir()] == ["b.webp"]
    (tmp_path / "b.webp").unlink()
    assert again.get("b") is None
    assert again.total == 0
