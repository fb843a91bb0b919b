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
from feedagg.feeds import Entry
from feedagg.listings import FeedLink
from feedagg.views import Author

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
    entries: Iterable[Entry],
    description: str = feeds.DESCRIPTION,
) -> bytes:
    """An RSS 2.0 document (https://www.rssboard.org/rss-specification). `base`: our address, no slash at its end."""
    root = Element("rss", {"version": "2.0"})
    channel = SubElement(root, "channel")
    _add(channel, "title", title)
    _add(channel, "link", f"{base}{path}")
    _add(channel, "description", description)
    _add(channel, "generator", "Meadow")
    _atom_link(channel, "self", self_url, "application/rss+xml")
    if next_url is not None:
        _atom_link(channel, "next", next_url, "application/rss+xml")
    for one in entries:
        item = SubElement(channel, "item")
        _add(item, "title", one.title)
        _add(item, "link", one.url)
        _add(item, "guid", one.url, isPermaLink="true")
        _add(item, "pubDate", format_datetime(_moment(one.at), usegmt=True))
        _add(item, f"{{{DUBLIN}}}creator", one.author)
        _add(item, "description", one.html)
        for tag in one.tags:
            _add(item, "category", tag)
        if one.comments is not None:
            _add(item, "comments", one.comments)
    return _document(root)


def atom(
    *,
    title: str,
    base: str,
    path: str,
    self_url: str,
    next_url: str | None,
    entries: Iterable[Entry],
) -> bytes:
    """An Atom document (RFC 4287)."""
    entries = list(entries)
    root = Element("feed", {"xmlns": ATOM})
    _add(root, "title", title)
    _add(root, "id", f"{base}{path}")
    _add(root, "updated", format_date(max((one.at for one in entries), default=0)))
    _link(root, "self", self_url, "application/atom+xml")
    _link(root, "alternate", f"{base}{path}", "text/html")
    if next_url is not None:
        _link(root, "next", next_url, "application/atom+xml")
    _add(root, "generator", "Meadow")
    for one in entries:
        entry = SubElement(root, "entry")
        _add(entry, "title", one.title)
        _add(entry, "id", one.url)
        _link(entry, "alternate", one.url, "text/html")
        _add(entry, "published", format_date(one.at))
        _add(entry, "updated", format_date(one.updated))
        author = SubElement(entry, "author")
        _add(author, "name", one.author)
        _add(author, "uri", one.author_url)
        for tag in one.tags:
            SubElement(entry, "category", {"term": clean(tag)})
        _add(entry, "content", one.html, type="html")
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
