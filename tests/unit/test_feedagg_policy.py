"""Who comes in, the standing of a bee, and the decisions that say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from core.errors import BadArgument
from feedagg import decisions, moderation, policy, queries, sources, store
from feedagg.cli import main
from feedagg.database import Database
from feedagg.decide import Position, decide
from feedagg.policy import Refusal
from feedagg.sources import FOLLOWING, PAUSED, PENDING
from tests.support.feedagg import ENGINES, put, scratch_database

BEE, OTHER = bytes([1]) * 32, bytes([2]) * 32
NOW = 1_800_000_000_000


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with scratch_database(request.param, tmp_path) as opened:
        yield opened


def submit(database: Database, bee: bytes = BEE, who: str = "a", **limits: int) -> sources.Source:
    allowed = {"max_sources": 10, "max_per_submitter": 10} | limits
    return database.write_now(policy.submit, bee, NOW, "127.0.0.1:1", who, **allowed)


def decided(database: Database, **about: Any) -> list[tuple[str, str, str | None]]:
    found = database.read_now(decisions.listing, 100, **about)
    return [(one.by, one.action, one.reason) for one in reversed(found)]


def with_a_post(database: Database, bee: bytes = BEE) -> bytes:
    rows = decide([put(1, "post/0000000000000001", {"v": 1, "text": "hello", "createdAt": NOW})], NOW)
    database.write_now(store.write, bee, rows, Position(), Position(0, 2, 1), 2)
    return b"post/0000000000000001"


def claimed(database: Database) -> list[bytes]:
    return [source.bee for source in database.write_now(sources.claim, "worker", NOW + 1, 10)]


def test_an_open_aggregator_follows_what_is_submitted_and_says_that_it_was_a_rule(database: Database) -> None:
    assert submit(database).state == FOLLOWING
    submit(database)
    assert decided(database) == [("rule", "accepted", "The policy is open.")]
    assert claimed(database) == [BEE]


def test_with_approval_a_bee_waits_unread_until_it_is_accepted(database: Database) -> None:
    assert database.write_now(policy.choose, NOW, policy.APPROVAL)
    assert not database.write_now(policy.choose, NOW, policy.APPROVAL)
    assert submit(database).state == PENDING
    assert claimed(database) == []
    assert database.read_now(sources.by_state)[PENDING] == 1
    assert database.read_now(sources.counts)["followed"] == 0
    assert database.write_now(policy.accept, BEE, NOW, "a friend")
    assert not database.write_now(policy.accept, BEE, NOW)
    assert claimed(database) == [BEE]
    assert [action for _, action, _ in decided(database)] == ["policy", "accepted"]
    assert decided(database, bee=BEE) == [("operator", "accepted", "a friend")]


def test_a_closed_aggregator_takes_only_what_its_operator_adds(database: Database) -> None:
    database.write_now(policy.choose, NOW, policy.CLOSED)
    with pytest.raises(Refusal, match="takes no submissions") as refused:
        submit(database)
    assert refused.value.status == 403
    assert database.write_now(policy.add, BEE, NOW)
    assert submit(database).state == FOLLOWING  # known already: the address is welcome
    with pytest.raises(BadArgument, match="no policy"):
        database.write_now(policy.choose, NOW, "perhaps")


def test_one_submitter_cannot_fill_the_aggregator(database: Database) -> None:
    for number in range(3):
        submit(database, bytes([number]) * 32, max_per_submitter=3)
    with pytest.raises(Refusal, match="3 bees already") as refused:
        submit(database, OTHER[:-1] + b"x", max_per_submitter=3)
    assert refused.value.status == 429
    submit(database, bytes([9]) * 32, who="b", max_per_submitter=3)
    with pytest.raises(Refusal, match="as many bees as it can"):
        submit(database, bytes([8]) * 32, who="c", max_sources=4)


def test_a_refused_bee_is_off_the_pages_stays_away_and_comes_back_when_it_is_accepted(
    database: Database,
) -> None:
    submit(database)
    key = with_a_post(database)
    database.write_now(moderation.hide, BEE, b"post/2", "spam", NOW)
    with pytest.raises(BadArgument, match="Give a reason"):
        database.write_now(policy.refuse, BEE, NOW, " ")
    assert database.write_now(policy.refuse, BEE, NOW, "all of it is spam")
    assert database.read_now(queries.feed).items == []
    assert claimed(database) == []
    assert database.read_now(sources.stopped_since, NOW) == [BEE]
    with pytest.raises(Refusal, match="all of it is spam"):
        submit(database)
    # Showing one record again does not bring back a refused bee's.
    database.write_now(moderation.hide, BEE, key, "also", NOW)
    database.write_now(moderation.unhide, BEE, key, NOW)
    assert database.read_now(queries.feed).items == []
    assert database.write_now(policy.accept, BEE, NOW)
    assert [item.key for item in database.read_now(queries.feed).items] == [key]
    actions = [action for _, action, _ in decided(database, bee=BEE)]
    assert actions == ["accepted", "hidden", "refused", "hidden", "unhidden", "accepted"]


def test_a_paused_bee_is_not_read_and_still_shown(database: Database) -> None:
    submit(database)
    key = with_a_post(database)
    assert database.write_now(policy.pause, BEE, NOW, "too fast")
    assert claimed(database) == []
    database.write_now(sources.contacted, BEE, NOW, NOW, None, "worker", 2)  # a visit that was under way
    source = database.read_now(sources.get, BEE)
    assert source is not None
    assert (source.state, source.connected) == (PAUSED, False)
    assert [item.key for item in database.read_now(queries.feed).items] == [key]
    database.write_now(policy.accept, BEE, NOW)
    assert decided(database, bee=BEE)[-1][1] == "resumed"


def test_a_bee_can_be_refused_before_anyone_gives_it(database: Database) -> None:
    assert database.write_now(policy.refuse, BEE, NOW, "known from elsewhere")
    with pytest.raises(Refusal, match="known from elsewhere"):
        submit(database)
    with pytest.raises(policy.NotFollowed):
        database.write_now(policy.pause, OTHER, NOW)


def test_a_decision_and_its_change_are_kept_or_lost_together(database: Database) -> None:
    def fails_after(connection: Connection) -> None:
        policy.add(connection, BEE, NOW)
        raise KeyError

    with pytest.raises(KeyError):
        database.write_now(fails_after)
    assert decided(database) == []
    assert database.read_now(sources.get, BEE) is None


def test_decisions_wait_for_their_place_in_the_public_log(database: Database) -> None:
    database.write_now(policy.add, BEE, NOW)
    database.write_now(policy.pause, BEE, NOW)
    first, second = database.read_now(decisions.untold, 10)
    database.write_now(decisions.tell, [(first.id, 7)])
    assert database.read_now(decisions.untold, 10) == [second]
    assert database.read_now(decisions.listing, 10)[1].told == 7


def test_the_commands_decide_too(tmp_path: Path) -> None:
    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["--dir", str(tmp_path), *words])
        assert result.exit_code == status, result.output
        return result.output

    assert "There is no aggregator" in run("policy", status=1)
    assert run("policy", "open").startswith("open:")
    assert run("policy", "closed").startswith("closed:")
    assert "Following" in run("add", BEE.hex())
    assert "Paused" in run("pause", BEE.hex(), "--reason", "too fast")
    assert "paused: too fast" in run("list")
    assert "Refused" in run("refuse", BEE.hex(), "--reason", "spam")
    assert "Following" in run("accept", BEE.hex())
    assert "free from" in run("trust", BEE.hex())
    assert "no bee" in run("trust", OTHER.hex(), status=1)
    assert "Give a reason" in run("hide", BEE.hex(), "post/1", "--reason", " ", status=1)
    lines = [json.loads(line) for line in run("decisions", "--json").splitlines()]
    assert [line["action"] for line in lines] == ["accepted", "refused", "paused", "accepted", "policy"]
    token = run("admin-token").strip()
    assert run("admin-token").strip() == token
    assert len(token) >= 32
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
