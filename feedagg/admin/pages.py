"""The handlers of the operator's pages: what is looked at, and the one place where forms are sent to."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any
from urllib.parse import quote, urlsplit

from sqlalchemy import Connection
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from core.errors import BadArgument, MeadowError
from core.peer import parse_key
from feedagg import backup, decisions, policy, settings, sources, web
from feedagg.admin import session, views
from feedagg.admin.session import Session
from feedagg.ingest import now_ms
from feedagg.operations import OPERATIONS, Target, add
from feedagg.pages import network as network_page
from feedagg.pages.decisions import number
from feedagg.pages.keys import bee_of
from feedagg.web import aggregator

log = logging.getLogger("feedagg.admin")

Handler = Callable[[Request], Awaitable[Response]]
SessionHandler = Callable[[Request, Session], Awaitable[Response]]

DONE = {name: operation.done for name, operation in OPERATIONS.items()} | {
    "same": "Nothing changed: it was so already.",
    "added": "The bee is followed.",
    "policy": "The policy is changed.",
}


def _render(request: Request, template: str, view: Any, held: Session, **extra: Any) -> Response:
    """An admin page: never kept by a cache, with what its forms carry."""
    status = extra.pop("status", 200)
    notice = DONE.get(request.query_params.get("done", ""), "")
    context = {"form_key": held.form_key, "notice": notice, "trouble": "", "operations": OPERATIONS} | extra
    answer = web.page(request, f"feedagg/admin/{template}", {"page": view, **context}, status=status)
    answer.headers["cache-control"] = "no-store"
    return answer


def _for_operator(handler: SessionHandler) -> Handler:
    """Only within a session; anybody else is sent to the door, and back afterwards."""

    @wraps(handler)
    async def guarded(request: Request) -> Response:
        held = session.current(request)
        if held is None:
            path = request.url.path if request.method == "GET" else "/admin"
            answer: Response = RedirectResponse(f"/admin/enter?to={quote(path)}", 303)
        else:
            answer = await handler(request, held)
        answer.headers["cache-control"] = "no-store"
        return answer

    return guarded


# --- the door -----------------------------------------------------------------------------------


async def door(request: Request) -> Response:
    if session.current(request) is not None:
        return RedirectResponse("/admin", 303)
    return _door(request, _own_path(request.query_params.get("to", "")))


async def enter(request: Request) -> Response:
    """`POST /admin/enter` with the token: a session, or a sentence."""
    form = await _form(request)
    to = _own_path(_text(form, "to"))
    try:
        if not session.is_the_token(request, _text(form, "token")):
            return _door(request, to, "That is not the token of this aggregator.", 403)
    except session.TooManyTries as error:
        sentence = f"Too many wrong tokens from this address; try again in {error.seconds:,} seconds."
        answer = _door(request, to, sentence, 429)
        answer.headers["retry-after"] = str(error.seconds)
        return answer
    answer = RedirectResponse(to, 303, {"cache-control": "no-store"})
    session.begin(request, answer)
    return answer


def _door(request: Request, to: str, error: str = "", status: int = 200) -> Response:
    view = {"to": to, "error": error, "directory": aggregator(request).settings.dir}
    answer = web.page(request, "feedagg/admin/enter.html", view, status=status)
    answer.headers["cache-control"] = "no-store"
    return answer


def _own_path(text: str) -> str:
    """A path of the admin pages, and nothing else, to go on to."""
    parts = urlsplit(text)
    is_own = not parts.scheme and not parts.netloc and (parts.path + "/").startswith("/admin/")
    return text if is_own and "\\" not in text else "/admin"


async def leave(request: Request, held: Session) -> Response:
    await _checked_form(request, held)
    answer = RedirectResponse("/admin/enter", 303)
    session.end(answer)
    return answer


# --- what is looked at --------------------------------------------------------------------------


async def network(request: Request, _: Session) -> Response:
    """The network page, with what only the operator sees."""
    return await network_page.show(request)


async def overview(request: Request, held: Session) -> Response:
    here = aggregator(request)
    process = [
        ("Running since", int(here.started_at * 1000)),
        ("Connections", len(here.peer.connections)),
        ("Bees open", len(here.ingest.followed)),
        ("Records read", here.ingest.records_read),
        ("Open pages", here.live.readers),
        ("Database", "SQLite" if here.database.is_sqlite else here.database.url.get_backend_name()),
    ]
    view = await here.database.read(views.overview, process)
    return _render(request, "overview.html", view, held)


async def bees(request: Request, held: Session) -> Response:
    state = request.query_params.get("state", "")
    after = request.query_params.get("after", "")
    try:
        start = bytes.fromhex(after)
    except ValueError:
        start = b""
    view = await aggregator(request).database.read(
        views.bees, state if state in sources.STATES else "", start
    )
    return _render(request, "bees.html", view, held)


async def bee(request: Request, held: Session, trouble: str = "", status: int = 200) -> Response:
    view = await aggregator(request).database.read(views.one_bee, bee_of(request))
    if view is None:
        return web.problem(request, 404, "A bee we do not know", "There is no such bee here.")
    return _render(request, "bee.html", view, held, trouble=trouble, status=status)


async def queue(request: Request, held: Session) -> Response:
    return _render(request, "queue.html", await aggregator(request).database.read(views.queue), held)


async def hidden(request: Request, held: Session) -> Response:
    at, _, rest = request.query_params.get("after", "").partition(".")
    of, _, key = rest.partition(".")
    try:
        after = (int(at), bytes.fromhex(of), bytes.fromhex(key)) if at else None
    except ValueError:
        after = None
    return _render(
        request, "hidden.html", await aggregator(request).database.read(views.hidden_records, after), held
    )


async def decided(request: Request, held: Session) -> Response:
    before = number(request.query_params.get("before"))
    found = await aggregator(request).database.read(decisions.listing, 51, before=before)
    older = f"?before={found[49].id}" if len(found) > 50 else ""
    return _render(request, "decisions.html", {"decisions": found[:50], "older": older}, held)


async def shown_settings(request: Request, held: Session) -> Response:
    return _render(request, "settings.html", settings.table(aggregator(request).settings), held)


# --- what is done -------------------------------------------------------------------------------


class _Refused(Exception):
    """The form cannot be taken; the sentence says why."""


async def act(request: Request, held: Session) -> Response:
    """`POST /admin/do`: one action, then back to the page it came from."""
    form: FormData | None = None
    try:
        form = await _checked_form(request, held)
        done = await aggregator(request).database.write(_change(form))
        log.info("operator: %s", _text(form, "action"), extra={"bee": _text(form, "bee"), "result": done})
        await aggregator(request).standing.tick()
    except (_Refused, MeadowError) as error:
        if form is None:
            return web.problem(request, 403, "Not sent from this session", str(error))
        view = {"sentence": str(error), "back": _own_path(_text(form, "back"))}
        return _render(request, "refused.html", view, held, status=400)
    back, _, fragment = _own_path(_text(form, "back")).partition("#")
    path = back.partition("?")[0]
    return RedirectResponse(f"{path}?done={done}" + (f"#{fragment}" if fragment else ""), 303)


def _change(form: FormData) -> Callable[[Connection], str]:
    """The change that a form asks for; it returns a key of `DONE`. Raises `_Refused`, `BadArgument`."""
    name, now = _text(form, "action"), now_ms()
    if name == "policy":
        value = _text(form, "policy")
        return lambda connection: "policy" if policy.choose(connection, now, value) else "same"
    which = parse_key(_text(form, "bee").strip())
    if name == "add":
        return lambda connection: "added" if add(connection, which, now) else "same"
    operation = OPERATIONS.get(name)
    if operation is None:
        raise _Refused("There is no such action.")
    if operation.destroys and _text(form, "confirm") != "yes":
        raise _Refused("This cannot be taken back, so tick the box beside the button to confirm it.")
    target = Target(which, _record_key(form), _text(form, "reason"))
    return lambda connection: name if operation.run(connection, now, target) else "same"


def _record_key(form: FormData) -> bytes | None:
    """The record's key: hex as our own pages write it, or text as a person does."""
    if "keyhex" in form:
        try:
            return bytes.fromhex(_text(form, "keyhex"))
        except ValueError:
            raise _Refused("The record's key could not be read.") from None
    text = _text(form, "key").strip()
    return text.encode() if text else None


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


