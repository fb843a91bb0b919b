"""The feed for feed readers: JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import escape

from core.records import format_date
from feedagg.markup import linkify
from feedagg.queries import Item
from feedagg.views import Author, Card, Picture


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an XML feed. `url`: its page, for ever; times are milliseconds since 1970; `comments`: a page."""

    url: str
    title: str
    html: str
    at: int
    updated: int
    author: str
    author_url: str
    tags: tuple[str, ...] = ()
    comments: str | None = None


VERSION = "https://jsonfeed.org/version/1.1"
DESCRIPTION = "What the authors of many bees wrote, merged by an aggregator that cannot change it."
HEADLINE = 80


def json_feed(
    *,
    title: str,
    base: str,
    path: str = "/",
    feed_url: str,
    cards: Iterable[tuple[Item, Card]],
    next_url: str | None = None,
) -> dict[str, Any]:
    """A JSON Feed document. `base`: our address, without a slash at its end."""
    feed: dict[str, Any] = {
        "version": VERSION,
        "title": title,
        "home_page_url": f"{base}{path}",
        "feed_url": feed_url,
        "description": DESCRIPTION,
    }
    if next_url is not None:
        feed["next_url"] = next_url
    feed["items"] = [_item(base, item, card) for item, card in cards]
    return feed


def entry(base: str, item: Item, card: Card) -> Entry:
    """A record as an entry."""
    has_replies = card.talk is not None and card.talk.replies
    return Entry(
        url=f"{base}{card.permalink}",
        title=headline(card),
        html=html(base, card),
        at=item.sort_at,
        updated=card.updated_at or item.sort_at,
        author=card.author.name,
        author_url=f"{base}{card.author.href}",
        tags=tuple(card.tags),
        comments=f"{base}{card.talk.href}" if card.talk is not None and has_replies else None,
    )


def _item(base: str, item: Item, card: Card) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": f"{base}{card.permalink}",
        "url": f"{base}{card.permalink}",
        "content_text": _text(card),
        "content_html": html(base, card),
        "date_published": format_date(item.sort_at),
        "authors": [_author(base, card.author)],
        # Names the record on the wire, so that a program can fetch and check it without us.
        "_meadow": {
            "bee": item.bee.hex(),
            "key": item.key.decode(),
            "seq": item.seq,
            "kind": card.kind,
            "first_seen": format_date(item.first_seen),
        },
    }
    if card.film is not None:
        out["title"] = film_title(card)
    if card.images and card.cw is None:
        out["image"] = f"{base}{card.images[0].large}"
    if card.rating is not None:
        out["_meadow"]["rating"] = card.rating
    if card.cw is not None:
        out["summary"] = f"Content warning: {card.cw}"
    if card.updated_at is not None:
        out["date_modified"] = format_date(card.updated_at)
    if card.tags:
        out["tags"] = list(card.tags)
    return out


def film_title(card: Card) -> str:
    """`Title (1968)`."""
    assert card.film is not None
    return card.film.title if card.film.year is None else f"{card.film.title} ({card.film.year})"


def stars(rating: int) -> str:
    """Half stars as text: 9 is ★★★★½."""
    return "★" * (rating // 2) + "½" * (rating % 2)


def _author(base: str, author: Author) -> dict[str, str]:
    named = {"name": author.name, "url": f"{base}{author.href}"}
    return named if author.portrait is None else named | {"avatar": f"{base}{author.portrait}"}


def _head(card: Card) -> str:
    if card.kind != "movie":
        return ""
    return film_title(card) + ("" if card.rating is None else f" {stars(card.rating)}")


def _text(card: Card) -> str:
    return "\n\n".join(part for part in (_head(card), card.plain) if part)


def headline(card: Card) -> str:
    """A title for those who need one: of a post its first words, and nothing that its author covered."""
    if card.kind == "movie" and card.film is not None:
        return f"{_head(card)} · {card.author.name}"
    if card.cw is not None:
        return f"{card.author.name}: content warning ({card.cw})"
    line = " ".join(card.plain.split())
    return f"{card.author.name}: {line if len(line) <= HEADLINE else line[: HEADLINE - 1] + '…'}"


def html(base: str, card: Card) -> str:
    """The record as HTML for other programs; what its author covered is folded."""
    parts: list[str] = []
    if card.film is not None and card.kind == "movie":
        parts.append(f'<p><a href="{escape(base + card.film.href)}">{escape(_head(card))}</a></p>')
    if card.plain or card.images:
        body = str(linkify(card.plain)).replace("\n", "<br>") + "".join(
            _image(base, one) for one in card.images
        )
        label = card.cw or ("Contains spoilers" if card.spoiler else None)
        parts.append(f"<p>{body}</p>" if label is None else _folded(label, body))
    return "".join(parts)


def _image(base: str, image: Picture) -> str:
    size = f' width="{image.width}" height="{image.height}"' if image.width and image.height else ""
    return f'<br><img src="{escape(base + image.small)}" alt="{escape(image.alt)}"{size}>'


def _folded(label: str, body: str) -> str:
    return f"<details><summary>{escape(label)}</summary><p>{body}</p></details>"
