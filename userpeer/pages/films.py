"""Films one means to watch, and lists of films."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from core.records import FilmList, ListItem, watchlist_key
from userpeer.drafts import film_from
from userpeer.errors import InvalidField, NotFound
from userpeer.library.shown import Shown
from userpeer.service import PeerService
from userpeer.views import Form, ListsView, ListView, Notice, WatchlistView

from .render import frame, page, see_other, service_of, typed

ORDER_STEP = 1000
_SAID = {
    "added": "Added.",
    "removed": "Taken out.",
    "made": "The list is there; put films into it.",
    "saved": "Saved.",
}


async def watchlist(request: Request) -> Response:
    """GET /watchlist"""
    return await _watchlist_page(request, Form())


async def add_to_watchlist(request: Request) -> Response:
    """POST /watchlist"""
    service, values = service_of(request), await typed(request)
    try:
        film = film_from(values)
        await service.publisher.keep(watchlist_key(film), {"film": film.to_json()})
    except InvalidField as error:
        return await _watchlist_page(request, Form(values, {error.field: str(error)}), 422)
    await _read(service)
    return see_other("/watchlist?did=added")


async def remove(request: Request) -> Response:
    """POST /films/remove: takes an item out of the watchlist or out of a list."""
    service, values = service_of(request), await typed(request)
    key = values.get("key", "")
    if not key.startswith(("watchlist/", "listitem/")):
        raise NotFound("That is not on a list of yours.")
    await service.publisher.delete(key)
    await _read(service)
    if key.startswith("listitem/"):
        return see_other(f"/lists/{key.split('/')[1]}?did=removed")
    return see_other("/watchlist?did=removed")


async def lists(request: Request) -> Response:
    """GET /lists"""
    return await _lists_page(request, Form())


async def make_list(request: Request) -> Response:
    """POST /lists"""
    service, values = service_of(request), await typed(request)
    try:
        written = await service.publisher.publish("list", _list_value(values))
    except InvalidField as error:
        return await _lists_page(request, Form(values, {error.field: str(error)}), 422)
    await _read(service)
    return see_other(f"/lists/{written.key.partition('/')[2]}?did=made")


async def show_list(request: Request) -> Response:
    """GET /lists/{id}"""
    return await _list_page(request, Form())


async def add_to_list(request: Request) -> Response:
    """POST /lists/{id}"""
    service, values = service_of(request), await typed(request)
    head, items = _list(request)
    last = max((int(item.record.order) for item in items if _is_number(item)), default=0)  # type: ignore[union-attr]
    try:
        film = film_from(values)
        note = values.get("note", "").strip()
        value = {"film": film.to_json(), **({"note": note} if note else {})}
        await service.publisher.keep(f"listitem/{_id(head)}/{last + ORDER_STEP:09d}", value)
    except InvalidField as error:
        return await _list_page(request, Form(values, {error.field: str(error)}), 422)
    await _read(service)
    return see_other(f"/lists/{_id(head)}?did=added")


async def move(request: Request) -> Response:
    """POST /lists/{id}/move: one place up or down, by exchanging two items in one batch."""
    service, values = service_of(request), await typed(request)
    head, items = _list(request)
    keys = [item.key for item in items]
    key = values.get("key", "")
    if key in keys:
        here = keys.index(key)
        there = here + (-1 if values.get("way") == "up" else 1)
        if 0 <= there < len(keys):
            await service.publisher.exchange(keys[here], keys[there])
            await _read(service)
    return see_other(f"/lists/{_id(head)}")


async def delete_list(request: Request) -> Response:
    """POST /lists/{id}/delete: the list and its items, in one batch."""
    service = service_of(request)
    head, items = _list(request)
    await service.publisher.delete_all([head.key, *(item.key for item in items)])
    await _read(service)
    return see_other("/lists?did=removed")


# --- inside ---------------------------------------------------------------------------------------------


async def _watchlist_page(request: Request, form: Form, status: int = 200) -> Response:
    items = service_of(request).library.own("watchlist")
    view = WatchlistView(**await frame(request, _notice(request)), items=items, form=form)
    return page(request, "watchlist.html", view, status=status)


async def _lists_page(request: Request, form: Form, status: int = 200) -> Response:
    library = service_of(request).library
    counts = library.list_sizes()
    found = [(head, counts.get(_id(head), 0)) for head in library.own("list")]
    view = ListsView(**await frame(request, _notice(request)), lists=found, form=form)
    return page(request, "lists.html", view, status=status)


async def _list_page(request: Request, form: Form, status: int = 200) -> Response:
    head, items = _list(request)
    view = ListView(**await frame(request, _notice(request)), head=head, items=items, form=form)
    return page(request, "list.html", view, status=status)


def _list(request: Request) -> tuple[Shown, list[Shown]]:
    library = service_of(request).library
    head = library.get(library.me, f"list/{request.path_params['id']}")
    if head is None or not isinstance(head.record, FilmList):
        raise NotFound("There is no such list; it may have been deleted.")
    items = library.own("listitem", prefix=f"listitem/{_id(head)}/")
    return head, sorted(
        (item for item in items if isinstance(item.record, ListItem)), key=lambda item: item.key
    )


def _list_value(values: dict[str, str]) -> dict[str, object]:
    value: dict[str, object] = {"name": values.get("name", "").strip()}
    if text := values.get("text", "").strip():
        value["text"] = text
    if values.get("ordered"):
        value["ordered"] = True
    return value


def _notice(request: Request) -> Notice | None:
    said = _SAID.get(request.query_params.get("did", ""))
    return Notice(said) if said else None


def _id(head: Shown) -> str:
    return head.key.partition("/")[2]


def _is_number(item: Shown) -> bool:
    return isinstance(item.record, ListItem) and item.record.order.isascii() and item.record.order.isdigit()


async def _read(service: PeerService) -> None:
    """What was just written is on the shelf when the next page asks."""
    await service.follows.follow(service.key).settled()