async def _form(request: Request) -> FormData:
    try:
        return await request.form(max_files=0, max_fields=16)
    except (ClientDisconnect, ValueError) as error:
        raise BadArgument("The form could not be read.") from error


async def _checked_form(request: Request, held: Session) -> FormData:
    form = await _form(request)
    if not session.is_from(held, _text(form, "form_key")):
        raise _Refused("This form belongs to another session; open the page again and send it from there.")
    return form


async def make_backup(request: Request) -> Response:
    """`POST /admin/backup` with the token as a Bearer: everything in one file (`feedagg backup` asks for it)."""
    try:
        token = session.bearer(request)
        if token is None or not session.is_the_token(request, token):
            return web.problem(request, 401, "For the operator", "Send the operator's token as a Bearer.")
    except session.TooManyTries as error:
        return web.problem(request, 429, "Slower", f"Try again in {error.seconds} seconds.")
    here = aggregator(request)
    file = here.settings.dir / f".backup-{secrets.token_hex(6)}.tar"
    await backup.write(here.database, here.peer, here.settings.dir, file)
    done = BackgroundTask(lambda: file.unlink(missing_ok=True))
    headers = {"cache-control": "no-store"}
    return FileResponse(file, media_type="application/x-tar", background=done, headers=headers)


ROUTES = [
    Route("/admin/enter", door, methods=["GET"], name="admin-door"),
    Route("/admin/enter", enter, methods=["POST"]),
    Route("/admin/leave", _for_operator(leave), methods=["POST"]),
    Route("/admin/do", _for_operator(act), methods=["POST"]),
    Route("/admin/backup", make_backup, methods=["POST"]),
    Route("/admin", _for_operator(overview), name="admin"),
    Route("/admin/bees", _for_operator(bees)),
    Route("/admin/bee/{bee}", _for_operator(bee)),
    Route("/admin/queue", _for_operator(queue)),
    Route("/admin/hidden", _for_operator(hidden)),
    Route("/admin/decisions", _for_operator(decided)),
    Route("/admin/network", _for_operator(network)),
    Route("/admin/settings", _for_operator(shown_settings)),
]
