"""Threads: a record with what it answers and what was answered; answering and reacting."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from core.records import Post, is_bee_key
from core.records import reaction_key as key_of_reaction
from core.records.bounds import MAX_REACTION
from userpeer.drafts import PostDraft, draft_from
from userpeer.errors import InvalidField, NotFound, UserError
from userpeer.library.shown import Shown
from userpeer.live import stream
from userpeer.service import PeerService
from userpeer.views import Form, Notice, ThreadView

from .home import added_images
from .render import block, frame, kept_if_refused, page, see_other, service_of, typed, typed_with_images

_SAID = {"answered": "Answered. It is signed, stored, and on its way.", "reacted": ""}


async def thread(request: Request) -> Response:
    """GET /thread?bee=&key="""
    return page(request, "thread.html", await _view(request), block="thread")


async def thread_events(request: Request) -> Response:
    """GET /live/thread"""

    async def render() -> str:
        return block(request, "thread.html", "thread", await _view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def answer(request: Request) -> Response:
    """POST /answer"""
    service = service_of(request)
    values, uploads = await typed_with_images(request)
    subject = _subject(service, values)
    parent = subject.ref
    root = subject.record.root if isinstance(subject.record, Post) and subject.record.root else parent
    try:
        draft = replace(draft_from(PostDraft, values), reply=(root, parent))
        service.publisher.check("post", draft)
        with kept_if_refused(service, f"reply:{subject.place}", values):
            draft = replace(draft, images=await added_images(service, uploads))
            await service.publisher.post(draft)
    except InvalidField as error:
        view = await _view(request, Form(values, {error.field: str(error)}), values)
        return page(request, "thread.html", view, status=422)
    service.drafts.drop(f"reply:{subject.place}")
    await service.follows.follow(service.key).settled()
    return see_other(f"{_address(subject)}&did=answered")


async def react(request: Request) -> Response:
    """POST /react: the same reaction again takes it back."""
    service = service_of(request)
    values = await typed(request)
    subject = _subject(service, values)
    reaction = values.get("reaction", "").strip()
    if not 0 < len(reaction) <= MAX_REACTION or "/" in reaction:
        raise UserError(
            f"A reaction is a word or an emoji of at most {MAX_REACTION} characters, without a slash."
        )
    key = key_of_reaction(subject.ref, reaction)
    if await service.bee.get(key) is None:
        await service.publisher.keep(key, {"subject": subject.ref.to_json()})
    else:
        await service.publisher.delete(key)
    await service.follows.follow(service.key).settled()
    return see_other(_address(subject))


def _subject(service: PeerService, values: dict[str, str]) -> Shown:
    bee, key = values.get("bee", ""), values.get("key", "")
    found = service.library.get(bee, key) if is_bee_key(bee) else None
    if found is None:
        raise NotFound("What you answer is not here any more; its author may have deleted it.")
    return found


def _address(shown: Shown) -> str:
    return f"/thread?bee={shown.bee}&key={quote(shown.key, safe='')}"


async def _view(
    request: Request, form: Form | None = None, values: dict[str, str] | None = None
) -> ThreadView:
    service = service_of(request)
    bee = (values or request.query_params).get("bee", "")
    key = (values or request.query_params).get("key", "")
    found = service.library.thread(bee, key)
    if found.record is None and not found.below:
        raise NotFound("This record is not here: it was deleted, or its bee was not read that far.")
    kept = service.drafts.get(f"reply:{bee}/{key}") if form is None else None
    said = _SAID.get(request.query_params.get("did", ""))
    return ThreadView(
        **await frame(request, Notice(said) if said else None),
        thread=found,
        bee=bee,
        key=key,
        form=form or Form(kept.values if kept else {}),
        kept=kept,
    )
