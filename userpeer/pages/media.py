"""Images of posts, one's own and those of the bees one reads, by range and for good: a blob never changes."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from core.records import Blob
from userpeer.errors import NotFound
from userpeer.media import mime_of

from .render import service_of

_RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})\Z")
_HEADERS = {
    "cache-control": "private, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; sandbox",
    "accept-ranges": "bytes",
}


async def image(request: Request) -> Response:
    """GET /media/{bee}/{block}/{blocks}/{byte}/{bytes}"""
    service = service_of(request)
    place = request.path_params
    blob = Blob(place["block"], place["blocks"], place["byte"], place["bytes"])
    bee = place["bee"]
    source = service.bee if bee == service.key else None
    if source is None:
        followed = service.follows.get(bee)
        if followed is None:
            raise NotFound("This bee is not read here, so its images are not either.")
        source = followed.bee
    data = await service.media.read(source, blob)
    mime = mime_of(data)
    if mime is None:
        raise NotFound("What is there is not an image that can be shown.")
    asked = _RANGE.match(request.headers.get("range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return Response(data, media_type=mime, headers=_HEADERS)
    start = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
    end = min(len(data), int(asked[2]) + 1) if asked[1] and asked[2] else len(data)
    if start >= end:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
    headers = {**_HEADERS, "content-range": f"bytes {start}-{end - 1}/{len(data)}"}
    return Response(data[start:end], 206, headers, mime)
