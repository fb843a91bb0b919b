"""A process with one UDX stream of ours, with the verbs of `tests/interop/node/udx.js`.

    python -m tests.support.udx_end

For measurements, where each end must have a processor of its own. One JSON object a line in, one out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from core.net.udp import UdpSocket
from core.net.udp_mux import DatagramHub
from core.udx import UdxStream

PIECE = 65536


def content(seed: str, length: int) -> Iterator[bytes]:
    """The same bytes as udx.js makes: one piece of noise again and again, with its number in front."""
    piece = hashlib.shake_256(seed.encode()).digest(PIECE)
    for number, at in enumerate(range(0, length, PIECE)):
        yield (number.to_bytes(4, "little") + piece[4:])[: min(PIECE, length - at)]


def content_hash(seed: str, length: int) -> str:
    """SHA-256 of `content`, hex."""
    digest = hashlib.sha256()
    for data in content(seed, length):
        digest.update(data)
    return digest.hexdigest()


class Watched:
    """A stream that counts and hashes what comes, and ends when its remote does."""

    def __init__(self, stream: UdxStream) -> None:
        self.stream = stream
        self.bytes = 0
        self.hash = hashlib.sha256()
        self.started = self.cpu = 0.0
        self.received: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.messages: list[bytes] = []
        stream.on_data = self._data
        stream.on_end = self._end
        stream.on_close = self.closed.set_result
        stream.on_message = self.messages.append

    def _data(self, data: bytes) -> None:
        if self.bytes == 0:
            self.started, self.cpu = time.perf_counter(), time.process_time()
        self.bytes += len(data)
        self.hash.update(data)

    def _end(self) -> None:
        self.received.set_result(
            {
                "bytes": self.bytes,
                "hash": self.hash.hexdigest(),
                "seconds": time.perf_counter() - self.started,
                "cpu": time.process_time() - self.cpu,
            }
        )
        self.stream.end()

    async def send(self, seed: str, length: int) -> None:
        """Write `content` as fast as the stream takes it, then end."""
        drained = asyncio.Event()
        self.stream.on_drain = drained.set
        for data in content(seed, length):
            if not self.stream.write(data):
                drained.clear()
                closed = asyncio.ensure_future(drained.wait())
                await asyncio.wait([closed, self.closed], return_when=asyncio.FIRST_COMPLETED)
                closed.cancel()
            if self.stream.closed:
                raise ConnectionError(f"the stream closed: {self.closed.result()}")
        self.stream.end()


class End:
    """The verbs."""

    def __init__(self) -> None:
        self.hub: DatagramHub | None = None
        self.watched: dict[str, Watched] = {}

    async def bind(self, socket: str, name: str = "") -> dict[str, Any]:
        self.hub = DatagramHub(UdpSocket())
        return {"port": self.hub.socket.local_address[1]}

    async def stream(self, name: str, local: int) -> None:
        assert self.hub is not None
        self.watched[name] = Watched(self.hub.create_stream(local))

    async def connect(self, name: str, socket: str, remote: int, port: int) -> None:
        self.watched[name].stream.connect(remote, ("127.0.0.1", port), self.hub)

    async def send(self, name: str, seed: str, bytes: int) -> dict[str, Any]:
        await self.watched[name].send(seed, bytes)
        return {}

    async def received(self, name: str) -> dict[str, Any]:
        return await self.watched[name].received

    async def closed(self, name: str) -> str | None:
        error = await self.watched[name].closed
        return None if error is None else str(error)

    async def stats(self, name: str) -> dict[str, Any]:
        sender = self.watched[name].stream.sender
        return {
            "retransmits": sender.retransmissions,
            "packetsSent": sender.packets_sent,
            "cpu": time.process_time(),
        }


async def main() -> None:
    end, loop = End(), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()

    async def answer(call: dict[str, Any]) -> None:
        number, verb = call.pop("id"), call.pop("do")
        try:
            print(json.dumps({"id": number, "ok": await getattr(end, verb)(**call)}), flush=True)
        except Exception as error:
            print(json.dumps({"id": number, "error": f"{type(error).__name__}: {error}"}), flush=True)

    while line := await reader.readline():
        task = asyncio.create_task(answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
