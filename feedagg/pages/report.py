"""`/report` and `/appeal`: a reader's word about a record, without an account."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from core.errors import BadArgument
from core.peer import parse_key
from feedagg import queries, reports, sources, views
from feedagg.ingest import now_ms
from feedagg.policy import MAX_REASON
from feedagg.reports import WHOLE_BEE, Appeal
from feedagg.views import Author, Card
from feedagg.web import aggregator, client_address, page, problem


@dataclass(frozen=True, slots=True)
class WordsView:
    """The form as it was sent. `keyhex`: the record's key; `card` None: it is not shown (any more)."""

    author: Author
    bee: str
    keyhex: str
    key: str
    card: Card | None
    is_sent: bool = False
    reason: str = ""
    words: str = ""
    error: str = ""
    reasons: dict[str, str] = field(default_factory=lambda: reports.REASONS)
    longest: int = MAX_REASON


@dataclass(frozen=True, slots=True)
class AppealView:
    """`hidden_because`: the reason that was given, None when there is nothing to appeal."""

    about: WordsView
    hidden_because: str | None
    appeals: list[Appeal]


@dataclass(frozen=True, slots=True)
class _About:
    bee: bytes
    key: bytes


class _Unreadable(Exception):
    pass


# --- a report -----------------------------------------------------------------------------------


async def show(request: Request) -> Response:
    try:
        about = _asked(dict(parse_qsl(request.url.query, keep_blank_values=True)))
    except _Unreadable:
        return _nothing(request)
    return await _report_page(request, about, is_sent="sent" in request.query_params)


async def send(request: Request) -> Response:
    """`POST /report` with `bee`, `keyhex`, `reason` and `words`."""
    try:
        form, about = await _sent(request)
    except _Unreadable:
        return _nothing(request)
    reason, words = _text(form, "reason"), _text(form, "words")
    here = aggregator(request)
    who = client_address(request, trust_proxy=here.settings.trust_proxy)

    def write(connection: Connection) -> None:
        reporter = here.token.stands_for(who)
        reports.report(connection, about.bee, about.key, reason, words, reporter, now_ms())

    error = await _write(request, write)
    if error is None:
        return RedirectResponse(f"/report?{_query(about)}&sent=1", 303)
    return await _report_page(request, about, reason=reason, words=words, error=error[0], status=error[1])


async def _report_page(
    request: Request,
    about: _About,
    *,
    is_sent: bool = False,
    reason: str = "",
    words: str = "",
    error: str = "",
    status: int = 200,
) -> Response:
    def read(connection: Connection) -> WordsView:
        return _view(connection, about, is_sent=is_sent, reason=reason, words=words, error=error)

    view = await aggregator(request).database.read(read)
    if view.card is None and not error:
        sentence = "There is no such record on the pages of this site, so there is nothing to report."
        return problem(request, 404, "Nothing to report", sentence)
    return page(request, "feedagg/report.html", view, status=status)


# --- an appeal ----------------------------------------------------------------------------------


async def show_appeal(request: Request) -> Response:
    try:
        about = _asked(dict(parse_qsl(request.url.query, keep_blank_values=True)), may_be_bee=True)
    except _Unreadable:
        return _nothing(request)
    return await _appeal_page(request, about, is_sent="sent" in request.query_params)


async def send_appeal(request: Request) -> Response:
    """`POST /appeal` with `bee`, `keyhex` (empty: the whole bee) and `words`."""
    try:
        form, about = await _sent(request, may_be_bee=True)
    except _Unreadable:
        return _nothing(request)
    words = _text(form, "words")

    def write(connection: Connection) -> None:
        reports.appeal(connection, about.bee, about.key, words, now_ms())

    error = await _write(request, write)
    if error is None:
        return RedirectResponse(f"/appeal?{_query(about)}&sent=1", 303)
    return await _appeal_page(request, about, words=words, error=error[0], status=error[1])


async def _appeal_page(
    request: Request,
    about: _About,
    *,
    is_sent: bool = False,
    words: str = "",
    error: str = "",
    status: int = 200,
) -> Response:
    def read(connection: Connection) -> AppealView:
        if about.key == WHOLE_BEE:
            source = sources.get(connection, about.bee)
            is_refused = source is not None and source.state == sources.REFUSED
            because = source.state_reason if source is not None and is_refused else None
        else:
            because = queries.why_hidden(connection, about.bee, about.key)
        shown = _view(connection, about, is_sent=is_sent, words=words, error=error)
        return AppealView(shown, because, reports.appeals_of(connection, about.bee, about.key))

    view = await aggregator(request).database.read(read)
    if view.hidden_because is None and not view.appeals:
        sentence = "This is not hidden and not refused here, so there is nothing to appeal."
        return problem(request, 404, "Nothing to appeal", sentence)
    return page(request, "feedagg/appeal.html", view, status=status)


# --- both ---------------------------------------------------------------------------------------


def _view(
    connection: Connection,
    about: _About,
    *,
    is_sent: bool,
    words: str,
    error: str,
    reason: str = "",
) -> WordsView:
    author = views.author(about.bee, queries.profiles(connection, [about.bee]).get(about.bee))
    item = queries.record(connection, about.bee, about.key)
    card = None if item is None or item.hidden else views.card(item, {about.bee: author})
    return WordsView(
        author=author,
        bee=about.bee.hex(),
        keyhex=about.key.hex(),
        key=about.key.decode(errors="replace"),
        card=card,
        is_sent=is_sent,
        reason=reason,
        words=words,
        error=error,
    )


def _asked(fields: dict[str, str], *, may_be_bee: bool = False) -> _About:
    try:
        about = _About(parse_key(fields.get("bee", "")), bytes.fromhex(fields.get("keyhex", "")))
    except (BadArgument, ValueError):
        raise _Unreadable from None
    if about.key == WHOLE_BEE and not may_be_bee:
        raise _Unreadable
    return about


async def _sent(request: Request, *, may_be_bee: bool = False) -> tuple[FormData, _About]:
    try:
        form = await request.form(max_files=0, max_fields=8)
    except (ClientDisconnect, ValueError):
        raise _Unreadable from None
    return form, _asked({name: _text(form, name) for name in ("bee", "keyhex")}, may_be_bee=may_be_bee)


async def _write(request: Request, write: Callable[[Connection], None]) -> tuple[str, int] | None:
    """None when it was written, else (sentence, status)."""
    here = aggregator(request)
    limit = here.readers_words
    wait = limit.take(client_address(request, trust_proxy=here.settings.trust_proxy))
    if wait > 0:
        sentence = (
            f"Too many reports from this address; try again in {math.ceil(wait)} seconds. The limit is "
            f"{limit.burst} at once and {limit.per_hour} an hour."
        )
        return sentence, 429
    try:
        await here.database.write(write)
    except BadArgument as error:
        return str(error), 400
    return None


def _nothing(request: Request) -> Response:
    sentence = "The link names no record. Open the record's own page and follow the link there."
    return problem(request, 400, "Which record?", sentence)


def _query(about: _About) -> str:
    return urlencode({"bee": about.bee.hex(), "keyhex": about.key.hex()})


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
