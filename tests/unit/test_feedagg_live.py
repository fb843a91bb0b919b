"""The live events: collected, kept for a while, resumed by id, rendered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from feedagg.live import KEPT_EVENTS, MAX_CARDS, Change, Event, Live

pytestmark = pytest.mark.anyio
BEE = bytes(32)
OTHER = b"\x01" * 32


class Renders:
    """Counts how often an event is rendered."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, change: Change) -> str:
        self.count += 1
        await asyncio.sleep(0)
        shown = ",".join(key.decode() for _, key in change.news)
        gone = ",".join(key.decode() for _, key in change.gone)
        return f"{shown}|{gone}|{change.more}"


async def next_of(stream: AsyncIterator[Event]) -> Event:
    return await asyncio.wait_for(anext(stream), 60)


async def settle() -> None:
    await asyncio.sleep(0.05)


async def test_changes_close_together_are_one_event() -> None:
    live = Live(Renders())
    stream = live.events(live.last_id)
    live.changed(BEE, news=[b"a", b"b"])
    live.changed(OTHER, news=[b"c"])
    live.changed(BEE, gone=[b"a"])  # removed before anybody saw it
    event = await next_of(stream)
    assert (event.name, event.data) == ("news", "b,c|a|0")
    assert event.id == live.last_id


async def test_every_reader_is_told_and_the_html_is_made_once() -> None:
    renders = Renders()
    live = Live(renders)
    streams = [live.events(live.last_id) for _ in range(50)]
    waiting = [asyncio.create_task(next_of(stream)) for stream in streams]
    await settle()
    assert live.readers == 50
    live.changed(BEE, news=[b"a"])
    events = await asyncio.gather(*waiting)
    assert {event.data for event in events} == {"a||0"}
    assert renders.count == 1
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    assert live.readers == 0


async def test_a_reader_that_was_away_gets_what_it_missed() -> None:
    live = Live(Renders())
    seen = live.last_id
    for name in (b"a", b"b"):
        live.changed(BEE, news=[name])
        await settle()
    stream = live.events(seen)
    assert [(await next_of(stream)).data for _ in range(2)] == ["a||0", "b||0"]


async def test_a_reader_that_was_away_too_long_is_told_to_reload() -> None:
    live = Live(Renders())
    seen = live.last_id
    for n in range(KEPT_EVENTS + 5):
        live.changed(BEE, news=[str(n).encode()])
        live._publish()
    first = await next_of(live.events(seen))
    assert first.name == "gap"
    another_run = await next_of(live.events("0badcafe-7"))
    assert another_run.name == "gap"
    assert another_run.id == live.last_id
    assert (await next_of(live.events(""))).name == "gap"


async def test_a_burst_is_cut_and_counted() -> None:
    live = Live(Renders())
    stream = live.events(live.last_id)
    live.changed(BEE, news=[f"{n:03}".encode() for n in range(MAX_CARDS + 500)])
    event = await next_of(stream)
    assert event.data.endswith("|500")
    assert event.data.count(",") == MAX_CARDS - 1


async def test_the_page_of_a_bee_hears_of_that_bee_alone() -> None:
    live = Live(Renders())
    stream = live.events(live.last_id, BEE)
    live.changed(OTHER, news=[b"x"])
    await settle()
    live.changed(BEE)  # nothing to show, but the receipt changed
    event = await next_of(stream)
    assert (event.name, event.id) == ("bee", live.last_id)


async def test_closing_ends_every_stream() -> None:
    live = Live(Renders())
    stream = live.events(live.last_id)
    waiting = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    live.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 60)
