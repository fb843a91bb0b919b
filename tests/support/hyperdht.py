"""Servers and clients of our HyperDHT for tests: an echo, and a store replicated to whoever comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.corestore import Corestore
from core.crypto.keys import KeyPair
from core.dht.world import Meeting
from core.net.connection import Connection
from core.net.hyperdht import HyperDht
from core.net.meeting import connection_over, plain_connection

Open = Callable[..., Awaitable[HyperDht]]

PROTOCOL = "echo"


@asynccontextmanager
async def opener() -> AsyncIterator[Open]:
    """Gives a function that opens nodes on loopback, bootstrapped; they are closed at the end."""
    nodes: list[HyperDht] = []

    async def open_one(*, bootstrap: Sequence[str], **options: Any) -> HyperDht:
        node = await HyperDht.open(host="127.0.0.1", ports=(0,), bootstrap=bootstrap, **options)
        nodes.append(node)
        await node.bootstrapped()
        return node

    try:
        yield open_one
    finally:
        for node in nodes:
            await node.close()


class Echo:
    """Raw messages of the secret stream, sent back by a server and collected by a client."""

    def __init__(self, dht: HyperDht, *, is_server: bool = False, key_pair: KeyPair | None = None) -> None:
        self.meetings: list[Meeting] = []
        self.connections: list[Connection] = []
        self.received = b""
        self.echoed = 0
        self._more = asyncio.Event()
        self._is_server = is_server
        self._key_pair = key_pair or dht.key_pair

    def take(self, meeting: Meeting) -> Connection:
        connection = plain_connection(meeting, self._key_pair, on_open=self._opened, on_close=_ignore)
        self.meetings.append(meeting)
        self.connections.append(connection)
        return connection

    def _opened(self, connection: Connection) -> None:
        mux = connection.mux
        assert mux is not None
        send = mux._send  # a mux sends whole messages, which is what an echo does

        def receive(message: bytes, *_: object) -> bool:
            if self._is_server:
                self.echoed += 1
                send(message)
            else:
                self.received += message
                self._more.set()
            return True

        mux.receive = receive  # type: ignore[method-assign]

    async def send(self, connection: Connection, data: bytes) -> bytes:
        """What comes back."""
        mux = await connection.opened
        self.received = b""
        mux._send(data)
        while len(self.received) < len(data):
            self._more.clear()
            await self._more.wait()
        return self.received


async def serve_echo(dht: HyperDht, key_pair: KeyPair, **options: Any) -> Echo:
    echo = Echo(dht, is_server=True, key_pair=key_pair)
    await dht.listen(key_pair, lambda meeting: _drop(echo.take(meeting)), **options)
    return echo


async def echo_through(dht: HyperDht, public_key: bytes, data: bytes, **options: Any) -> bytes:
    """Connect, send `data`, and return what came back."""
    echo = Echo(dht)
    connection = echo.take(await dht.connect(public_key, **options))
    try:
        return await echo.send(connection, data)
    finally:
        connection.close()


def serve_core(store: Corestore, meeting: Meeting, key_pair: KeyPair) -> Connection:
    """Replicate everything in `store` over a meeting."""

    def opened(connection: Connection) -> None:
        assert connection.mux is not None
        store.replicate(connection.mux)

    return connection_over(
        meeting,
        key_pair,
        commit=store.commit,
        when_safe=store.when_safe,
        on_open=opened,
        on_close=_ignore,
    )


def _ignore(_: object) -> None:
    pass


def _drop(_: object) -> None:
    pass
