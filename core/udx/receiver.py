"""The receiving half of a stream: order out of disorder, and what to say about it in acks and windows."""

from __future__ import annotations

from typing import Final

from .packet import END, MAX_SACK_BLOCKS
from .ranges import SequenceRanges

# A window smaller than this is advertised as closed: a peer would fill it with crumbs (RFC 9293, 3.8.6.2.2).
_SILLY_WINDOW: Final = 2048
# What a packet beyond a gap costs us besides its payload, which a stranger may leave empty.
_PACKET_COST: Final = 256


class Receiver:
    """What came, by sequence number. `next` is the ack value: the lowest number not received."""

    __slots__ = (
        "capacity",
        "end_seq",
        "ended",
        "held",
        "held_bytes",
        "next",
        "ranges",
        "unread",
    )

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        """Bytes we are ready to hold for this stream: out of order, or in order and unread."""
        self.next = 0
        self.held: dict[int, tuple[int, bytes]] = {}
        self.held_bytes = 0
        self.ranges = SequenceRanges()
        self.unread = bytearray()
        self.end_seq: int | None = None
        self.ended = False
        """The remote's END was received in order."""

    @property
    def unread_bytes(self) -> int:
        return len(self.unread)

    @property
    def window(self) -> int:
        """Bytes the sender may have in flight."""
        room = self.capacity - self.held_bytes - self.unread_bytes
        return room if room >= _SILLY_WINDOW else 0

    @property
    def is_overfull(self) -> bool:
        """Far more is held than the window ever granted: the sender ignores it."""
        return self.held_bytes + self.unread_bytes >= 2 * self.capacity

    def hold(self, seq: int, flags: int, payload: memoryview) -> bool:
        """Keep a packet beyond a gap. False when there is no room for it, which only a sender that ignores our
        window can bring about: such a packet counts as not received.
        """
        if seq in self.held or (self.end_seq is not None and seq > self.end_seq):
            return True
        size = len(payload)
        kept = self.held_bytes + size + (len(self.held) + 1) * _PACKET_COST
        if kept + self.unread_bytes > 2 * self.capacity:
            return False
        if flags & END:
            self.end_seq = seq
        self.held[seq] = flags, bytes(payload)
        self.held_bytes += size
        self.ranges.add(seq)
        return True

    def take(self, flags: int) -> None:
        """Count the packet `next` as received."""
        self.next += 1
        if flags & END:
            self.ended = True
            self.end_seq = self.next - 1

    def drain(self, chunks: list[memoryview | bytes]) -> None:
        """Append what a filled gap released to `chunks`."""
        held = self.held
        while (found := held.pop(self.next, None)) is not None:
            flags, payload = found
            self.held_bytes -= len(payload)
            if payload:
                chunks.append(payload)
            self.take(flags)
            if self.ended:
                held.clear()
                self.held_bytes = 0
                break
        self.ranges.drop_below(self.next)

    def sack_blocks(self) -> list[tuple[int, int]]:
        """What is held beyond the gap, lowest first."""
        return self.ranges.blocks(MAX_SACK_BLOCKS) if self.held else []
