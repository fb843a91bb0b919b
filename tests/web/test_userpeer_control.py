"""The control socket's protocol, line by line, and the streams that open pages listen to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import eventually
from userpeer.client import RemoteError, call_running
from userpeer.control import serve_control
from userpeer.errors import NotRunning
from userpeer.live import Hub, stream
from userpeer.service import PeerService, open_service
from userpeer.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[PeerService]:
    async with open_service(Settings(tmp_path)) as opened, serve_control(opened):
        yield opened


async def talk(service: PeerService, *lines: bytes) -> list[dict[str, Any]]:
    """Send the lines, read until each was answered."""
    reader, writer = await asyncio.open_unix_connection(service.settings.control_socket)
    answers = []
    for line in lines:
        writer.write(line)
        while True:
            answer = json.loads(await asyncio.wait_for(reader.readline(), 60))
            answers.append(answer)
            if "item" not in answer:
                break
    writer.close()
    return answers


def request(name: str, **arguments: Any) -> bytes:
    return json.dumps({"command": name, "arguments": arguments}).encode() + b"\n"


async def test_one_connection_takes_many_requests(service: PeerService) -> None:
    answers = await talk(
        service,
        request("bee.put", key="a", value={"title": "x"}),
        request("bee.ls", lt="b"),
        request("bee.get", key="nothing"),
        request("key"),
    )
    assert [list(answer) for answer in answers] == [
        ["item"], ["done"], ["item"], ["done"], ["error"], ["item"], ["done"],
    ]  # fmt: skip
    assert answers[2]["item"]["key"] == "a"
    assert answers[4]["error"]["code"] == "not-found"
    assert answers[5]["item"]["key"] == service.key


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"hello\n", "not a line of JSON"),
        (b"[]\n", "names one of the commands"),
        (b'{"command": "rm"}\n', "names one of the commands"),
        (b'{"command": ["post"]}\n', "names one of the commands"),
        (b'{"command": "post", "arguments": 3}\n', "names one of the commands"),
        (b'{"command": "bee.get"}\n', "The argument key must be text"),
        (b'{"command": "bee.put", "arguments": {"key": "k", "value": "\\ud800"}}\n', "cannot be stored"),
        (b'{"command": "post", "arguments": {"text": 3}}\n', "must be text"),
        (b'{"command": "bee.ls", "arguments": {"limit": "many"}}\n', "limit"),
        (b"[" * 100_000 + b"\n", "not a line of JSON"),
    ],
)
async def test_a_wrong_request_is_answered_and_harms_nothing(
    service: PeerService, line: bytes, words: str
) -> None:
    answers = await talk(service, line, request("key"))
    assert words in answers[0]["error"]["sentence"]
    assert answers[-1] == {"done": True}


async def test_a_client_that_leaves_early_ends_its_command(service: PeerService) -> None:
    for number in range(300):
        await service.publisher.put(f"k{number:03d}", "x" * 10_000)
    stream = call_running(service.settings.control_socket, "bee.ls", {})
    assert (await anext(stream))["key"] == "k000"
    await stream.aclose()
    assert (await talk(service, request("key")))[-1] == {"done": True}


async def test_errors_come_through(service: PeerService) -> None:
    with pytest.raises(RemoteError, match="There is nothing under the key") as caught:
        async for _ in call_running(service.settings.control_socket, "bee.get", {"key": "x"}):
            pass
    assert caught.value.code == "not-found"


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        await anext(call_running(tmp_path / "control.sock", "key", {}))


async def test_many_writers_at_once_lose_nothing(service: PeerService) -> None:
    async def write(name: str) -> None:
        for number in range(20):
            await talk(service, request("post", text=f"{name} {number}"))

    await asyncio.gather(*(write(name) for name in "abcd"))
    page = await service.reader.feed(limit=100)
    texts = {item.value["text"] for item in page.items}
    assert texts == {f"{name} {number}" for name in "abcd" for number in range(20)}
    keys = [item.key for item in page.items]
    assert keys == sorted(set(keys), reverse=True)


# --- live streams ---------------------------------------------------------------------------------


async def test_a_stream_sends_a_block_only_when_it_differs() -> None:
    hub, shown, sent = Hub(), ["one"], []

    async def render() -> str:
        return shown[0]

    async def listen() -> None:
        async for message in stream(hub, render):
            sent.append(message["data"])  # noqa: PERF401 - it is looked at while it grows

    task = asyncio.create_task(listen())
    await eventually(lambda: sent == ["one"])
    hub.notify()
    await asyncio.sleep(0.1)
    assert sent == ["one"]
    shown[0] = "two"
    hub.notify()
    hub.notify()
    await eventually(lambda: sent == ["one", "two"])
    hub.close()
    await asyncio.wait_for(task, 60)


async def test_a_stream_looks_by_itself_when_told_to() -> None:
    hub, count = Hub(), 0

    async def render() -> str:
        nonlocal count
        count += 1
        return str(count)

    messages = stream(hub, render, every=0.02)
    assert [(await anext(messages))["data"] for _ in range(3)] == ["1", "2", "3"]
    await messages.aclose()


async def test_a_write_wakes_the_feed(service: PeerService) -> None:
    hub = Hub()
    service.bee.core.on("append", hub.notify)

    async def render() -> str:
        return str(len((await service.reader.feed()).items))

    messages = stream(hub, render)
    assert (await anext(messages))["data"] == "0"
    waiting = asyncio.create_task(anext(messages))
    await talk(service, request("post", text="news"))
    assert (await asyncio.wait_for(waiting, 60))["data"] == "1"
    await messages.aclose()
