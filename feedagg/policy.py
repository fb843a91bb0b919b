"""Who may have a bee followed here, and the standing of each bee: every change is a decision.

The policy is the operator's choice while it runs: `open` (every bee that is submitted is followed), `approval`
(it waits until the operator accepts it) or `closed` (only the operator adds bees).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, select, true, update

from core.errors import BadArgument
from feedagg import decisions, sources
from feedagg.decisions import OPERATOR, RULE, Action
from feedagg.naming import is_by
from feedagg.sources import FOLLOWING, PAUSED, PENDING, REFUSED, Source
from feedagg.store import insert
from feedagg.tables import choices, hidden, records

OPEN: Final = "open"
APPROVAL: Final = "approval"
CLOSED: Final = "closed"
POLICIES: Final = {
    OPEN: "Every bee that is submitted is followed.",
    APPROVAL: "A bee that is submitted waits until the operator accepts it.",
    CLOSED: "Only the operator adds bees.",
}

MAX_REASON: Final = 500
"""Characters of a reason or an appeal."""


class NotFollowed(BadArgument):
    """There is no such bee here."""


class NotNow(BadArgument):
    """Its standing does not allow that."""


class Refusal(BadArgument):
    """A submission is refused; the sentence says why. `status`: as HTTP has it."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def policy(connection: Connection) -> str:
    """The policy in force."""
    chosen = connection.execute(select(choices.c.value).where(choices.c.name == "policy")).scalar()
    return chosen if chosen in POLICIES else OPEN


def choose(connection: Connection, now: int, value: str) -> bool:
    """Change the policy; True if it was another. Raises `BadArgument`."""
    if value not in POLICIES:
        raise BadArgument(f"{value!r} is no policy; it is one of: {', '.join(POLICIES)}.")
    if value == policy(connection):
        return False
    row = insert(connection, choices).values(name="policy", value=value, chosen_at=now)
    changed = {"value": value, "chosen_at": now}
    connection.execute(row.on_conflict_do_update(index_elements=[choices.c.name], set_=changed))
    decisions.record(connection, now, OPERATOR, Action.POLICY, reason=f"{value}: {POLICIES[value]}")
    return True


def reason_of(text: str | None, *, needed: bool) -> str | None:
    """A reason as it is kept: one line, trimmed. Raises `BadArgument` when it is missing or too long."""
    reason = one_line(text or "")
    if needed and not reason:
        raise BadArgument("Give a reason: it is shown to the author and to everybody else.")
    if len(reason) > MAX_REASON:
        raise BadArgument(f"A reason has at most {MAX_REASON} characters; this one has {len(reason):,}.")
    return reason or None


def one_line(text: str) -> str:
    """A person's words as they are kept: one line, without what no database and no page can hold."""
    sayable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in sayable).split())


# --- coming in ----------------------------------------------------------------------------------


def as_sentence(reason: str) -> str:
    """A reason with the full stop that most people do not type, so that more can be said after it."""
    return reason if reason.endswith((".", "!", "?", "…")) else reason + "."


def submit(
    connection: Connection,
    bee: bytes,
    now: int,
    address: str | None,
    submitter: str,
    *,
    max_sources: int,
    max_per_submitter: int,
) -> Source:
    """A stranger gives a bee. Returns the source it is now; raises `Refusal` with a sentence."""
    known = sources.get(connection, bee)
    if known is not None and known.state == REFUSED:
        reason = as_sentence(known.state_reason or "none")
        raise Refusal(f"This bee was refused here. The reason given: {reason}", 403)
    state = FOLLOWING
    if known is None:
        in_force = policy(connection)
        if in_force == CLOSED:
            raise Refusal(
                "This aggregator takes no submissions: its operator adds bees. Try another one.", 403
            )
        if sources.counts(connection)["followed"] >= max_sources:
            raise Refusal("This aggregator follows as many bees as it can; try another one.", 503)
        if sources.submitted_by(connection, submitter) >= max_per_submitter:
            raise Refusal(
                f"This address has given {max_per_submitter:,} bees already, which is as many as one may give.",
                429,
            )
        state = PENDING if in_force == APPROVAL else FOLLOWING
    is_new = sources.add(connection, bee, now, "web", address, state=state, submitter=submitter)
    if is_new and state == FOLLOWING:
        decisions.record(connection, now, RULE, Action.ACCEPTED, bee=bee, reason="The policy is open.")
    source = sources.get(connection, bee)
    assert source is not None
    return source


