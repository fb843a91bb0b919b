"""The five commands every node answers, whatever is built on top (dht-rpc 6.27.0 `_onrequest`)."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from ..limits import MAX_DELAYED_PINGS
from .address import decode_address
from .commands import (
    DELAYED_PING,
    DOWN_HINT,
    FIND_NODE,
    MAX_PING_DELAY_MS,
    PING,
    PING_NAT,
    UNKNOWN_COMMAND,
)

if TYPE_CHECKING:
    from .incoming import IncomingRequest
    from .node import DhtNode


class Answers:
    """Belongs to one node. A request whose value makes no sense gets no answer at all."""

    def __init__(self, node: DhtNode) -> None:
        self._node = node
        self._delayed: list[tuple[float, int, IncomingRequest]] = []
        self._order = count()

    def answer(self, request: IncomingRequest) -> None:
        command = request.command
        if command == PING:
            request.reply(token=False, closer_nodes=False)
        elif command == FIND_NODE:
            if request.target is not None:
                request.reply(token=False)
        elif command == PING_NAT:
            self._answer_other_port(request)
        elif command == DOWN_HINT:
            if request.value is not None and len(request.value) >= 6:
                self._node.upkeep.hinted(decode_address(request.value, 0)[0])
                request.reply(token=False, closer_nodes=False)
        elif command == DELAYED_PING:
            self._delay(request)
        else:
            request.error(UNKNOWN_COMMAND)

    def _answer_other_port(self, request: IncomingRequest) -> None:
        if request.value is None or len(request.value) < 2:
            return
        port = int.from_bytes(request.value[:2], "little")
        if port:
            request.reply(token=False, closer_nodes=False, to=(request.address[0], port))

    def _delay(self, request: IncomingRequest) -> None:
        if request.value is None or len(request.value) < 4:
            return
        delay = int.from_bytes(request.value[:4], "little")
        if delay <= MAX_PING_DELAY_MS and len(self._delayed) < MAX_DELAYED_PINGS:
            heappush(self._delayed, (self._node.now + delay / 1000, next(self._order), request))
            self._node.wake()

    def deadline(self) -> float | None:
        return self._delayed[0][0] if self._delayed else None

    def send_delayed(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            heappop(self._delayed)[2].reply(token=False, closer_nodes=False)

    def clear(self) -> None:
        self._delayed.clear()
