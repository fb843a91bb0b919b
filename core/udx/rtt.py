"""Round-trip time and the retransmission timeout made of it (RFC 6298, with the constants of udx-native 1.21.3)."""

from __future__ import annotations

from typing import Final

INITIAL_RTO: Final = 1.0
MIN_RTO: Final = 1.0
MAX_RTO: Final = 30.0
# A sample this long is a suspended machine rather than a path, and is cut to what the path has shown so far.
SUSPICIOUS_RTT: Final = 5.0
MIN_RTT_WINDOW: Final = 300.0


class RttEstimator:
    """Smoothed RTT, its variation, the smallest RTT of the last five minutes, and the RTO; all in seconds."""

    __slots__ = ("_min_at", "latest", "min_rtt", "rto", "srtt", "variation")

    def __init__(self) -> None:
        self.srtt = 0.0
        """0 while nothing was measured."""
        self.variation = 0.0
        self.latest = 0.0
        self.min_rtt = 0.0
        self.rto = INITIAL_RTO
        self._min_at = 0.0

    def sample(self, rtt: float, now: float) -> None:
        """Take the RTT of a packet that was sent once. Samples of retransmitted packets are ambiguous (Karn)."""
        if self.srtt == 0.0:
            self.srtt = self.latest = self.min_rtt = max(rtt, 1e-6)
            self.variation = rtt / 2
            self._min_at = now
        else:
            ceiling = self.srtt + 5 * self.variation
            if rtt > SUSPICIOUS_RTT and rtt > ceiling:
                rtt = ceiling
            rtt = min(rtt, MAX_RTO)
            self.latest = rtt
            self.variation += (abs(self.srtt - rtt) - self.variation) / 4
            self.srtt += (rtt - self.srtt) / 8
            if rtt <= self.min_rtt or now - self._min_at > MIN_RTT_WINDOW:
                self.min_rtt = max(rtt, 1e-6)
                self._min_at = now
        self.rto = min(max(self.srtt + 4 * self.variation, MIN_RTO), MAX_RTO)
