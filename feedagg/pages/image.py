"""`/image/<bee>/<number>/<width>/<record>`: one image of a record that is shown here; `/portrait/<bee>`: its author."""

from __future__ import annotations

from typing import Final

from markupsafe import escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from core.records import Post, Profile, parse_record
from feedagg import imaging, queries, sources
from feedagg.decide import Status
from feedagg.media_cores import NoPicture
from feedagg.pages.keys import bee_of
from feedagg.web import aggregator

KEPT_SECONDS: Final = 24 * 3600
"""A browser asks again after a day, so that what was hidden or removed does not stay for ever."""


async def show(request: Request) -> Response:
    here, bee, path = aggregator(request), bee_of(request), request.path_params
    number, width = path["number"], path["width"]
    item = await here.database.read(queries.record, bee, path["key"].encode())
    source = await here.database.read(sources.get, bee)
    shown = item is not None and item.status == Status.SHOWN and not item.hidden
    if item is None or item.value is None or not shown or source is None or source.state == sources.REFUSED:
        raise HTTPException(404)
    post = parse_record(item.key, item.value)
    if not isinstance(post, Post) or number >= len(post.media) or width not in imaging.WIDTHS:
        raise HTTPException(404)
    try:
        return _shown(await here.pictures.get(bee, post.media[number].blob, width))
    except NoPicture as why:
        return PlainTextResponse(str(why), why.status, _why_not(why))


async def portrait(request: Request) -> Response:
    """The picture that the profile of a bee names, if the profile is shown here."""
    here, bee = aggregator(request), bee_of(request)
    profile = (await here.database.read(queries.profiles, [bee])).get(bee)
    source = await here.database.read(sources.get, bee)
    record = None if profile is None else parse_record(queries.PROFILE_KEY, profile)
    is_shown = source is not None and source.state != sources.REFUSED
    if not is_shown or not isinstance(record, Profile) or record.avatar is None:
        raise HTTPException(404)
    try:
        return _shown(await here.pictures.get_soon(bee, record.avatar, imaging.MARK))
    except NoPicture as why:
        # A browser draws what an error brings: nothing, so that the honeycomb below stays to be seen.
        empty = f'<svg xmlns="http://www.w3.org/2000/svg"><title>{escape(str(why))}</title></svg>'
        return Response(empty, why.status, _why_not(why), media_type="image/svg+xml")


def _why_not(why: NoPicture) -> dict[str, str]:
    return ({"retry-after": "60"} if why.status in (503, 504) else {}) | {"cache-control": "no-store"}


def _shown(data: bytes) -> Response:
    headers = {"cache-control": f"public, max-age={KEPT_SECONDS}", "content-disposition": "inline"}
    return Response(data, media_type="image/webp", headers=headers)
