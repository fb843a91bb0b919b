"""One record: see it with its history, edit it, delete it, put a version back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from core.records import Post, Watch
from userpeer.drafts import MovieDraft, PostDraft, draft_from
from userpeer.errors import EditConflict, InvalidField, NotFound, UserError
from userpeer.reading import Item
from userpeer.views import DeleteView, EditView, Form, Notice, RecordView

from .home import added_images, notice_of
from .render import frame, kept_if_refused, page, see_other, service_of, typed, typed_with_images


async def show(request: Request) -> Response:
    """GET /record?key="""
    key = request.query_params.get("key", "")
    service = service_of(request)
    item = await service.reader.get(key)
    versions = await service.reader.versions(key)
    if item is None and not versions:
        raise _missing(key)
    pretty = "" if item is None else json.dumps(item.value, ensure_ascii=False, indent=2)
    did = request.query_params.get("did")
    notice = (
        Notice("Saved. The version before it is in the history below.")
        if did == "saved"
        else notice_of(request)
    )
    view = RecordView(**await frame(request, notice), key=key, item=item, versions=versions, pretty=pretty)
    return page(request, "record.html", view)


async def edit(request: Request) -> Response:
    """GET /edit?key="""
    item = await _item(request, request.query_params.get("key", ""))
    kind = _kind(item)
    kept = service_of(request).drafts.get(f"edit:{item.key}")
    notice = Notice("This is what you had typed before.", "info") if kept else None
    values = {**_values(item), **kept.values} if kept else _values(item)
    view = EditView(**await frame(request, notice), key=item.key, kind=kind, seen=item.seq, form=Form(values))
    return page(request, "edit.html", view, block="form")


async def save(request: Request) -> Response:
    """POST /edit"""
    service = service_of(request)
    values, uploads = await typed_with_images(request)
    key = values.get("key", "")
    seen = values.get("seen", "")
    item = await _item(request, key)
    kind = _kind(item)
    if kind == "movie":
        # A box that is not ticked is not sent at all.
        values = {"spoiler": "", "rewatch": "", "liked": "", **values}
    draft = draft_from(PostDraft if kind == "post" else MovieDraft, values)
    block = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else -1
    try:
        if service.waiting.seconds and not uploads and block == item.seq:
            # What is wrong must be said now; what is right may wait to be signed.
            service.publisher.check(kind, draft)
            await service.waiting.add(
                "edit", key, block, in_words(item), form=kind, values=_shown_fields(values)
            )
            service.drafts.drop(f"edit:{key}")
            return see_other("/?did=waiting")
        with kept_if_refused(service, f"edit:{key}", _shown_fields(values)):
            if uploads:
                draft = replace(draft, images=await added_images(service, uploads))
            await service.publisher.edit(key, draft, seen=block)
        service.drafts.drop(f"edit:{key}")
    except (InvalidField, EditConflict) as error:
        if isinstance(error, InvalidField):
            form, notice = Form(values, {error.field: str(error)}), None
        else:
            form, notice, block = Form(values), Notice(str(error), "warn"), item.seq
        view = EditView(**await frame(request, notice), key=key, kind=kind, seen=block, form=form)
        return page(request, "edit.html", view, block="form", status=error.status)
    return see_other(f"/record?key={quote(key, safe='')}&did=saved")


async def confirm_delete(request: Request) -> Response:
    """GET /delete?key="""
    item = await _item(request, request.query_params.get("key", ""))
    return page(request, "delete.html", DeleteView(**await frame(request), item=item))


async def delete(request: Request) -> Response:
    """POST /delete"""
    service = service_of(request)
    item = await _item(request, (await typed(request)).get("key", ""))
    if service.waiting.seconds:
        await service.waiting.add("delete", item.key, item.seq, in_words(item))
        return see_other("/?did=waiting")
    removed = await service.publisher.delete(item.key)
    return see_other(f"/?did=deleted&undo={removed.seq}")


async def restore(request: Request) -> Response:
    """POST /restore"""
    seq = (await typed(request)).get("seq", "")
    if not seq.isascii() or not seq.isdigit() or len(seq) > 15:
        raise NotFound("That is not the number of a block.")
    written = await service_of(request).publisher.restore(int(seq))
    return see_other(f"/record?key={quote(written.key, safe='')}&did=restored")


def in_words(item: Item) -> str:
    """A record in a few words, for a sentence about it."""
    record = item.record
    text = record.film.title if isinstance(record, Watch) else getattr(record, "text", item.key)
    line = " ".join(str(text).split())
    return line if len(line) <= 60 else line[:57] + "…"


def _shown_fields(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in ("key", "seen")}


async def _item(request: Request, key: str) -> Item:
    item = await service_of(request).reader.get(key)
    if item is None:
        raise _missing(key)
    return item


def _missing(key: str) -> NotFound:
    return NotFound(f"Your bee has no record with the key “{key[:120]}”, and none near its end was deleted.")


def _kind(item: Item) -> str:
    if isinstance(item.record, Post):
        return "post"
    if isinstance(item.record, Watch):
        return "movie"
    raise UserError(f"{item.key} is neither a post nor a film; change it with `userpeer bee put`.")


def _values(item: Item) -> dict[str, str]:
    record = item.record
    draft = PostDraft.of(record) if isinstance(record, Post) else MovieDraft.of(record)  # type: ignore[arg-type]
    return {name: value or "" for name, value in asdict(draft).items() if name not in ("reply", "images")}
