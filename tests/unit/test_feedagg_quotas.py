"""The quota of a new bee, by the clock that the test gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedagg import quotas, sources
from feedagg.database import Database
from feedagg.quotas import DAY_MS, HOUR_MS, Quota
from feedagg.settings import Settings
from tests.support.feedagg import scratch_database

NOW = 1_800_000_000_000 // DAY_MS * DAY_MS
BEE = bytes([1]) * 32


def quota(
    per_second: int = 50, per_hour: int = 200, per_day: int = 500, until: int = NOW + 9 * DAY_MS
) -> Quota:
    return Quota(per_second, per_hour, per_day, until, 0, 0, 0, 0)


def read_all(one: Quota, now: int) -> int:
    """Read whatever may be read at this moment; how much that was."""
    read = 0
    while allowed := one.allowed(now):
        one.spend(allowed, now)
        read += allowed
    return read


def test_the_hour_and_the_day_are_used_up_and_begin_again() -> None:
    one = quota()
    assert one.allowed(NOW) == 50
    assert read_all(one, NOW) == 200
    assert one.opens_at(NOW) == NOW + HOUR_MS
    assert read_all(one, NOW + HOUR_MS) == 200
    assert read_all(one, NOW + 2 * HOUR_MS) == 100
    assert one.opens_at(NOW + 2 * HOUR_MS) == NOW + DAY_MS
    assert read_all(one, NOW + DAY_MS) == 200


def test_a_bee_that_is_new_no_more_has_no_quota() -> None:
    one = quota(until=NOW + 1000)
    assert read_all(one, NOW) == 200
    assert one.opens_at(NOW) == NOW + 1000
    assert one.allowed(NOW + 1000) is None


@given(st.lists(st.tuples(st.integers(0, 5 * HOUR_MS), st.integers(1, 60)), max_size=80))
def test_no_hour_and_no_day_ever_gets_more_than_its_share(steps: list[tuple[int, int]]) -> None:
    one, now = quota(), NOW
    hours: dict[int, int] = {}
    days: dict[int, int] = {}
    for pause, wanted in steps:
        now += pause
        allowed = one.allowed(now)
        assert allowed is not None
        read = min(allowed, wanted)
        one.spend(read, now)
        hours[now // HOUR_MS] = hours.get(now // HOUR_MS, 0) + read
        days[now // DAY_MS] = days.get(now // DAY_MS, 0) + read
        if allowed == 0:
            assert one.opens_at(now) > now
    assert max(hours.values(), default=0) <= 200
    assert max(days.values(), default=0) <= 500


@pytest.fixture
def database(tmp_path: Path) -> Database:
    with scratch_database("sqlite", tmp_path) as opened:
        yield opened  # type: ignore[misc]


def test_whose_bee_has_one(database: Database, tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path)

    def given_by(who: str, bee: bytes) -> Quota | None:
        database.write_now(sources.add, bee, NOW, who)
        source = database.read_now(sources.get, bee)
        assert source is not None
        return quotas.of(source, settings, NOW)

    stranger = given_by("web", BEE)
    assert stranger is not None
    assert (stranger.per_second, stranger.per_hour, stranger.per_day) == (50, 2_500, 20_000)
    assert given_by("command", bytes([2]) * 32) is None
    database.write_now(lambda connection: sources.trust(connection, BEE, is_trusted=True))
    source = database.read_now(sources.get, BEE)
    assert source is not None
    assert quotas.of(source, settings, NOW) is None
    assert quotas.of(source, settings, NOW + 8 * DAY_MS) is None
