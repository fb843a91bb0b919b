"""Which packets are lost (RACK, RFC 8985): those sent sufficiently long before one that was delivered.

"Sufficiently" is the reordering window: nothing while the path has shown no reordering, then a quarter of its RTT, and
more for a while after a loss that was none.
"""

from __future__ import annotations

from typing import Final

from .rtt import RttEstimator

_MIN_WINDOW: Final = 0.001
_MAX_LENIENCY: Final = 16


class Rack:
    """`sent_at`, `seq` and `rtt` are of the packet sent last of all that were delivered."""

    __slots__ = ("_lenient_until", "leniency", "reordered", "rtt", "sent_at", "seq")

    def __init__(self) -> None:
        self.reordered = False
        """The path was seen to deliver a packet behind one sent later."""
        self.leniency = 1
        """What the window is multiplied with."""
        self._lenient_until = 0
        self.forget_path()

    def forget_path(self) -> None:
        """Nothing is known of the path that packets go from now on."""
        self.sent_at, self.seq, self.rtt = -1.0, -1, 0.0

    def advance(self, sent_at: float, seq: int, rtt: float) -> None:
        """A packet was delivered."""
        if (sent_at, seq) > (self.sent_at, self.seq):
            self.sent_at, self.seq, self.rtt = sent_at, seq, rtt

    def was_wrong(self, seq: int, next_seq: int) -> None:
        """The packet `seq` was called lost and only late: wait longer, until all that is out now is acked."""
        self.reordered = True
        if seq >= self._lenient_until and self.leniency < _MAX_LENIENCY:
            self.leniency *= 2
            self._lenient_until = next_seq

    def recovered(self, una: int) -> None:
        """Losses were made good without another mistake."""
        if self.leniency > 1 and una > self._lenient_until:
            self.leniency //= 2

    def patience(self, path: RttEstimator, *, is_certain: bool) -> float:
        """Seconds after which a packet is lost if one sent later was delivered. `is_certain`: there are losses."""
        if not self.reordered and is_certain:
            return self.rtt
        window = max(path.min_rtt / 4, _MIN_WINDOW) * self.leniency
        return self.rtt + min(window, max(path.srtt, _MIN_WINDOW))
