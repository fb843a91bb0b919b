"""Reports from readers, appeals against what was decided, and what becomes of both.

A report is about one record, an appeal about a record that is hidden or (with an empty key) a bee that is refused.
Both need no account and change nothing by themselves: the operator decides, with a reason that is public.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from core.errors import BadArgument
from feedagg import decisions, moderation, policy, sources
from feedagg.decide import Status
from feedagg.decisions import OPERATOR, Action
from feedagg.naming import is_record
from feedagg.policy import MAX_REASON, reason_of
from feedagg.store import insert
from feedagg.tables import appeals, hidden, records, reports

REASONS: Final = {
    "spam": "It is spam or an advertisement",
    "abuse": "It attacks or threatens somebody",
    "private": "It shows somebody's private matters",
    "illegal": "It may be against the law",
    "other": "Something else, said below",
}

MAX_OPEN: Final = 5_000
"""Reports, and appeals, that wait at one time; beyond it new ones are refused until the operator has looked."""

MAX_APPEALS: Final = 5
"""Appeals about one record that wait at one time."""

WHOLE_BEE: Final = b""


@dataclass(frozen=True, slots=True)
class Reported:
    """A record with open reports: how many for each reason, and what was written, oldest first."""

    bee: bytes
    key: bytes
    first_at: int
    reasons: dict[str, int]
    words: list[str]


@dataclass(frozen=True, slots=True)
class Appeal:
    """A row of `appeals`."""

    id: int
    bee: bytes
    key: bytes
    words: str
    at: int
    state: str
    decision: int | None


# --- what readers say ---------------------------------------------------------------------------


def report(
    connection: Connection, bee: bytes, key: bytes, reason: str, words: str, reporter: str, now: int
) -> bool:
    """Report a record; True if this reporter had not yet. Raises `BadArgument` with a sentence."""
    if reason not in REASONS:
        raise BadArgument("Choose one of the reasons.")
    said = _words(words)
    if reason == "other" and not said:
        raise BadArgument("Say in a sentence what is wrong with it.")
    here = (is_record(bee, key), records.c.status == int(Status.SHOWN))
    if connection.execute(select(records.c.hidden).where(*here)).scalar() is None:
        raise BadArgument("There is no such record on the pages of this site.")
    if _count(connection, reports, reports.c.state == "open") >= MAX_OPEN:
        raise BadArgument("Many reports wait already; please come back when the operator has looked at them.")
    row = insert(connection, reports).values(
        bee=bee, key=key, reason=reason, words=said, at=now, reporter=reporter, state="open"
    )
    unique = [reports.c.bee, reports.c.key, reports.c.reporter]
    new = row.on_conflict_do_nothing(index_elements=unique).returning(reports.c.id)
    return connection.execute(new).first() is not None


def appeal(connection: Connection, bee: bytes, key: bytes, words: str, now: int) -> int:
    """Ask the operator to look again; returns the appeal's number. Raises `BadArgument` with a sentence."""
    said = _words(words)
    if not said:
        raise BadArgument("Say in a sentence why this should be decided otherwise.")
    if not _can_be_appealed(connection, bee, key):
        raise BadArgument("There is nothing to appeal: this is not hidden and not refused here.")
    is_open = appeals.c.state == "open"
    about = _count(connection, appeals, appeals.c.bee == bee, appeals.c.key == key, is_open)
    if about >= MAX_APPEALS or _count(connection, appeals, is_open) >= MAX_OPEN:
        raise BadArgument(
            "Appeals about this wait already; the operator reads them before new ones are taken."
        )
    row = {"bee": bee, "key": key, "words": said, "at": now, "state": "open"}
    return int(connection.execute(appeals.insert().values(row).returning(appeals.c.id)).scalar_one())


def _can_be_appealed(connection: Connection, bee: bytes, key: bytes) -> bool:
    if key != WHOLE_BEE:
        query = select(hidden.c.hidden_at).where(hidden.c.bee == bee, hidden.c.key == key)
        return connection.execute(query).first() is not None
    source = sources.get(connection, bee)
    return source is not None and source.state == sources.REFUSED


def _words(text: str) -> str:
    said = policy.one_line(text)
    if len(said) > MAX_REASON:
        raise BadArgument(f"At most {MAX_REASON} characters, please; this has {len(said):,}.")
    return said


def _count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


# --- what waits ---------------------------------------------------------------------------------


def waiting(connection: Connection) -> dict[str, int]:
    """How many records with open reports, and how many open appeals, there are."""
    pairs = select(reports.c.bee, reports.c.key).where(reports.c.state == "open").distinct().subquery()
    return {
        "reports": connection.execute(select(func.count()).select_from(pairs)).scalar_one(),
        "appeals": _count(connection, appeals, appeals.c.state == "open"),
    }


