"""A UDP socket of nobody: it says what it likes to a DHT node and counts what comes back."""

from __future__ import annotations

import asyncio
import itertools
import socket
from types import TracebackType

from core.dht.address import Address
from core.dht.commands import DELAYED_PING, PING
from core.dht.messages import RESPONSE, ResponseMessage, decode_response, encode_request

ANSWER_SECONDS = 30.0
OWN_TIDS = 50_000
"""Transaction ids from here on are for `ask`."""
UNKNOWN = 200
"""A command nobody has."""


class Stranger:
    """`received` are all datagrams that came, in order. It proves nothing and keeps no rule."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.address: Address = self._socket.getsockname()
        self.received: list[bytes] = []
        # Not at random: an old answer would now and then do for a new question.
        self._tids = itertools.cycle(range(OWN_TIDS, 65_536))
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        while True:
            try:
                self.received.append(self._socket.recv(65536))
            except BlockingIOError:
                break
            except OSError:  # nobody listens where something was sent to
                continue
        self._more.set()

    def send(self, data: bytes, to: Address) -> None:
        try:
            self._socket.sendto(data, to)
        except BlockingIOError:  # lost, like any datagram
            pass

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def __enter__(self) -> Stranger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def answer(self, tid: int) -> ResponseMessage:
        """The answer with this transaction id, once it is there."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                for data in self.received:
                    if data[0] == RESPONSE and data[2:4] == tid.to_bytes(2, "little"):
                        return decode_response(data)
                self._more.clear()
                await self._more.wait()

    async def ask(self, to: Address, command: int, **fields: object) -> ResponseMessage:
        """One request and its answer; sent again now and then, for the node may be busy with worse."""
        tid = next(self._tids)
        data = encode_request(tid, to, command, **fields)  # type: ignore[arg-type]
        waiting = asyncio.ensure_future(self.answer(tid))
        while not waiting.done():
            self.send(data, to)
            await asyncio.wait([waiting], timeout=1.0)
        return await waiting

    async def introduction(self, to: Address) -> ResponseMessage:
        """A node's id and a token of it."""
        return await self.ask(to, UNKNOWN, target=bytes(32), token=bytes(32))

    async def settled(self, to: Address) -> None:
        """Wait until `to` has answered everything that was sent before, and what it does a moment later too."""
        await self.ask(to, PING, internal=True)
        await self.ask(to, DELAYED_PING, internal=True, value=(50).to_bytes(4, "little"))

    def sizes_by_tid(self) -> dict[int, int]:
        """Bytes of all DHT datagrams that came, by transaction id."""
        sizes: dict[int, int] = {}
        for data in self.received:
            tid = int.from_bytes(data[2:4], "little")
            sizes[tid] = sizes.get(tid, 0) + len(data)
        return sizes
