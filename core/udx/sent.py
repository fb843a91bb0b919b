"""A packet that was sent, the queue it was cut from, and the constants both ends agree on (udx-native 1.21.3)."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

BASE_PAYLOAD: Final = 1152
"""1200 bytes of IP packet, which every path carries, less 20 of IP, 8 of UDP and 20 of UDX."""
INITIAL_REMOTE_WINDOW: Final = 4 * 1024 * 1024
MAX_EXPIRIES: Final = 6
"""Retransmission timeouts a packet survives; the seventh ends the stream (13 s with the RTO at its floor)."""

# The fields of a packet that was sent: a list, because there is one for each packet.
PAYLOAD: Final = 0
FLAGS: Final = 1
SENT_AT: Final = 2
SNAPSHOT: Final = 3  # the `Snapshot` of when it was sent; shared by a train
TIMES: Final = 4
PATH: Final = 5
EXPIRIES: Final = 6
Sent: TypeAlias = list[Any]

Snapshot: TypeAlias = tuple[int, float, float, bool]
"""(delivered, delivered_at, first_sent_at, app_limited): what a rate sample is measured from."""


def join_head(queue: deque[memoryview], size: int) -> memoryview:
    """Make the first entry of the queue at least `size` bytes long; copies no more than that."""
    if len(queue[0]) >= size:
        return queue[0]
    parts: list[memoryview] = []
    missing = size
    while missing > 0:
        part = queue.popleft()
        if len(part) > missing:
            queue.appendleft(part[missing:])
            part = part[:missing]
        parts.append(part)
        missing -= len(part)
    head = memoryview(b"".join(parts)) if len(parts) > 1 else parts[0]
    queue.appendleft(head)
    return head
