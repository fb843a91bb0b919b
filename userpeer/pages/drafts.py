"""What is not signed yet: drafts that are kept while one types, and changes that can still be undone."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from userpeer.views import DraftsView, Notice

from .render import frame, page, see_other, service_of, typed

_NOT_TEXT = ("slot", "key", "seen")


async def keep(request: Request) -> Response:
    """POST /draft: the page sends what is typed, a moment after each change."""
    values = await typed(request)
    slot = values.get("slot", "")
    if slot in ("post", "movie") or slot.startswith(("edit:", "reply:")):
        text = {name: value for name, value in values.items() if name not in _NOT_TEXT}
        service_of(request).drafts.keep(slot, text)
    return Response(status_code=204)


async def drafts(request: Request) -> Response:
    """GET /drafts"""
    kept = [(draft, *_place(draft.slot)) for draft in service_of(request).drafts.all()]
    did = request.query_params.get("did")
    notice = Notice("The draft is gone.") if did == "discarded" else None
    return page(request, "drafts.html", DraftsView(**await frame(request, notice), drafts=kept))


async def discard(request: Request) -> Response:
    """POST /drafts/discard"""
    values = await typed(request)
    service_of(request).drafts.drop(values.get("slot", ""))
    return see_other("/?did=discarded" if values.get("back") == "home" else "/drafts?did=discarded")


async def undo(request: Request) -> Response:
    """POST /waiting/undo"""
    undone = service_of(request).waiting.undo(_number((await typed(request)).get("id", "")))
    return see_other("/?did=undone" if undone else "/")


async def sign(request: Request) -> Response:
    """POST /waiting/sign"""
    await service_of(request).waiting.sign_now(_number((await typed(request)).get("id", "")))
    return see_other("/")


async def dismiss(request: Request) -> Response:
    """POST /waiting/dismiss: what could not be signed has been read."""
    service_of(request).waiting.failed.clear()
    return see_other("/")


def _place(slot: str) -> tuple[str, str]:
    """What a slot is, in words, and the page that shows its form."""
    kind, _, rest = slot.partition(":")
    if kind == "edit":
        return "A change of a record", f"/edit?key={quote(rest, safe='')}"
    if kind == "reply":
        bee, _, key = rest.partition("/")
        return "An answer", f"/thread?bee={bee}&key={quote(key, safe='')}"
    return ("A film", "/?write=movie") if kind == "movie" else ("A post", "/?write=post")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
