"""A Letterboxd export (the zip of its settings page): diary, ratings, reviews, watched, likes, watchlist, lists.

A film appears in several of the files. What becomes one entry of the diary here:

  diary.csv      one entry a line; reviews.csv holds its review under the same address
  reviews.csv    what is not in the diary: an entry of its own
  ratings.csv    a film without an entry: one without a date
  watched.csv    the same, without a rating
  likes/films.csv  makes the latest entry of the film a liked one

Source of the columns: exports of letterboxd.com, version 7 of its lists.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any, Final

from core.records import bounds, parse_date

from .wanted import Row, Wanted, WantedList, WantedRecord, csv_rows, lines_of, open_zip, read_member

SOURCE: Final = "letterboxd"
_KNOWN: Final = (
    "diary.csv", "reviews.csv", "ratings.csv", "watched.csv", "likes/films.csv", "watchlist.csv",
)  # fmt: skip


def is_letterboxd(names: list[str]) -> bool:
    return any(name in names for name in ("diary.csv", "ratings.csv", "watched.csv", "reviews.csv"))


def read_letterboxd(data: bytes) -> Wanted:
    """What the zip asks for. Raises `UserError` when it is no such zip."""
    archive = open_zip(data)
    names = archive.namelist()
    wanted = Wanted()
    files = {name: list(csv_rows(name, read_member(archive, name))) for name in _KNOWN if name in names}
    reviews = {row.get("Letterboxd URI"): row for row in files.get("reviews.csv", ())}
    entries: dict[tuple[str, str], list[WantedRecord]] = {}

    def add(row: Row, review: Row | None = None) -> None:
        record = _entry(wanted, row, review)
        if record is not None:
            entries.setdefault(_film_of(row), []).append(record)

    for row in files.get("diary.csv", ()):
        add(row, reviews.pop(row.get("Letterboxd URI"), None))
    for row in reviews.values():
        add(row, row)
    for name in ("ratings.csv", "watched.csv"):
        for row in files.get(name, ()):
            if _film_of(row) not in entries:
                add(row)
    for row in files.get("likes/films.csv", ()):
        if _film_of(row) not in entries:
            add(row)
        known = entries.get(_film_of(row))
        if known:
            known[-1] = replace(known[-1], value={**known[-1].value, "liked": True})
    wanted.records += [record for records in entries.values() for record in records]
    wanted.records.sort(key=lambda record: record.at)
    for row in files.get("watchlist.csv", ()):
        film = _film(wanted, row, row.get("Name"))
        if film is not None:
            wanted.records.append(
                WantedRecord(
                    "watchlist", {"film": film}, row.get("Letterboxd URI"), _at(row), None, _place(row)
                )
            )
    _read_lists(archive, names, wanted)
    wanted.ignored += sorted(
        name
        for name in names
        if name not in _KNOWN and not _is_list(name) and not name.endswith("/") and name.endswith(".csv")
    )
    return wanted


def _entry(wanted: Wanted, row: Row, review: Row | None) -> WantedRecord | None:
    film = _film(wanted, row, row.get("Name"))
    if film is None:
        return None
    value: dict[str, Any] = {"film": film}
    watched = row.get("Watched Date")
    if watched and _is_day(watched):
        value["watchedOn"] = watched
    elif watched:
        wanted.complain(row, f"The date {watched[:20]!r} is none; the entry came without it.")
    if row.get("Rewatch").lower() == "yes":
        value["rewatch"] = True
    rating = _rating(wanted, row)
    if rating:
        value["rating"] = rating
    text = "" if review is None else review.get("Review")
    if text:
        if len(text.encode()) > bounds.MAX_REVIEW_BYTES:
            wanted.complain(
                row,
                f"The review is longer than {bounds.MAX_REVIEW_BYTES:,} bytes; the entry came without it.",
            )
        else:
            value["review"] = {"text": text}
    tags = _tags(row.get("Tags") or ("" if review is None else review.get("Tags")))
    if tags:
        value["tags"] = tags[: bounds.MAX_TAGS]
        if len(tags) > bounds.MAX_TAGS:
            wanted.complain(row, f"It has {len(tags)} tags; the first {bounds.MAX_TAGS} were taken.")
    value["src"] = SOURCE
    return WantedRecord("movie", value, row.get("Letterboxd URI"), _at(row), None, _place(row))


def _film(wanted: Wanted, row: Row, title: str) -> dict[str, Any] | None:
    if not title:
        wanted.complain(row, "There is no title on this line.")
        return None
    film: dict[str, Any] = {"title": title[: bounds.MAX_TITLE], "kind": "movie"}
    year = row.get("Year")
    if year:
        if year.isascii() and year.isdigit() and bounds.MIN_YEAR <= int(year) <= bounds.MAX_YEAR:
            film["year"] = int(year)
        else:
            wanted.complain(row, f"The year {year[:20]!r} is none; the film came without it.")
    address = row.get("Letterboxd URI") or row.get("URL")
    if address.startswith("https://"):
        film["urls"] = [address]
    return film


def _rating(wanted: Wanted, row: Row) -> int | None:
    text = row.get("Rating")
    if not text:
        return None
    try:
        halves = float(text) * 2
    except ValueError:
        halves = 0.0
    if not halves.is_integer() or not bounds.MIN_RATING <= halves <= bounds.MAX_RATING:
        wanted.complain(row, f"The rating {text[:20]!r} is none of 0.5 to 5; the entry came without it.")
        return None
    return int(halves)


def _read_lists(archive: zipfile.ZipFile, names: list[str], wanted: Wanted) -> None:
    for name in sorted(filter(_is_list, names)):
        data = read_member(archive, name)
        lines = lines_of(data.decode("utf-8-sig", "replace"))
        start = next((number for number, line in enumerate(lines) if line.startswith("Position,")), None)
        if start is None:
            wanted.complain(
                Row(name, 1, {}), "It does not look like a list of an export, so it was left out."
            )
            continue
        head = _list_head(lines[:start])
        items = []
        ordered = False
        for row in csv_rows(name, data, skip=start):
            film = _film(wanted, row, row.get("Name"))
            if film is None:
                continue
            note = " ".join(row.get("Description").split())[: bounds.MAX_NOTE]
            items.append({"film": film, **({"note": note} if note else {})})
            ordered = ordered or bool(row.get("Position"))
        title = (head.get("Name", "") or name.rpartition("/")[2].removesuffix(".csv"))[: bounds.MAX_LIST_NAME]
        wanted.lists.append(
            WantedList(title, head.get("Description", ""), ordered, head.get("URL", "") or name, tuple(items))
        )


def _list_head(lines: list[str]) -> dict[str, str]:
    """The header line and the line below it that describe the list."""
    rows = [fields for fields in csv.reader(io.StringIO("".join(lines))) if any(fields)]
    for names, values in pairwise(rows):
        if "Name" in names:
            return {name: value.strip() for name, value in zip(names, values, strict=False)}
    return {}


def _is_list(name: str) -> bool:
    return name.startswith("lists/") and name.endswith(".csv")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _film_of(row: Row) -> tuple[str, str]:
    return row.get("Name").casefold(), row.get("Year")


def _tags(text: str) -> list[str]:
    tags = (tag.strip()[: bounds.MAX_TAG] for tag in text.split(","))
    return list(dict.fromkeys(tag for tag in tags if tag))


def _at(row: Row) -> int:
    found = parse_date(row.get("Date") or None)
    return found if isinstance(found, int) and type(found) is int else 0


def _place(row: Row) -> tuple[str, int]:
    return row.file, row.line
