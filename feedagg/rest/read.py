"""What the API gives to everybody."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from core.peer import key_to_id
from core.records import value_hash
from feedagg import decisions, find, policy, queries, reports, sources, views
from feedagg import limits as published
from feedagg import search as searching
from feedagg.decide import Status
from feedagg.decisions import Decision
from feedagg.operators import without_addresses
from feedagg.queries import Item, Order, Page, Place
from feedagg.receipts import receipt
from feedagg.rest.call import Call, Wrong
from feedagg.sources import Source
from feedagg.views import Author

# --- records ------------------------------------------------------------------------------------


async def feed(call: Call) -> dict[str, Any]:
    before, order = _place(call), Order(call.params.get("order", "date"))

    def read(connection: Connection) -> dict[str, Any]:
        return _records(
            connection, call, queries.feed(connection, before=before, size=call.limit, order=order)
        )

    return await call.here.database.read(read)


async def search(call: Call) -> dict[str, Any]:
    return await _found(call, searching.parse(call.params["q"]))


async def tag(call: Call) -> dict[str, Any]:
    return await _found(call, searching.tagged(call.params["tag"]))


async def _found(call: Call, query: searching.Query) -> dict[str, Any]:
    before = _place(call)

    def read(connection: Connection) -> dict[str, Any]:
        return _records(connection, call, find.find(connection, query, before=before, size=call.limit).page)

    return await call.here.database.read(read)


async def records_of(call: Call) -> dict[str, Any]:
    before = _place(call)

    def read(connection: Connection) -> dict[str, Any]:
        _source(connection, call.bee)
        return _records(
            connection, call, queries.of_bee(connection, call.bee, before=before, size=call.limit)
        )

    return await call.here.database.read(read)


async def film(call: Call) -> dict[str, Any]:
    name, before = call.params["name"], _place(call)

    def read(connection: Connection) -> dict[str, Any]:
        found = queries.film(connection, name, before=before, size=call.limit)
        cards = views.cards(connection, found.page.items)
        line = next((card.film for card in cards if card.film is not None), None)
        if line is None:
            raise Wrong(404, "No bee that is followed here says anything about this film.")
        facts = {"name": name, "title": line.title, "year": line.year}
        facts |= {"average": found.average, "people": found.ratings}
        return facts | _records(connection, call, found.page)

    return await call.here.database.read(read)


async def record(call: Call) -> dict[str, Any]:
    key = bytes.fromhex(call.params["keyHex"])

    def read(connection: Connection) -> dict[str, Any]:
        source = _source(connection, call.bee)
        reason = queries.why_hidden(connection, call.bee, key)
        if source.state == sources.REFUSED:
            reason = f"the whole bee is refused here: {source.state_reason}"
        if reason is not None:
            raise Wrong(451, f"This aggregator hides this record. The reason given: {reason}")
        item = queries.record(connection, call.bee, key)
        if item is not None and item.status == Status.DELETED:
            raise Wrong(410, "Its author removed this record.")
        shown = None if item is None else _records(connection, call, Page([item]))["items"]
        if not shown:
            raise Wrong(404, "There is no such post and no such movie here.")
        return dict(shown[0])

    return await call.here.database.read(read)


def _place(call: Call) -> Place | None:
    token = call.params.get("before")
    place = Place.parse(token)
    if token is not None and place is None:
        raise Wrong(400, "before is the `next` of another page.", "before")
    return place


def _records(connection: Connection, call: Call, page: Page) -> dict[str, Any]:
    profiles = queries.profiles(connection, {item.bee for item in page.items})
    shown = [
        _record(call, item, views.author(item.bee, profiles.get(item.bee)))
        for item in page.items
        if item.value is not None and item.status == Status.SHOWN
    ]
    last = page.resume or (page.items[-1].place if page.items else None)
    return {"items": shown, "next": last.token() if page.has_older and last is not None else None}


def _record(call: Call, item: Item, author: Author) -> dict[str, Any]:
    assert item.value is not None
    value = json.loads(item.value)
    return {
        "bee": item.bee.hex(),
        "key": item.key.decode(errors="replace"),
        "keyHex": item.key.hex(),
        "kind": "movie" if item.key.startswith(b"movie/") else "post",
        "block": item.seq,
        "hash": value_hash(item.value),
        "value": value,
        "author": {"key": author.key, "name": author.name, "url": f"{call.base}{author.href}"},
        "createdAt": item.created_at,
        "firstSeen": item.first_seen,
        "sortAt": item.sort_at,
        "url": call.base + views.permalink(item.bee, item.key),
    }


# --- bees ---------------------------------------------------------------------------------------


async def bees(call: Call) -> dict[str, Any]:
    after, state = bytes.fromhex(call.params.get("after", "")), call.params.get("state")

    def read(connection: Connection) -> dict[str, Any]:
        if state is None:
            found = sources.listing(connection, call.limit + 1, after)
        else:
            found = sources.of_state(connection, state, call.limit + 1, after)
        shown = found[: call.limit]
        following = shown[-1].key if len(found) > call.limit else None
        return {"items": _bees(connection, call, shown), "next": following}

    return await call.here.database.read(read)


async def bee(call: Call) -> dict[str, Any]:
    def read(connection: Connection) -> dict[str, Any]:
        source = _source(connection, call.bee)
        shown = receipt(source, queries.tally(connection, call.bee))
        return {
            "bee": _bees(connection, call, [source])[0],
            "remaining": shown.remaining,
            "listed": shown.tally.listed,
            "kept": shown.tally.kept,
            "skipped": [
                {"reason": one.reason, "meaning": one.meaning, "count": one.count} for one in shown.skipped
            ],
            "hidden": shown.tally.hidden,
            "decisions": [_decision(one) for one in decisions.listing(connection, 20, bee=call.bee)],
        }

    return await call.here.database.read(read)


def _source(connection: Connection, key: bytes) -> Source:
    source = sources.get(connection, key)
    if source is None:
        raise Wrong(404, "This bee is not known here.")
    return source


def _bees(connection: Connection, call: Call, found: list[Source]) -> list[dict[str, Any]]:
    profiles = queries.profiles(connection, [source.bee for source in found])
    return [_bee(call, source, views.author(source.bee, profiles.get(source.bee))) for source in found]


def _bee(call: Call, source: Source, author: Author) -> dict[str, Any]:
    return {
        "key": source.key,
        "id": key_to_id(source.bee),
        "name": author.name,
        "state": source.state,
        "reason": source.state_reason,
        "connected": source.connected,
        "length": source.length,
        "indexedFrom": source.tail,
        "indexedTo": source.cursor,
        "addedAt": source.added_at,
        "lastContact": source.last_contact,
        "nextTry": source.next_at,
        "waitsUntil": source.waits_until,
        "error": None if source.error is None else without_addresses(source.error),
        "url": f"{call.base}{author.href}",
    }


# --- the site -----------------------------------------------------------------------------------


async def limits(call: Call) -> dict[str, Any]:
    return dict(published.of(call.here.settings))


async def policy_(call: Call) -> dict[str, Any]:
    value = await call.here.database.read(policy.policy)
    return {"policy": value, "meaning": policy.POLICIES[value]}


async def decided(call: Call) -> dict[str, Any]:
    about = bytes.fromhex(call.params["bee"]) if "bee" in call.params else None
    found = await call.here.database.read(
        decisions.listing, call.limit + 1, before=call.params.get("before"), bee=about
    )
    shown = [_decision(one) for one in found[: call.limit]]
    return {"items": shown, "next": shown[-1]["id"] if len(found) > call.limit else None}


def _decision(one: Decision) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": one.at,
        "by": one.by,
        "action": one.action,
        "bee": None if one.bee is None else one.bee.hex(),
        "key": None if one.key is None else one.key.decode(errors="replace"),
        "keyHex": None if one.key is None else one.key.hex(),
        "reason": one.reason,
        "block": one.told,
    }


async def queue(call: Call) -> dict[str, Any]:
    """For the operator only: what readers wrote is for nobody else."""

    def read(connection: Connection) -> dict[str, Any]:
        return {
            "bees": _bees(connection, call, sources.of_state(connection, sources.PENDING, 100)),
            "reports": [
                {
                    "bee": one.bee.hex(),
                    "keyHex": one.key.hex(),
                    "firstAt": one.first_at,
                    "reasons": one.reasons,
                    "words": one.words,
                }
                for one in reports.reported(connection, 100)
            ],
            "appeals": [
                {
                    "id": one.id,
                    "bee": one.bee.hex(),
                    "keyHex": one.key.hex(),
                    "words": one.words,
                    "at": one.at,
                }
                for one in reports.open_appeals(connection, 100)
            ],
        }

    return await call.here.database.read(read)
