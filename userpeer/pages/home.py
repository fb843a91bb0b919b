"""The first page: write a post or a film, and one's own feed below."""

from __future__ import annotations

from dataclasses import replace

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from core.records import Image, is_t16
from userpeer.drafts import MovieDraft, PostDraft, draft_from
from userpeer.errors import InvalidField
from userpeer.live import stream
from userpeer.service import PeerService
from userpeer.views import Form, HomeView, Notice

from .render import (
    Upload,
    block,
    frame,
    is_htmx,
    kept_if_refused,
    page,
    see_other,
    service_of,
    typed,
    typed_with_images,
)

_SAID = {
    "posted": "Posted. It is signed, stored, and on its way to everyone who is connected.",
    "published": "Published. It is signed, stored, and on its way to everyone who is connected.",
    "deleted": "Deleted. It is no longer in your bee.",
    "waiting": "Not signed yet: you can still undo it below.",
    "undone": "Undone. Nothing was signed.",
    "discarded": "The draft is gone.",
    "restored": "It is back.",
}


async def home(request: Request) -> Response:
    """GET /"""
    query = request.query_params
    write = "movie" if query.get("write") == "movie" else "post"
    return page(request, "home.html", await _view(request, write=write), block="home")


async def create_post(request: Request) -> Response:
    """POST /posts"""
    service = service_of(request)
    values, uploads = await typed_with_images(request)
    try:
        draft = draft_from(PostDraft, values)
        service.publisher.check("post", draft)
        with kept_if_refused(service, "post", values):
            draft = replace(draft, images=await added_images(service, uploads))
            await service.publisher.post(draft)
    except InvalidField as error:
        return await _again(request, "post", values, error)
    service.drafts.drop("post")
    return await _done(request, "post", "posted")


async def added_images(service: PeerService, uploads: list[Upload]) -> tuple[Image, ...]:
    """Uploaded files, made fit to publish and appended to the media core. Raises `InvalidField`."""
    return tuple([await service.media.add(upload.data, upload.alt) for upload in uploads])


async def create_movie(request: Request) -> Response:
    """POST /movies"""
    service, values = service_of(request), await typed(request)
    try:
        with kept_if_refused(service, "movie", values):
            await service.publisher.movie(draft_from(MovieDraft, values))
    except InvalidField as error:
        return await _again(request, "movie", values, error)
    service.drafts.drop("movie")
    return await _done(request, "movie", "published")


async def feed_events(request: Request) -> Response:
    """GET /live/feed"""

    async def render() -> str:
        return block(request, "home.html", "feed", await _view(request, write="post"))

    return EventSourceResponse(stream(request.app.state.hub, render))


def notice_of(request: Request) -> Notice | None:
    """What the form before this page did; only words of ours can be shown."""
    said = _SAID.get(request.query_params.get("did", ""))
    undo = request.query_params.get("undo", "")
    if said is None:
        return None
    return Notice(said, undo=int(undo) if undo.isascii() and undo.isdigit() and len(undo) < 16 else None)


async def _view(
    request: Request, *, write: str, form: Form | None = None, notice: Notice | None = None
) -> HomeView:
    service = service_of(request)
    query = request.query_params
    kind = query.get("kind", "")
    before = query.get("before")
    if kind not in ("post", "movie"):
        kind = ""
    if before is not None and not is_t16(before):
        before = None
    feed = await service.reader.feed(kind=kind or None, before=before)
    kept = service.drafts.get(write)
    if form is None:
        # A link from the watchlist names the film.
        named = {name: query[name][:300] for name in ("title", "year") if name in query}
        form = Form(named or (kept.values if kept else {}))
    else:
        kept = None
    return HomeView(
        **await frame(request, notice or notice_of(request)),
        page=feed,
        write=write,
        form=form,
        kept=kept,
        waiting=service.waiting.all(),
        failed=service.waiting.failed,
        kind=kind,
        before=before,
        is_new=not feed.items and not kind and before is None,
        readers=len(service.connected()),
        submitted=sum(submission.accepted for submission in service.submissions.all()),
    )


async def _again(request: Request, write: str, values: dict[str, str], error: InvalidField) -> Response:
    form = Form(values, {error.field: str(error)})
    return page(request, "home.html", await _view(request, write=write, form=form), block="home", status=422)


async def _done(request: Request, write: str, did: str) -> Response:
    if is_htmx(request):
        return page(
            request, "home.html", await _view(request, write=write, notice=Notice(_SAID[did])), block="home"
        )
    return see_other(f"/?did={did}" + ("&write=movie" if write == "movie" else ""))
