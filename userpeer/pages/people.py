"""Whom one follows, and each person's page."""

from __future__ import annotations

from urllib.parse import urlencode

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from userpeer.errors import NotFound, UserError
from userpeer.library.diary import Diary
from userpeer.library.queries import KINDS
from userpeer.live import stream
from userpeer.service import PeerService, bee_key
from userpeer.views import FollowingView, Form, Notice, Person, PersonView

from .render import block, frame, page, see_other, service_of, typed

_SAID = {
    "followed": "You follow this bee now. Its newest records come first; the older ones when you ask for them.",
    "unfollowed": "You do not follow it any more. What was read of it is gone from this machine's pages.",
    "older": "Older records are being fetched; they appear below as they come.",
}


async def following(request: Request) -> Response:
    """GET /following"""
    return page(request, "following.html", await _following_view(request), block="following")


async def following_events(request: Request) -> Response:
    """GET /live/following"""

    async def render() -> str:
        return block(request, "following.html", "people", await _following_view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def follow(request: Request) -> Response:
    """POST /follow"""
    values = await typed(request)
    service = service_of(request)
    try:
        key = bee_key(values.get("key", ""))
        await service.follow(key)
    except UserError as error:
        form = Form(values, {"key": str(error)})
        view = await _following_view(request, form)
        return page(request, "following.html", view, block="following", status=422)
    await service.follows.follow(service.key).settled()
    return see_other(f"/b/{key}?did=followed")


async def unfollow(request: Request) -> Response:
    """POST /unfollow"""
    service = service_of(request)
    key = bee_key((await typed(request)).get("key", ""))
    await service.unfollow(key)
    await service.follows.follow(service.key).settled()
    await service.follows.unfollow(key)
    return see_other("/following?did=unfollowed")


async def person(request: Request) -> Response:
    """GET /b/{key}?kind=&before="""
    return page(request, "person.html", await _person_view(request), block="records")


async def person_events(request: Request) -> Response:
    """GET /live/b/{key}"""

    async def render() -> str:
        return block(request, "person.html", "records", await _person_view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def older(request: Request) -> Response:
    """POST /b/{key}/older: fetch further back."""
    key = bee_key(request.path_params["key"])
    followed = service_of(request).follows.get(key)
    if followed is not None:
        followed.want_older()
    return see_other(f"/b/{key}?did=older")


async def _following_view(request: Request, form: Form | None = None) -> FollowingView:
    service = service_of(request)
    people = [_person(service, key, is_followed=True) for key in service.followed()]
    said = _SAID.get(request.query_params.get("did", ""))
    return FollowingView(
        **await frame(request, Notice(said) if said else None), people=people, form=form or Form()
    )


async def _person_view(request: Request) -> PersonView:
    service = service_of(request)
    try:
        key = bee_key(request.path_params["key"])
    except UserError as error:
        raise NotFound(str(error)) from None
    # Whoever's page is opened is read for as long as this peer runs; following keeps that.
    service.look_at(key)
    kind = request.query_params.get("kind", "")
    kind = kind if kind in KINDS else ""
    before = request.query_params.get("before")
    found = service.library.of_bee(key, kind=kind or None, before=before)
    query = urlencode({name: value for name, value in (("kind", kind), ("before", found.older)) if value})
    said = _SAID.get(request.query_params.get("did", ""))
    profile = service.library.get(key, "profile/self")
    return PersonView(
        **await frame(request, Notice(said) if said else None),
        person=_person(service, key, is_followed=key in service.followed()),
        page=found,
        kind=kind,
        before=before,
        older=f"/b/{key}?{query}" if found.older else "",
        years=Diary(service.library.shelf, key, service.key).years(),
        avatar=None if profile is None else getattr(profile.record, "avatar", None),
    )


def _person(service: PeerService, key: str, *, is_followed: bool) -> Person:
    followed = service.follows.follow(key)
    return Person(
        followed.known,
        is_followed,
        followed.is_connected,
        followed.is_reading,
        followed.has_older,
        followed.problem,
    )