def reported(connection: Connection, limit: int) -> list[Reported]:
    """The records whose reports have waited longest."""
    is_open = reports.c.state == "open"
    first = func.min(reports.c.at)
    pairs = select(reports.c.bee, reports.c.key, first).where(is_open).group_by(reports.c.bee, reports.c.key)
    found = []
    for bee, key, first_at in connection.execute(pairs.order_by(first).limit(limit)).all():
        where = (reports.c.bee == bee, reports.c.key == key, is_open)
        said = select(reports.c.reason, reports.c.words).where(*where).order_by(reports.c.id)
        reasons: dict[str, int] = {}
        words = []
        for reason, text in connection.execute(said):
            reasons[reason] = reasons.get(reason, 0) + 1
            if text:
                words.append(text)
        found.append(Reported(bytes(bee), bytes(key), first_at, reasons, words[:20]))
    return found


def open_appeals(connection: Connection, limit: int) -> list[Appeal]:
    """The appeals that have waited longest."""
    query = select(appeals).where(appeals.c.state == "open").order_by(appeals.c.at, appeals.c.id).limit(limit)
    return [Appeal(*row) for row in connection.execute(query)]


def appeals_of(connection: Connection, bee: bytes, key: bytes) -> list[Appeal]:
    """Every appeal about a record or a bee, the newest first."""
    query = select(appeals).where(appeals.c.bee == bee, appeals.c.key == key).order_by(appeals.c.id.desc())
    return [Appeal(*row) for row in connection.execute(query.limit(20))]


# --- what is decided ----------------------------------------------------------------------------


def uphold(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Hide the record, and with that close its reports; True if it is here."""
    is_here = moderation.hide(connection, bee, key, reason, now)
    settle(connection, bee, key)
    return is_here


def settle(connection: Connection, bee: bytes, key: bytes = WHOLE_BEE) -> None:
    """Right after a decision about a record or a whole bee: close what waited for just that. What left the pages is
    reported no more, what is back on them needs no appeal.
    """
    latest = decisions.listing(connection, 1, bee=bee)[0].id
    if _can_be_appealed(connection, bee, key):
        _close_reports(connection, bee, key, "upheld", latest)
    else:
        _close_appeals(connection, bee, key, "granted", latest)


def dismiss(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Leave the record as it is, with a reason, and close its reports; True if there were any."""
    why = reason_of(reason, needed=True)
    where = (reports.c.bee == bee, reports.c.key == key, reports.c.state == "open")
    if _count(connection, reports, *where) == 0:
        return False
    number = decisions.record(
        connection, now, OPERATOR, Action.REPORT_DISMISSED, bee=bee, key=key, reason=why
    )
    _close_reports(connection, bee, key, "dismissed", number)
    return True


def grant(connection: Connection, bee: bytes, key: bytes, reason: str | None, now: int) -> bool:
    """Decide otherwise: show the record again, or accept the bee. True if an appeal waited."""
    why = reason_of(reason, needed=False)
    if not _open_about(connection, bee, key):
        return False
    number = _decided(connection, bee, key, Action.APPEAL_GRANTED, why, now)
    _close_appeals(connection, bee, key, "granted", number)
    if key == WHOLE_BEE:
        policy.accept(connection, bee, now, why)
    else:
        moderation.unhide(connection, bee, key, now, why)
    return True


def deny(connection: Connection, bee: bytes, key: bytes, reason: str, now: int) -> bool:
    """Leave it as it was decided, with a reason. True if an appeal waited."""
    why = reason_of(reason, needed=True)
    if not _open_about(connection, bee, key):
        return False
    number = _decided(connection, bee, key, Action.APPEAL_DENIED, why, now)
    _close_appeals(connection, bee, key, "denied", number)
    return True


def _decided(
    connection: Connection, bee: bytes, key: bytes, action: Action, reason: str | None, now: int
) -> int:
    of = None if key == WHOLE_BEE else key
    return decisions.record(connection, now, OPERATOR, action, bee=bee, key=of, reason=reason)


def _open_about(connection: Connection, bee: bytes, key: bytes) -> Sequence[int]:
    where = (appeals.c.bee == bee, appeals.c.key == key, appeals.c.state == "open")
    return connection.execute(select(appeals.c.id).where(*where)).scalars().all()


def _close_reports(connection: Connection, bee: bytes, key: bytes, state: str, decision: int) -> None:
    where = [reports.c.bee == bee, reports.c.state == "open"]
    if key != WHOLE_BEE:
        where.append(reports.c.key == key)
    connection.execute(update(reports).where(*where).values(state=state, decision=decision))


def _close_appeals(connection: Connection, bee: bytes, key: bytes, state: str, decision: int) -> None:
    where = (appeals.c.bee == bee, appeals.c.key == key, appeals.c.state == "open")
    connection.execute(update(appeals).where(*where).values(state=state, decision=decision))
