"""The Python client: what a program does with bees, several programs at once, and a daemon that goes and comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hyp import daemon, hyp, kill
from tests.support.waiting import eventually
from userpeer.control import serve_control
from userpeer.hyp.client import Bee, Change, Entry, Hyp, NotRunning, RemoteError
from userpeer.service import open_service
from userpeer.settings import Settings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[None]:
    """A peer that answers on its control socket, in this process."""
    async with open_service(Settings(directory)) as service, serve_control(service):
        yield


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Hyp]:
    async with serving(tmp_path), Hyp(tmp_path) as opened:
        yield opened


async def keys(bee: Bee, **bounds: object) -> list[str]:
    return [entry.key async for entry in bee.range(**bounds)]  # type: ignore[arg-type]


async def test_reading_and_writing(client: Hyp) -> None:
    bee = await client.create("movies")
    assert bee.name.startswith("hyper://")
    assert await bee.get("a") is None
    assert [await bee.put(key, key.upper()) for key in ("a", "b", "c")] == [1, 2, 3]
    assert await bee.get("b") == Entry("b", "B", 2)
    assert await keys(bee, gt="a", reverse=True) == ["c", "b"]
    assert await keys(bee, prefix="b") == ["b"]
    assert await bee.batch([{"key": "d", "value": 4}, {"type": "del", "key": "a"}]) == 6
    await bee.delete("b")
    assert await keys(bee) == ["c", "d"]
    assert await keys(bee.checkout(4)) == ["a", "b", "c"]
    assert [change async for change in bee.history(reverse=True, limit=1)] == [Change("del", "b", None, 6)]
    differences = [(each.key, each.new, each.old) async for each in bee.diff(4)]
    assert differences[0] == ("a", None, Entry("a", "A", 1))
    assert (await bee.info())["length"] == 7
    assert {item["name"] for item in await client.ls()} == {"main", "movies"}
    inner = bee.sub("x").sub("y")
    await inner.put("k", [1])
    assert [entry async for entry in inner.range()] == [Entry("k", [1], 7)]


async def test_values_that_are_no_json_are_bytes_and_numbers_without_end_are_refused(client: Hyp) -> None:
    bee = await client.create("movies")
    await replace(bee, values="hex").put("raw", "00ff")
    await bee.put("after", 1)
    assert await bee.get("raw") == Entry("raw", b"\x00\xff", 1)
    assert [entry.value async for entry in bee.range()] == [1, b"\x00\xff"]
    assert [change.value async for change in bee.history()] == [b"\x00\xff", 1]
    assert [each.new async for each in bee.diff(1)] == [Entry("after", 1, 2), Entry("raw", b"\x00\xff", 1)]
    for value in (float("inf"), float("nan"), {"a": [float("-inf")]}):
        for place in (bee, client.bee("main")):
            with pytest.raises(RemoteError, match="put it as text"):
                await place.put("number", value)
    assert await bee.get("number") is None


async def test_keys_that_are_made_collide_with_none_and_sort_by_when(client: Hyp, tmp_path: Path) -> None:
    bee = await client.create("movies")
    async with Hyp(tmp_path) as other:
        for place in (bee, bee.sub("inner"), client.bee("main"), client.bee("main").sub("inner")):
            also = replace(place, hyp=other)
            first = await place.add({"number": 0}, "1979/")
            added = await asyncio.gather(
                *(
                    writer.add({"number": number}, "1979/")
                    for number in range(1, 25)
                    for writer in (place, also)
                )
            )
            last = await also.add({"number": 99}, "1979/")
            found = [entry async for entry in place.range(prefix="1979/")]
            assert {entry.key for entry in found} == {first.key, last.key, *(entry.key for entry in added)}
            assert (found[0], found[-1], len(found)) == (first, last, 50)
    # A clock that was set back, or a key that looks like one, changes nothing of it.
    await bee.put("1979/fffffffffffffff0", "from the future")
    await bee.put("1979/ffgg", "no such key")
    assert (await bee.add("after it", "1979/")).key == "1979/fffffffffffffff1"
    with pytest.raises(RemoteError, match="null is what a deleted entry has"):
        await bee.add(None)


async def test_compare_and_swap_lets_one_of_many_win(client: Hyp) -> None:
    bee = await client.create("counter")
    await bee.put("n", 0)

    async def count() -> None:
        while True:
            entry = await bee.get("n")
            assert entry is not None
            try:
                await bee.cas("n", entry.value + 1, entry)
                return
            except RemoteError as error:
                assert error.code == "cas-failed"

    await asyncio.gather(*(count() for _ in range(20)))
    entry = await bee.get("n")
    assert entry is not None
    assert entry.value == 20
    with pytest.raises(RemoteError, match="expected was none"):
        await bee.cas("n", 1, None)


async def test_errors_carry_a_code_and_a_sentence(client: Hyp) -> None:
    for call, code in [
        (client.bee("nothere").get("a"), "not-found"),
        (client.bee("ab" * 32).put("a", 1), "not-yours"),
        (client.bee("ab" * 32).with_timeout(0.5).get("a"), "unreachable"),
        (client.bee("main").delete("nothing"), "no-entry"),
        (client.bee("main").put("a", None), "bad-request"),
        (client.bee("main").checkout(1).put("a", 1), "read-only"),
        (client.create("no/name"), "bad-name"),
    ]:
        with pytest.raises(RemoteError) as raised:
            await call
        assert raised.value.code == code, str(raised.value)


async def test_a_walk_that_is_left_early_costs_no_connection(client: Hyp) -> None:
    bee = await client.create("long")
    await bee.batch([{"key": f"{number:05}", "value": "x" * 200} for number in range(3_000)])
    async for entry in bee.range():
        assert entry.key == "00000"
        break
    assert await keys(bee, gte="02998") == ["02998", "02999"]


async def test_a_watch_sees_what_another_program_writes(client: Hyp, tmp_path: Path) -> None:
    bee = await client.create("shared")
    seen: list[Change] = []

    async def watch() -> None:
        async for change in bee.watch(prefix="a/"):
            seen.append(change)  # noqa: PERF401 - the walk has no end

    task = asyncio.create_task(watch())
    async with Hyp(tmp_path) as other:
        await bee.put("a/0", 0)
        await other.bee("shared").put("b/1", 1)
        await eventually(lambda: seen or other.bee("shared").put("a/1", 1))
        await other.bee("shared").delete("a/0")
        await eventually(lambda: seen and seen[-1].type == "del")
    task.cancel()


async def test_without_a_daemon_it_says_so_after_its_patience(tmp_path: Path) -> None:
    async with Hyp(tmp_path, patience=0.2) as client:
        with pytest.raises(NotRunning):
            await client.status()


async def test_it_connects_again_and_a_watch_goes_on_without_a_gap(tmp_path: Path) -> None:
    """Pain 4: in 2021 an app crashed when the daemon was restarted."""
    async with Hyp(tmp_path, patience=60.0) as client:
        seen: list[object] = []

        async def watch(bee: Bee) -> None:
            async for change in bee.watch(since=1):
                seen.append(change.value)  # noqa: PERF401 - the walk has no end

        with daemon(tmp_path) as status:
            bee = await client.create("kept")
            task = asyncio.create_task(watch(bee))
            await bee.put("a", 0)
            await eventually(lambda: seen == [0])
            kill(status["pid"])
        waiting = asyncio.create_task(bee.put("a", 1))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        with daemon(tmp_path):
            await waiting
            await bee.put("a", 2)
            await eventually(lambda: seen[:1] + seen[-1:] == [0, 2])
            assert sorted(set(map(str, seen))) == ["0", "1", "2"]
            assert not task.done()
            task.cancel()


async def test_two_programs_write_through_one_daemon(tmp_path: Path) -> None:
    """Each put of each program is in the log once, and what was acknowledged is there after a kill."""
    with daemon(tmp_path) as status:
        assert hyp(tmp_path, "create", "bee", "both").returncode == 0
        async with Hyp(tmp_path) as one, Hyp(tmp_path) as two:
            await asyncio.gather(
                *(each.bee("both").put(f"{name}/{number}", number)
                  for number in range(100) for name, each in (("one", one), ("two", two)))
            )  # fmt: skip
        kill(status["pid"])
    with daemon(tmp_path):
        async with Hyp(tmp_path) as again:
            assert len(await keys(again.bee("both"))) == 200
            assert len([change async for change in again.bee("both").history()]) == 200
