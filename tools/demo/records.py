"""One demo person's files as records of a bee. Pure: the same files always give the same keys and values."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from core.records import KeyClock, Post, Profile, Record, Review, Subject, Watch

EVENING = time(20, 0, tzinfo=UTC)
"""A Letterboxd export knows the day of a diary entry and not the hour."""


def read_person(folder: Path) -> list[Record]:
    """The profile, posts and diary of one person, oldest first, each under its time-ordered key."""
    profile, began = _profile(folder / "profile.json"), datetime(2025, 1, 1, tzinfo=UTC)
    dated = _imported(folder / "reviews.csv") + _posts(folder / "posts.csv") + _diary(folder / "diary.csv")
    dated.sort(key=lambda pair: pair[0])
    clock = KeyClock()
    records: list[Record] = [Profile(key="profile/self", created_at=_ms(began), **profile)]
    for at, fields in dated:
        kind = Post if "text" in fields else Watch
        name = "post" if kind is Post else "movie"
        records.append(kind(key=f"{name}/{clock.next(_ms(at))}", created_at=_ms(at), **fields))
    return records


def _profile(file: Path) -> dict:
    profile = json.loads(file.read_text(encoding="utf-8"))
    return {**profile, "langs": tuple(profile["langs"])}


def _posts(file: Path) -> list[tuple[datetime, dict]]:
    return [
        (datetime.fromisoformat(row["Date"]), {"text": row["Text"], "tags": _tags(row["Tags"]), "lang": "en"})
        for row in _rows(file)
    ]


def _imported(file: Path) -> list[tuple[datetime, dict]]:
    """The rows of a Letterboxd `reviews.csv`; entries of one day follow each other."""
    watches: list[tuple[datetime, dict]] = []
    for row in _rows(file):
        at = datetime.combine(date.fromisoformat(row["Date"]), EVENING)
        if watches and watches[-1][0] >= at:
            at = watches[-1][0] + timedelta(minutes=1)
        watches.append((at, {**_watch(row), "source": "letterboxd"}))
    return watches


def _diary(file: Path) -> list[tuple[datetime, dict]]:
    return [(datetime.fromisoformat(row["Date"]), _watch(row)) for row in _rows(file)]


def _watch(row: dict[str, str]) -> dict:
    """What both kinds of rows say; stars become half stars."""
    return {
        "film": Subject(title=row["Name"], year=int(row["Year"])),
        "watched_on": row["Watched Date"],
        "rewatch": row["Rewatch"] == "Yes",
        "rating": round(float(row["Rating"]) * 2),
        "review": Review(text=row["Review"]) if row["Review"] else None,
        "tags": _tags(row["Tags"]),
    }


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip().replace(" ", "-") for tag in text.split(",") if tag.strip())


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
