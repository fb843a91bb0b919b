"""`/feeds/<format>/decisions`: what was decided here, for feed readers; `?bee=`, `?before=` and `?limit=` as usual."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from markupsafe import escape
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import BadArgument
from core.peer import parse_key
from core.records import format_date
from feedagg import decisions, feeds, xml_feeds
from feedagg.decisions import Decision
from feedagg.feeds import Entry
from feedagg.listings import FORMATS, MEDIA_TYPES
from feedagg.pages.decisions import number
from feedagg.pages.syndication import cached, followed, limit, opml_of
from feedagg.views import permalink
from feedagg.web import aggregator, base_url

DESCRIPTION = "What this aggregator took in, refused, hid and showed again, with the reasons."


async def show(request: Request) -> Response:
    kind, asked = request.path_params["format"], request.query_params.get("bee")
    if kind not in FORMATS:
        raise HTTPException(404)
    try:
        bee = parse_key(asked) if asked else None
    except BadArgument as error:
        raise HTTPException(404) from error
    here, base = aggregator(request), base_url(request)
    before, size = number(request.query_params.get("before")), limit(request.query_params.get("limit"))
    title = f"Decisions{f' about {bee.hex()[:6]}' if bee else ''} · {here.settings.site_name}"

    def read(connection: Connection) -> tuple[list[Decision], bytes]:
        found = decisions.listing(connection, size + 1, before=before, bee=bee)
        if kind != "opml":
            return found, b""
        bees = dict.fromkeys(one.bee for one in found if one.bee is not None)
        return found, opml_of(connection, f"{title}: bees", base, followed(connection, bees))

    found, bees = await here.database.read(read)
    if kind == "opml":
        return cached(request, bees, MEDIA_TYPES[kind], "bees.opml")
    shown, next_url = found[:size], None
    if len(found) > size:
        address = request.url.include_query_params(before=shown[-1].id)
        next_url = f"{base}{address.path}?{address.query}"
    path = "/decisions" + ("" if bee is None else f"?bee={bee.hex()}")
    self_url = f"{base}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
    entries = [_entry(base, here.settings.site_name, one) for one in shown]
    if kind == "json":
        return cached(
            request,
            bytes(JSONResponse(_json(title, base + path, self_url, next_url, entries)).body),
            MEDIA_TYPES[kind],
        )
    named: dict[str, Any] = {"title": title, "base": base, "path": path, "self_url": self_url}
    named |= {"next_url": next_url, "entries": entries}
    body = xml_feeds.rss(**named, description=DESCRIPTION) if kind == "rss" else xml_feeds.atom(**named)
    return cached(request, body, MEDIA_TYPES[kind])


def _entry(base: str, site: str, one: Decision) -> Entry:
    """A decision; its page is the list that begins with it, so that the link holds when there are newer ones."""
    about = ""
    parts = [f"<p>{escape(one.words)}, {'by rule' if one.by == 'rule' else 'by the operator'}.</p>"]
    if one.bee is not None:
        about, href = f"the bee {one.bee.hex()[:6]}", f"/bee/{one.bee.hex()}"
        parts.append(f'<p>Bee <a href="{escape(base + href)}">{one.bee.hex()}</a></p>')
        if one.key is not None:
            record = one.key.decode(errors="replace")
            about = f"{record} of {about}"
            link = escape(base + permalink(one.bee, one.key))
            parts.append(f'<p>Record <a href="{link}">{escape(record)}</a></p>')
    if one.reason:
        parts.append(f"<p>{escape(one.reason)}</p>")
    return Entry(
        url=f"{base}/decisions?{urlencode({'before': one.id + 1})}#decision-{one.id}",
        title=f"{one.words}: {about}" if about else one.words,
        html="".join(parts),
        at=one.at,
        updated=one.at,
        author=site,
        author_url=f"{base}/about",
    )


def _json(title: str, home: str, self_url: str, next_url: str | None, entries: list[Entry]) -> dict[str, Any]:
    """A JSON Feed document."""
    feed: dict[str, Any] = {
        "version": feeds.VERSION,
        "title": title,
        "home_page_url": home,
        "feed_url": self_url,
        "description": DESCRIPTION,
    }
    if next_url is not None:
        feed["next_url"] = next_url
    feed["items"] = [
        {
            "id": one.url,
            "url": one.url,
            "title": one.title,
            "content_html": one.html,
            "date_published": format_date(one.at),
            "authors": [{"name": one.author, "url": one.author_url}],
        }
        for one in entries
    ]
    return feed
