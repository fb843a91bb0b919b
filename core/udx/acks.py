"""What the packets of the remote say about ours, noted while they come and worked through once for them all."""

from __future__ import annotations

from .packet import sack_pairs, unwrap


class AckNotes:
    """The newest cumulative ack, the newest SACK region, and the newest window, of any number of packets."""

    __slots__ = ("_region", "_region_ack", "_window_ack", "_window_seq", "ack")

    def __init__(self) -> None:
        self.ack: int | None = None
        """The highest since `take`; None when nothing came."""
        self._region: bytes | None = None
        self._region_ack = 0
        self._window_seq = 0
        self._window_ack = 0

    def note(self, ack: int, seq: int, region: memoryview | None) -> bool:
        """Remember what a packet says; True when its window is newer than what was known. `ack` was checked: it is
        of something sent and not acked before. `seq` is the packet's own.
        """
        if self.ack is None or ack > self.ack:
            self.ack = ack
        if region is not None and ack >= self.ack:
            self._region, self._region_ack = bytes(region), ack
        if seq > self._window_seq or (seq == self._window_seq and ack >= self._window_ack):
            self._window_seq, self._window_ack = seq, ack
            return True
        return False

    def take(self, sent: int) -> tuple[int, list[tuple[int, int]]]:
        """The ack and the SACK blocks noted, and forget them. Blocks beyond `sent`, the next seq, are not ours."""
        assert self.ack is not None
        ack, region = self.ack, self._region
        self.ack = self._region = None
        if region is None:
            return ack, []
        near = self._region_ack
        return ack, [
            (first, last)
            for start, end in sack_pairs(region)
            if near <= (first := unwrap(start, near)) < (last := unwrap(end, near)) <= sent
        ]
