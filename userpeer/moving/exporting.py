"""Everything one has published, as files that other programs read: a zip.

records.jsonl   every record: {"key", "seq", "value"}, one a line; this is what an import brings back
posts/          each post as Markdown, its dates and tags in front
films.csv       the film diary, as Letterboxd imports it (letterboxd.com/import)
watchlist.csv   the same for the watchlist
media/          the images of posts and the profile's, named by their numbers in the media core
README.txt      this list
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import IO, Any, Final

from core.hyperbee import Entry, Hyperbee
from core.records import Blob, Post, Profile, Subject, Watch, WatchlistItem, format_date, parse_record
from userpeer.errors import NotFound
from userpeer.media import Media, mime_of

FILM_COLUMNS: Final = (
    "Title", "Year", "Rating", "WatchedDate", "Rewatch", "Tags", "Review", "tmdbID", "imdbID", "LetterboxdURI",
)  # fmt: skip
_EXTENSIONS: Final = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
_README: Final = "Everything you published from your Meadow peer.\n" + (__doc__ or "").partition("zip.\n")[2]


async def export(bee: Hyperbee, media: Media, out: IO[bytes], progress: Callable[[int], None]) -> int:
    """Write the zip to `out`; returns how many records it holds. `progress` is told after each hundred."""
    records = 0
    films, watchlist = io.StringIO(), io.StringIO()
    film_writer, watchlist_writer = csv.writer(films), csv.writer(watchlist)
    film_writer.writerow(FILM_COLUMNS)
    watchlist_writer.writerow(("Title", "Year", "tmdbID", "imdbID", "LetterboxdURI"))
    blobs: dict[tuple[int, int], Any] = {}
    posts: list[tuple[str, str]] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        with archive.open("records.jsonl", "w", force_zip64=True) as lines:
            async for entry in _entries(bee):
                row = {"key": entry.key, "seq": entry.seq, "value": entry.value}
                lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                record = parse_record(entry.key, entry.value)
                match record:
                    case Post():
                        posts.append((f"posts/{_name(record)}.md", markdown_of(record)))
                        blobs |= {
                            (image.blob.block_offset, image.blob.byte_length): image.blob
                            for image in record.media
                        }
                    case Profile(avatar=Blob() as avatar):
                        blobs[avatar.block_offset, avatar.byte_length] = avatar
                    case Watch():
                        film_writer.writerow(film_row(record))
                    case WatchlistItem():
                        watchlist_writer.writerow(_film_columns(record.film))
                records += 1
                if records % 100 == 0:
                    progress(records)
        for name, text in posts:
            archive.writestr(name, text)
        archive.writestr("films.csv", films.getvalue())
        archive.writestr("watchlist.csv", watchlist.getvalue())
        for blob in blobs.values():
            try:
                data = await media.read(bee, blob)
            except NotFound:
                continue
            extension = _EXTENSIONS.get(mime_of(data) or "", "bin")
            archive.writestr(f"media/{blob.block_offset}-{blob.byte_length}.{extension}", data)
    progress(records)
    return records


def markdown_of(post: Post) -> str:
    """A post as a Markdown file."""
    head = [f"key: {post.key}"]
    for name, value in (("created", post.created_at), ("updated", post.updated_at)):
        if value is not None:
            head.append(f"{name}: {format_date(value)}")
    if post.tags:
        head.append(f"tags: {json.dumps(list(post.tags), ensure_ascii=False)}")
    if post.cw:
        head.append(f"cw: {json.dumps(post.cw, ensure_ascii=False)}")
    if post.parent is not None:
        head.append(f"answers: {post.parent.bee}/{post.parent.key}")
    body = [post.text]
    if post.more is not None:
        body.append(post.more.text)
    body += [
        f"![{image.alt}](../media/{image.blob.block_offset}-{image.blob.byte_length})" for image in post.media
    ]
    return "---\n" + "\n".join(head) + "\n---\n\n" + "\n\n".join(body) + "\n"


def film_row(watch: Watch) -> tuple[str, ...]:
    """One line of `films.csv`. A date without a day is left out: Letterboxd knows none."""
    whole_day = watch.watched_on if watch.watched_on and len(watch.watched_on) == 10 else ""
    title, year, tmdb, imdb, address = _film_columns(watch.film)
    return (
        title,
        year,
        "" if watch.rating is None else f"{watch.rating / 2:g}",
        whole_day,
        "Yes" if watch.rewatch else "",
        ", ".join(watch.tags),
        watch.review.text if watch.review else "",
        tmdb,
        imdb,
        address,
    )


def _film_columns(film: Subject) -> tuple[str, str, str, str, str]:
    address = next((url for url in film.urls if "letterboxd.com/" in url or "boxd.it/" in url), "")
    return (
        film.title,
        "" if film.year is None else str(film.year),
        "" if film.tmdb is None else str(film.tmdb),
        film.imdb or "",
        address,
    )


async def _entries(bee: Hyperbee) -> AsyncIterator[Entry]:
    """What is there now, even if more is published meanwhile."""
    snapshot = bee.snapshot()
    try:
        async for entry in snapshot.range():
            yield entry
    finally:
        await snapshot.close()


def _name(post: Post) -> str:
    day = "undated" if post.created_at is None else format_date(post.created_at)[:10]
    return f"{day}-{re.sub(r'[^0-9A-Za-z-]+', '-', post.key)[:80]}"
