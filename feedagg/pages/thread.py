"""`/thread/<bee>/<record>`: a conversation: its root, and the replies under it, the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.records import Post, Ref, parse_record, value_hash
from feedagg import answers, listings, queries, sources, views
from feedagg.decide import Status
from feedagg.listings import FeedLink
from feedagg.pages.keys import bee_of, key_in_query
from feedagg.pages.paging import Paging, paging, places
from feedagg.queries import Item
from feedagg.sources import Source
from feedagg.views import Card
from feedagg.web import aggregator, page

DEEPEST: Final = 4
"""Replies to replies move in so far; deeper ones stay under each other."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `note` says what of the record it answers is not as it was, or not here; `href` is its page."""

    card: Card
    depth: int
    note: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class ThreadView:
    """`root` is None where the root is not shown here, and `absence` says why. `paging.older` leads to earlier ones.
    `href`: this page.
    """

    href: str
    root: Card | None
    absence: str
    root_href: str
    replies: list[Reply]
    paging: Paging
    feeds: list[FeedLink]
    live: str


@dataclass(frozen=True, slots=True)
class Above:
    """What a reply answers. `note` says why it is not here or not as it was; `card` is None where it is not here."""

    card: Card | None
    note: str
    href: str
    thread: str


def above(connection: Connection, item: Item) -> Above | None:
    """What a record answers, or None if it answers nothing."""
    post = _post(item)
    if post is None or post.parent is None or post.root is None:
        return None
    name = _name(post.parent)
    known = answers.rows(connection, [name])
    note, href = _note(connection, post.parent, known, known)
    parent = known.get(name)
    is_shown = parent is not None and parent.status == Status.SHOWN and not parent.hidden
    cards = views.cards(connection, [parent]) if parent is not None and is_shown else []
    root = listings.thread_path(post.root.bee, post.root.key.encode())
    return Above(cards[0] if cards else None, note, href, root)


async def show(request: Request) -> Response:
    bee = bee_of(request)
    asked = request.path_params.get("key")
    key = asked.encode() if asked else key_in_query(request)
    if key is None:
        raise HTTPException(404)
    here = aggregator(request)
    live = listings.live(here.live.last_id, root=bee.hex(), key=key.decode(errors="replace"))
    before, after = places(request)

    def read(connection: Connection) -> ThreadView | str:
        item = queries.record(connection, bee, key)
        above = None if item is None else _post(item)
        if above is not None and above.root is not None and item is not None:
            root = listings.thread_path(above.root.bee, above.root.key.encode())
            return f"{root}#{views.dom_id(item.bee, item.key)}"
        found = answers.replies(connection, bee, key, before=before, after=after)
        shown = item is not None and item.status == Status.SHOWN and not item.hidden
        cards = views.cards(connection, [*([item] if item is not None and shown else []), *found.items])
        by_id = {card.id: card for card in cards}
        href = listings.thread_path(bee.hex(), key)
        return ThreadView(
            href=href,
            root=by_id.get(views.dom_id(bee, key)) if shown else None,
            absence="" if shown else absence(sources.get(connection, bee), item),
            root_href=views.permalink(bee, key),
            replies=_conversation(connection, (bee, key), item, found.items, by_id),
            paging=paging(request, found, oldest_first=True),
            feeds=listings.links(href),
            live=live,
        )

    view = await here.database.read(read)
    if isinstance(view, str):
        return RedirectResponse(view, 302)
    missing = view.root is None and not view.replies and view.paging.is_first
    return page(request, "feedagg/thread.html", view, status=404 if missing else 200)


def absence(source: Source | None, item: Item | None) -> str:
    """Why a record that was answered is not here, in a sentence."""
    if source is None:
        return "The bee of the record that was answered is not followed here."
    if source.state == sources.REFUSED or (item is not None and item.hidden):
        return "The record that was answered is hidden here; its page says why."
    if item is None or item.status == Status.STALE:
        if source.position.complete:
            return "The record that was answered is not in its author’s bee."
        return "The record that was answered was not read yet; its author’s bee is still being read."
    if item.status == Status.DELETED:
        return "The record that was answered was removed by its author."
    return "What was answered is neither a post nor a movie."


def _post(item: Item) -> Post | None:
    record = None if item.value is None else parse_record(item.key, item.value)
    return record if isinstance(record, Post) else None


def _conversation(
    connection: Connection,
    root: tuple[bytes, bytes],
    root_item: Item | None,
    items: list[Item],
    cards: dict[str, Card],
) -> list[Reply]:
    """The replies of a page, each below the one it answers; those whose parent is not on the page keep their time."""
    parents = {item.place: ref for item in items if (ref := _parent(item)) is not None}
    here = {(item.bee, item.key): item for item in items}
    if root_item is not None:
        here[root] = root_item
    elsewhere = {_name(ref) for ref in parents.values()} - here.keys() - {root}
    known = here | answers.rows(connection, elsewhere)
    children: dict[tuple[bytes, bytes], list[Item]] = {}
    tops: list[Item] = []
    for item in items:
        name = _name(parents[item.place]) if item.place in parents else root
        if name != root and name in here and here[name].place < item.place:
            children.setdefault(name, []).append(item)
        else:
            tops.append(item)
    replies: list[Reply] = []
    todo = [(item, 0) for item in reversed(tops)]
    while todo:
        item, depth = todo.pop()
        card = cards.get(views.dom_id(item.bee, item.key))
        if card is not None:
            note, href = _note(connection, parents.get(item.place), known, here)
            replies.append(Reply(card, min(depth, DEEPEST), note, href))
        todo += [(child, depth + 1) for child in reversed(children.get((item.bee, item.key), []))]
    return replies


def _parent(item: Item) -> Ref | None:
    post = _post(item)
    return None if post is None else post.parent


def _name(ref: Ref) -> tuple[bytes, bytes]:
    return bytes.fromhex(ref.bee), ref.key.encode()


def _note(
    connection: Connection,
    ref: Ref | None,
    known: dict[tuple[bytes, bytes], Item],
    here: dict[tuple[bytes, bytes], Item],
) -> tuple[str, str]:
    """What to say about the record that a reply answers, and where its page is."""
    if ref is None:
        return "", ""
    name = _name(ref)
    parent, href = known.get(name), views.permalink(*name)
    if parent is None or parent.status != Status.SHOWN or parent.hidden or parent.value is None:
        return absence(sources.get(connection, name[0]), parent), href
    if value_hash(parent.value) != ref.hash:
        return "It answers an earlier version of that record.", href
    return ("", "") if name in here else ("It answers a record on another page.", href)
