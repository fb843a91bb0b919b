"""Requests of ours: transaction ids, the rate window, timeouts and retries.

Source: dht-rpc 6.27.0 `lib/io.js`. A request waits in one queue until the rate window has room; its timeout runs
from the moment it is handed out for sending. Answers are matched by transaction id alone, from any source, because
an answer through a relay comes from somebody we did not ask; ids are therefore drawn at random, not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from struct import Struct
from typing import Any, Final, NamedTuple, TypedDict

from ..errors import MeadowError, RequestCancelled, RequestTimeout
from ..limits import MAX_DHT_REQUESTS
from .address import Address, expand_addresses
from .commands import REQUEST_RETRIES, REQUEST_TIMEOUT_SECONDS, Socket
from .rate import RateWindow


class Datagram(NamedTuple):
    """`ttl` 0 means the system's own."""

    data: bytes
    address: Address
    socket: Socket
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request of ours. `id` is checked: it is what the sender's address hashes to, or None.

    `address` is whom it came from, `to` how they see us, `rtt` seconds since the request first left; `error` is 0
    for success. `closer_nodes` are as the remote wrote them, six bytes each in the compact form: nobody has vouched
    for any of them.
    """

    address: Address
    id: bytes | None
    to: Address
    token: bytes | None
    compact_closer_nodes: bytes
    error: int
    value: bytes | None
    rtt: float
    socket: Socket

    @property
    def closer_nodes(self) -> list[Address]:
        return expand_addresses(self.compact_closer_nodes)


NO_TID: Final = -1
_TIDS: Final = Struct("<64H")

OnReply = Callable[[Reply], None]
OnError = Callable[[MeadowError], None]


def ignore(_: Any) -> None:
    """For callers to whom an answer, or its absence, means nothing."""


class RequestOptions(TypedDict, total=False):
    """How a request travels and whom its end concerns; everything has a default.

    `socket` to leave from; `ttl` of its datagrams; `retries` after the first of its attempts, `timeout` seconds each;
    `node_id` names a node of the routing table, which is dropped there when this request times out. `on_slow` runs
    at the first timeout, exactly one of `on_reply` and `on_error` at the end; `group` ends its members together.
    """

    socket: Socket
    ttl: int
    retries: int
    timeout: float
    node_id: bytes
    on_reply: OnReply
    on_error: OnError
    on_slow: Callable[[], None]
    group: RequestGroup


class RequestGroup:
    """Requests that end together (a query's, a connection attempt's)."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[Pending, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, pending: Pending) -> None:
        self._members[pending] = None

    def discard(self, pending: Pending) -> None:
        self._members.pop(pending, None)

    def cancel(self, error: MeadowError | None = None) -> None:
        """Every member's `on_error` runs with `error` (`RequestCancelled` by default)."""
        while self._members:
            next(iter(self._members)).cancel(error)


@dataclass(slots=True, eq=False)
class Pending:
    """One request of ours until its answer, its last timeout or `cancel`; exactly one callback ends it."""

    requests: OutgoingRequests
    tid: int
    to: Address
    command: int
    internal: bool
    socket: Socket
    encode: Callable[[], bytes]
    node_id: bytes | None
    ttl: int
    retries: int
    timeout: float
    on_reply: OnReply
    on_error: OnError
    on_slow: Callable[[], None] | None
    group: RequestGroup | None
    data: bytes | None = None
    attempts: int = 0
    first_sent: float = 0.0
    done: bool = False

    def cancel(self, error: MeadowError | None = None) -> None:
        if not self.done:
            self.requests.finish(self)
            self.on_error(error or RequestCancelled("the request was cancelled"))


