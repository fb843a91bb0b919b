"""The feed for feed readers that want XML: RSS 2.0, Atom 1.0, and OPML 2.0 of the bees.

Whatever an author wrote may stand in an attribute or a text: `clean` takes out the characters that XML 1.0 cannot hold,
and ElementTree quotes the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from core.records import format_date
from feedagg import feeds
from feedagg.listings import FeedLink
from feedagg.queries import Item
from feedagg.views import Author, Card

ATOM: Final = "http://www.w3.org/2005/Atom"
DUBLIN: Final = "http://purl.org/dc/elements/1.1/"
register_namespace("atom", ATOM)
register_namespace("dc", DUBLIN)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("", text)


def rss(
    *,
    title: str,
    base: str,
    path: str,
    self_url: str,
    next_url: str | None,
    cards: Iterable[tuple[Item, Card]],
) -> bytes:
    """An RSS 2.0 document (https://www.rssboard.org/rss-specification). `base`: our address, no slash at its end."""
    root = Element("rss", {"version": "2.0"})
    channel = SubElement(root, "channel")
    _add(channel, "title", title)
    _add(channel, "link", f"{base}{path}")
    _add(channel, "description", feeds.DESCRIPTION)
    _add(channel, "generator", "Meadow")
    _atom_link(channel, "self", self_url, "application/rss+xml")
    if next_url is not None:
        _atom_link(channel, "next", next_url, "application/rss+xml")
    for item, card in cards:
        entry = SubElement(channel, "item")
        _add(entry, "title", feeds.headline(card))
        _add(entry, "link", f"{base}{card.permalink}")
        _add(entry, "guid", f"{base}{card.permalink}", isPermaLink="true")
        _add(entry, "pubDate", format_datetime(_moment(item.sort_at), usegmt=True))
        _add(entry, f"{{{DUBLIN}}}creator", card.author.name)
        _add(entry, "description", feeds.html(base, card))
        for tag in card.tags:
            _add(entry, "category", tag)
        if card.talk is not None and card.talk.replies:
            _add(entry, "comments", f"{base}{card.talk.href}")
    return _document(root)


def atom(
    *,
    title: str,
    base: str,
    path: str,
    self_url: str,
    next_url: str | None,
    cards: Iterable[tuple[Item, Card]],
) -> bytes:
    """An Atom document (RFC 4287)."""
    cards = list(cards)
    root = Element("feed", {"xmlns": ATOM})
    _add(root, "title", title)
    _add(root, "id", f"{base}{path}")
    newest = max((item.sort_at for item, _ in cards), default=0)
    _add(root, "updated", format_date(newest))
    _link(root, "self", self_url, "application/atom+xml")
    _link(root, "alternate", f"{base}{path}", "text/html")
    if next_url is not None:
        _link(root, "next", next_url, "application/atom+xml")
    _add(root, "generator", "Meadow")
    for item, card in cards:
        entry = SubElement(root, "entry")
        _add(entry, "title", feeds.headline(card))
        _add(entry, "id", f"{base}{card.permalink}")
        _link(entry, "alternate", f"{base}{card.permalink}", "text/html")
        _add(entry, "published", format_date(item.sort_at))
        _add(entry, "updated", format_date(card.updated_at or item.sort_at))
        author = SubElement(entry, "author")
        _add(author, "name", card.author.name)
        _add(author, "uri", f"{base}{card.author.href}")
        for tag in card.tags:
            SubElement(entry, "category", {"term": clean(tag)})
        _add(entry, "content", feeds.html(base, card), type="html")
    return _document(root)


def opml(*, title: str, base: str, bees: Iterable[tuple[Author, list[FeedLink]]]) -> bytes:
    """Bees as a list of subscriptions (http://opml.org/spec2.opml)."""
    root = Element("opml", {"version": "2.0"})
    _add(SubElement(root, "head"), "title", title)
    body = SubElement(root, "body")
    for author, links in bees:
        SubElement(
            body,
            "outline",
            {
                "type": "rss",
                "text": clean(author.name),
                "title": clean(author.name),
                "xmlUrl": base + links[0].href,
                "htmlUrl": base + author.href,
                "description": clean(author.bio or ""),
                "bee": author.key,
            },
        )
    return _document(root)


def _document(root: Element) -> bytes:
    return tostring(root, encoding="utf-8", xml_declaration=True)


def _add(parent: Element, name: str, text: str, **attributes: str) -> None:
    SubElement(parent, name, attributes).text = clean(text)


def _link(parent: Element, rel: str, href: str, media_type: str) -> None:
    SubElement(parent, "link", {"rel": rel, "href": clean(href), "type": media_type})


def _atom_link(parent: Element, rel: str, href: str, media_type: str) -> None:
    SubElement(parent, f"{{{ATOM}}}link", {"rel": rel, "href": clean(href), "type": media_type})


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
