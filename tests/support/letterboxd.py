"""Exports as Letterboxd makes them, written here: the columns are real, the people are not."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from typing import Any

DIARY = ("Date", "Name", "Year", "Letterboxd URI", "Rating", "Rewatch", "Tags", "Watched Date")
RATINGS = ("Date", "Name", "Year", "Letterboxd URI", "Rating")
REVIEWS = (
    "Date", "Name", "Year", "Letterboxd URI", "Rating", "Rewatch", "Review", "Tags", "Watched Date",
)  # fmt: skip
FILMS = ("Date", "Name", "Year", "Letterboxd URI")


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([columns, *rows])
    return out.getvalue()


def zip_of(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def small_export(**changes: str) -> bytes:
    """A zip with something in each file. Change a file by its name without `.csv`."""
    files = {
        "diary": csv_text(
            DIARY,
            [
                ("2024-01-03", "Ran", "1985", "https://boxd.it/aa", "4.5", "", "epic, war", "2024-01-02"),
                ("2024-02-03", "Ran", "1985", "https://boxd.it/bb", "5", "Yes", "", "2024-02-02"),
                ("2024-03-01", "Amélie", "2001", "https://boxd.it/cc", "", "", "", "2024-02-29"),
            ],
        ),
        "reviews": csv_text(
            REVIEWS,
            [
                (
                    "2024-01-03",
                    "Ran",
                    "1985",
                    "https://boxd.it/aa",
                    "4.5",
                    "",
                    'It rains,\n"they" said.',
                    "epic, war",
                    "2024-01-02",
                ),
                ("2024-05-01", "Heat", "1995", "https://boxd.it/dd", "3", "", "Loud.", "", ""),
            ],
        ),
        "ratings": csv_text(
            RATINGS,
            [
                ("2024-01-03", "Ran", "1985", "https://boxd.it/film1", "4.5"),
                ("2023-01-01", "Alien", "1979", "https://boxd.it/film2", "4"),
            ],
        ),
        "watched": csv_text(
            FILMS,
            [
                ("2023-01-01", "Alien", "1979", "https://boxd.it/film2"),
                ("2023-01-02", "Jaws", "1975", "https://boxd.it/film3"),
            ],
        ),
        "likes/films": csv_text(FILMS, [("2024-02-04", "Ran", "1985", "https://boxd.it/film1")]),
        "watchlist": csv_text(FILMS, [("2024-06-01", "Solaris", "1972", "https://boxd.it/film4")]),
        "lists/of-water": (
            "Letterboxd list export v7\n"
            "Date,Name,Tags,URL,Description\n"
            "2024-01-01,Films of water,,https://boxd.it/list1,Rain and rivers\n"
            "\n"
            + csv_text(
                ("Position", "Name", "Year", "URL", "Description"),
                [
                    ("1", "Ran", "1985", "https://boxd.it/film1", "storms"),
                    ("2", "Jaws", "1975", "https://boxd.it/film3", ""),
                ],
            )
        ),
        "profile": "Date Joined,Username\n2020-01-01,ada\n",
        **changes,
    }
    return zip_of({f"{name}.csv": text for name, text in files.items()})


def large_export(rows: int) -> bytes:
    """A diary of `rows` entries."""
    entries = [
        (
            f"20{20 + number % 5}-0{number % 9 + 1}-1{number % 10}",
            f"Film {number % 4000}",
            str(1950 + number % 70),
            f"https://boxd.it/{number:x}",
            f"{number % 10 / 2 + 0.5:g}",
            "Yes" if number % 7 == 0 else "",
            "a, b",
            f"20{20 + number % 5}-0{number % 9 + 1}-1{number % 10}",
        )
        for number in range(rows)
    ]
    return zip_of({"diary.csv": csv_text(DIARY, entries)})
