"""`make pictures`: every page of both programs, in light, dark and phone width, into docs/screenshots/.

Runs the demonstration in a folder of its own, writes a few things as its owner would, and looks at the result.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from urllib.request import urlopen

from tests.flow.test_two_commands import addresses, started
from tests.support import operator_pictures
from tests.support.screens import browser, capture
from tests.support.waiting import wait_for

OWN_RECORDS = (
    ("post", "First flowers on the balcony. The bees found them before I did.", "--tags", "garden"),
    *(
        ("movie", title, "--year", str(year), "--rating", str(rating), "--watched-on", day, *more)
        for title, year, rating, day, *more in (
            ("Paddington", 2014, 8, "2026-03-14", "--liked"),
            ("Playtime", 1967, 10, "2026-11-02", "--rewatch", "--liked"),
            ("Nostalghia", 1983, 7, "2026-11-11"),
        )
    ),
    (
        "movie",
        "Stalker",
        "--year",
        "1979",
        "--rating",
        "9",
        "--watched-on",
        "2026-11-21",
        "--review",
        "Slow and wet and wonderful.",
    ),
    ("post", "Two people at the next table are arguing about whether Ran is a comedy."),
)
ITEMS_ON_A_PAGE = 30


def own(folder: Path, *words: str) -> None:
    """A command of the personal peer of the demonstration in `folder`."""
    command = [sys.executable, "-m", "userpeer", "--dir", str(folder / ".meadow" / "peer"), *words]
    subprocess.run(command, check=True, capture_output=True)


def own_key(folder: Path) -> str:
    """The key of the demonstration's own peer."""
    command = [sys.executable, "-m", "userpeer", "--dir", str(folder / ".meadow" / "peer"), "key"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def fetch(url: str) -> Any:
    with urlopen(url, timeout=60) as answer:
        return json.load(answer)


async def take(feed: str, peer: str, folder: Path) -> None:
    """The pictures, page by page."""
    async with browser() as chromium:
        await capture(chromium, "peer-first-start", peer)
        for words in OWN_RECORDS:
            own(folder, *words)
        await asyncio.sleep(2)
        items = fetch(f"{feed}feed.json")["items"]
        movie = next(item for item in items if item["_meadow"]["kind"] == "movie")
        written = json.loads(
            subprocess.run(
                [sys.executable, "-m", "userpeer", "--dir", str(folder / ".meadow" / "peer"), "--json", "bee", "ls",
                 "--gte", "movie/", "--limit", "1"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )  # fmt: skip
        bee, key = movie["url"].split("/bee/", 1)[1].split("/", 1)
        about = f"bee={bee}&key={quote(unquote(key), safe='')}"
        pages = {
            "feed": feed,
            "proof": f"{feed}proof?{about}",
            "witness": f"{feed}proof?{about}&about=witness",
            "removed": f"{feed}bee/{bee}/post/never-there",
            "prove": f"{feed}prove?{about}",
            "bees": f"{feed}bees",
            "bee": movie["authors"][0]["url"],
            "record": movie["url"],
            "film": f"{feed}film/t:ran:1985",
            "tag": f"{feed}tag/garden",
            "search": f"{feed}search?kind=movie&rating=8-",
            "mutes": f"{feed}mutes",
            "submit": f"{feed}submit",
            "network": f"{feed}network",
            "about": f"{feed}about",
            "not-found": f"{feed}bee/{'0' * 64}",
            "peer-home": peer,
            "peer-record": f"{peer}record?key={quote(written['key'])}",
            "peer-edit": f"{peer}edit?key={quote(written['key'])}",
            "peer-profile": f"{peer}profile",
            "peer-key": f"{peer}key",
            "peer-network": f"{peer}network",
            "peer-aggregators": f"{peer}aggregators",
            "peer-sharing": f"{peer}sharing",
            "peer-bee": f"{peer}bee",
            "peer-timeline": f"{peer}timeline",
            "peer-following": f"{peer}following",
            "peer-person": f"{peer}b/{own_key(folder)}",
            "peer-thread": f"{peer}thread?bee={own_key(folder)}&key={quote(written['key'])}",
            "peer-search": f"{peer}search?q=the",
            "peer-diary": f"{peer}diary",
            "peer-year": f"{peer}diary/2026",
            "peer-watchlist": f"{peer}watchlist",
            "peer-lists": f"{peer}lists",
            "peer-drafts": f"{peer}drafts",
            "peer-import": f"{peer}import",
        }
        for name, url in pages.items():
            await capture(chromium, name, url)
            print(name, url)
        await operator_pictures.take(chromium, feed, folder / ".meadow" / "aggregator", items)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="meadow-pictures-") as place:
        folder = Path(place)
        with started("demo", folder) as (process, output):
            feed, peer = wait_for(lambda: addresses(process, output), "the demonstration", 120)
            wait_for(lambda: len(fetch(f"{feed}feed.json")["items"]) >= ITEMS_ON_A_PAGE, "the records", 60)
            time.sleep(10)  # the rest of the history
            asyncio.run(take(feed, peer, folder))


if __name__ == "__main__":
    main()
