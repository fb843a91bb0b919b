"""The lists a reader can follow: each has a page, the same as RSS, Atom and JSON Feed, and its bees as OPML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from sqlalchemy import Connection

from core.records import Post, Watch, parse_record
from feedagg import answers, find, queries, search, sources, views
from feedagg.queries import PAGE, Item, Order, Page, Place

FORMATS: Final = ("rss", "atom", "json", "opml")
MEDIA_TYPES: Final = {
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
    "opml": "text/x-opml",
}
NAMES: Final = {"rss": "RSS", "atom": "Atom", "json": "JSON Feed", "opml": "OPML"}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list and where its page is: `path` with its query, relative to the site. Newest first. `bees`: whose it is,
    besides those who wrote what is on it.
    """

    title: str
    path: str
    page: Page
    bees: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedLink:
    """Where a list is to be had for feed readers."""

    name: str
    media_type: str
    href: str


def links(path: str) -> list[FeedLink]:
    """The feeds of the list whose page is at `path`, and its bees as subscriptions."""
    if path == "/" or path.startswith("/?"):
        return [FeedLink(NAMES[name], MEDIA_TYPES[name], f"/feed.{name}{path[1:]}") for name in FORMATS]
    return [FeedLink(NAMES[name], MEDIA_TYPES[name], f"/feeds/{name}{path}") for name in FORMATS]


def tag_path(tag: str) -> str:
    return f"/tag/{quote(tag, safe='')}"


def search_path(query: str, order: Order = Order.DATE) -> str:
    asked = {"q": query} | ({} if order is Order.DATE else {"sort": str(order)})
    return f"/search?{urlencode(asked)}"


def thread_path(bee: str, key: bytes) -> str:
    """The path of the conversation under a root."""
    return "/thread/" + views.permalink(bee, key).removeprefix("/bee/")


def live(after: str, **of: str) -> str:
    """Where the page of a list hears what is new in it since the event `after` (`feedagg/pages/stream.py`)."""
    return "/live?" + urlencode({"after": after, **of})


def feed(
    connection: Connection,
    site: str,
    *,
    order: Order = Order.DATE,
    before: Place | None = None,
    size: int = PAGE,
) -> Listing:
    page = queries.feed(connection, before=before, size=size, order=order)
    return Listing(site, "/" if order is Order.DATE else f"/?sort={order}", page)


def bee(
    connection: Connection, key: bytes, *, before: Place | None = None, size: int = PAGE
) -> Listing | None:
    """None if it is not followed here."""
    if sources.get(connection, key) is None:
        return None
    author = views.author(key, queries.profiles(connection, [key]).get(key))
    page = queries.of_bee(connection, key, before=before, size=size)
    return Listing(author.name, author.href, page, (key,))


def tag(connection: Connection, name: str, *, before: Place | None = None, size: int = PAGE) -> Listing:
    found = find.find(connection, search.tagged(name), before=before, size=size)
    return Listing(f"#{name}", tag_path(name), found.page)


def film(
    connection: Connection, name: str, *, before: Place | None = None, size: int = PAGE
) -> Listing | None:
    """None if nobody says anything about it."""
    page = queries.about_film(connection, name, before=before, size=size)
    title = next((said for item in page.items if (said := _film_title(item))), None)
    return None if title is None else Listing(title, views.film_href(name), page)


def _film_title(item: Item) -> str | None:
    record = None if item.value is None else parse_record(item.key, item.value)
    subject = record.film if isinstance(record, (Post, Watch)) else None
    if subject is None:
        return None
    return subject.title if subject.year is None else f"{subject.title} ({subject.year})"


def thread(
    connection: Connection, bee: bytes, key: bytes, *, before: Place | None = None, size: int = PAGE
) -> Listing:
    page = answers.newest_replies(connection, bee, key, before=before, size=size)
    author = views.author(bee, queries.profiles(connection, [bee]).get(bee))
    return Listing(f"Replies to {author.name}", thread_path(bee.hex(), key), page, (bee,))


def found(
    connection: Connection,
    query: str,
    *,
    order: Order = Order.DATE,
    before: Place | None = None,
    size: int = PAGE,
) -> Listing:
    page = find.find(connection, search.parse(query), before=before, size=size, order=order).page
    return Listing(f"Search: {query}", search_path(query, order), page)