class OutgoingRequests:
    """All requests of one node. `draw` gives random bytes; `on_timeout` hears of requests that were given up."""

    __slots__ = (
        "_by_tid",
        "_counter",
        "_draw",
        "_queue",
        "_tids",
        "_timeouts",
        "on_timeout",
        "responses",
        "retried",
        "timeouts",
        "total",
        "window",
    )

    def __init__(self, draw: Callable[[int], bytes], on_timeout: Callable[[Pending], None]) -> None:
        self.window = RateWindow()
        self.on_timeout = on_timeout
        self.total = self.responses = self.timeouts = self.retried = 0
        self._draw = draw
        self._tids: list[int] = []
        self._by_tid: dict[int, Pending] = {}
        self._queue: deque[Pending] = deque()
        self._timeouts: list[tuple[float, int, int, Pending]] = []
        self._counter = count()

    def __len__(self) -> int:
        """Requests under way or waiting to be sent."""
        return len(self._by_tid)

    def create(
        self,
        to: Address,
        command: int,
        encode: Callable[[int], bytes],
        *,
        internal: bool,
        socket: Socket,
        options: RequestOptions,
    ) -> Pending:
        """Queue one request; `encode(tid)` is called when it is first sent. Above the limit the next timer ends it."""
        tid = self._free_tid() if len(self._by_tid) < MAX_DHT_REQUESTS else NO_TID
        pending = Pending(
            self,
            tid,
            to,
            command,
            internal,
            socket,
            encode=lambda: encode(tid),
            node_id=options.get("node_id"),
            ttl=options.get("ttl", 0),
            retries=options.get("retries", REQUEST_RETRIES),
            timeout=options.get("timeout", REQUEST_TIMEOUT_SECONDS),
            on_reply=options.get("on_reply", ignore),
            on_error=options.get("on_error", ignore),
            on_slow=options.get("on_slow"),
            group=options.get("group"),
        )
        self.total += 1
        if tid == NO_TID:
            heappush(self._timeouts, (0.0, next(self._counter), 0, pending))
        else:
            self._by_tid[tid] = pending
            self._queue.append(pending)
        if pending.group is not None:
            pending.group.add(pending)
        return pending

    def _free_tid(self) -> int:
        while True:
            if not self._tids:
                self._tids.extend(_TIDS.unpack(self._draw(_TIDS.size)))
            tid = self._tids.pop()
            if tid not in self._by_tid:
                return tid

    def answered(self, tid: int) -> Pending | None:
        """The request with this id, which ends here; None for an answer nobody waits for."""
        pending = self._by_tid.get(tid)
        if pending is None or pending.attempts == 0:
            return None
        self.finish(pending)
        self.responses += 1
        return pending

    def finish(self, pending: Pending) -> None:
        pending.done = True
        self._by_tid.pop(pending.tid, None)
        if pending.attempts:
            self.window.answered()
        if pending.group is not None:
            pending.group.discard(pending)

    def to_send(self, now: float) -> list[Datagram]:
        """What the rate window lets out now; every one's timeout starts."""
        if not self._queue:
            return []
        self.window.advance(now)
        out: list[Datagram] = []
        while self._queue and not self.window.full:
            pending = self._queue.popleft()
            if pending.done:
                continue
            if pending.data is None:
                pending.data = pending.encode()
                pending.first_sent = now
            pending.attempts += 1
            self.window.sent()
            heappush(self._timeouts, (now + pending.timeout, next(self._counter), pending.attempts, pending))
            out.append(Datagram(pending.data, pending.to, pending.socket, pending.ttl))
        return out

    def deadline(self) -> float | None:
        """The next timeout, or the next opening of the window when something waits for it."""
        timeouts = self._timeouts
        while timeouts and (timeouts[0][3].done or timeouts[0][3].attempts != timeouts[0][2]):
            heappop(timeouts)
        due = timeouts[0][0] if timeouts else None
        if self._queue and self.window.full:
            opens = self.window.moves_at
            if opens is not None and (due is None or opens < due):
                return opens
        return due

    def expire(self, now: float) -> None:
        """Retry or give up whatever has waited long enough."""
        while self._timeouts and self._timeouts[0][0] <= now:
            _, _, attempt, pending = heappop(self._timeouts)
            if not pending.done and pending.attempts == attempt:
                self._expired(pending)

    def _expired(self, pending: Pending) -> None:
        if pending.tid == NO_TID:
            pending.cancel(RequestCancelled(f"{MAX_DHT_REQUESTS} requests were waiting already"))
            return
        if pending.on_slow is not None:
            on_slow, pending.on_slow = pending.on_slow, None
            on_slow()
            if pending.done:
                return
        if pending.attempts > pending.retries:
            self.timeouts += 1
            self.finish(pending)
            host, port = pending.to
            pending.on_error(RequestTimeout(f"{host}:{port} did not answer"))
            self.on_timeout(pending)
        else:
            self.retried += 1
            self._queue.append(pending)

    def cancel_all(self, error: MeadowError) -> None:
        for pending in list(self._by_tid.values()):
            pending.cancel(error)
        self._queue.clear()
        self._timeouts.clear()
        self.window.clear()
