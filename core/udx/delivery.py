"""The rate at which the path delivers, measured packet by packet (draft-cheng-iccrg-delivery-rate-estimation-02).

Each packet remembers what was delivered when it left (`Snapshot`). When it is acked, what was delivered since, divided
by the time that took, is a sample of the path's rate.
"""

from __future__ import annotations

from .bbr import RateSample
from .sent import SENT_AT, SNAPSHOT, Sent, Snapshot


class DeliveryMeter:
    """`delivered`: bytes so far."""

    __slots__ = ("_app_limited_until", "_delivered_at", "_first_sent_at", "delivered")

    def __init__(self) -> None:
        self.delivered = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._app_limited_until = 0

    def begin(self, now: float) -> None:
        """Nothing was out: the clock of deliveries begins anew."""
        self._first_sent_at = self._delivered_at = now

    def snapshot(self) -> Snapshot:
        """What a packet that leaves now must remember."""
        return self.delivered, self._delivered_at, self._first_sent_at, self._app_limited_until > 0

    def ran_dry(self, flight_bytes: int) -> None:
        """The application had no more to send: what is out says nothing of how much the path could carry."""
        self._app_limited_until = self.delivered + flight_bytes or 1

    def add(self, sample: RateSample, now: float) -> None:
        """Count what one batch of acks delivered."""
        self.delivered += sample.acked
        self._delivered_at = now
        if self.delivered > self._app_limited_until:
            self._app_limited_until = 0

    def measure(self, sample: RateSample, newest: Sent, is_genuine: bool, min_rtt: float, now: float) -> None:
        """Fill in the rate, from the packet sent last of those that were delivered. Not `is_genuine`: the ack is of
        an earlier transmission, which was sent at a time that nobody remembers.
        """
        sent_at = newest[SENT_AT]
        delivered, delivered_at, first_sent_at, app_limited = newest[SNAPSHOT]
        sample.prior_delivered = delivered
        sample.app_limited = app_limited
        if is_genuine:
            self._first_sent_at = sent_at
            sample.delivered = self.delivered - delivered
            sample.interval = max(sent_at - first_sent_at, now - delivered_at)
            if sample.interval < min_rtt:
                sample.interval = 0.0  # acks that were compressed on their way say nothing of the rate