def add(connection: Connection, bee: bytes, now: int, address: str | None = None) -> bool:
    """The operator adds a bee, whatever the policy; True if it was not followed yet."""
    known = sources.get(connection, bee)
    sources.add(connection, bee, now, "command", address)
    if known is None:
        decisions.record(connection, now, OPERATOR, Action.ACCEPTED, bee=bee)
        return True
    if known.state == FOLLOWING:
        return False
    _stand(connection, known, now, FOLLOWING, None, Action.ACCEPTED)
    return True


# --- the standing of a bee ----------------------------------------------------------------------


def accept(connection: Connection, bee: bytes, now: int, reason: str | None = None) -> bool:
    """Follow a bee that waits, is paused or was refused; True if that changed anything."""
    source = _known(connection, bee)
    if source.state == FOLLOWING:
        return False
    action = Action.RESUMED if source.state == PAUSED else Action.ACCEPTED
    _stand(connection, source, now, FOLLOWING, reason_of(reason, needed=False), action)
    return True


def pause(connection: Connection, bee: bytes, now: int, reason: str | None = None) -> bool:
    """Stop reading a bee; what is here of it stays on the pages. True if it was followed."""
    source = _known(connection, bee)
    if source.state == PAUSED:
        return False
    if source.state == REFUSED:
        raise NotNow("This bee is refused; accept it before you pause it.")
    _stand(connection, source, now, PAUSED, reason_of(reason, needed=False), Action.PAUSED)
    return True


def refuse(connection: Connection, bee: bytes, now: int, reason: str) -> bool:
    """Follow a bee no more, and take what is here of it off the pages, with a reason. It cannot be submitted
    again until it is accepted. A bee that is not known yet can be refused beforehand.
    """
    why = reason_of(reason, needed=True)
    source = sources.get(connection, bee)
    if source is None:
        sources.add(connection, bee, now, "command", state=REFUSED)
        sources.trust(connection, bee, is_trusted=False)
        source = _known(connection, bee)
    elif source.state == REFUSED and source.state_reason == why:
        return False
    _stand(connection, source, now, REFUSED, why, Action.REFUSED)
    return True


def trust(
    connection: Connection, bee: bytes, now: int, reason: str | None = None, *, is_trusted: bool
) -> bool:
    """Free a bee from the quota of new ones, or bind it again; True if that changed anything."""
    why = reason_of(reason, needed=False)
    if _known(connection, bee).trusted == is_trusted:
        return False
    sources.trust(connection, bee, is_trusted=is_trusted)
    action = Action.TRUSTED if is_trusted else Action.BOUND
    decisions.record(connection, now, OPERATOR, action, bee=bee, reason=why)
    return True


def _known(connection: Connection, bee: bytes) -> Source:
    source = sources.get(connection, bee)
    if source is None:
        raise NotFollowed(f"There is no bee {bee.hex()} here; `feedagg list` and the page /bees list them.")
    return source


def _stand(
    connection: Connection, source: Source, now: int, state: str, reason: str | None, action: Action
) -> None:
    sources.stand(connection, source.bee, now, state, reason)
    if (state == REFUSED) != (source.state == REFUSED):
        show(connection, source.bee, is_refused=state == REFUSED)
    decisions.record(connection, now, OPERATOR, action, bee=source.bee, reason=reason)


def wrongly_shown(connection: Connection, bee: bytes, *, is_refused: bool) -> list[bytes]:
    """Keys of the rows that `show` would change."""
    here = (is_by(bee), records.c.hidden != _concealed(bee, is_refused=is_refused))
    return list(connection.execute(select(records.c.key).where(*here)).scalars())


def _concealed(bee: bytes, *, is_refused: bool) -> Any:
    listed = select(hidden.c.key).where(hidden.c.bee == bee)
    return true() if is_refused else records.c.key.in_(listed)


def show(connection: Connection, bee: bytes, *, is_refused: bool) -> None:
    """Mark the rows of a bee hidden as its standing and the hide list say."""
    concealed = _concealed(bee, is_refused=is_refused)
    here = (is_by(bee), records.c.hidden != concealed)
    connection.execute(update(records).where(*here).values(hidden=concealed))
