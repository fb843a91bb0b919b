"""Congestion control: BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00), in bytes and seconds.

Loss says little on the paths people sit behind, so the model is of two measured things: the bandwidth of the
bottleneck (`bandwidth`, the highest delivery rate of ten round trips) and the RTT of the empty path (`min_rtt`).
Their product is what the path holds. `pacing_rate` sends at the bandwidth times a gain that probes for more and then
drains what the probe queued; `window` bounds what is in flight when acks stay out.

    STARTUP --(no 25 % growth in three round trips)--> DRAIN --(queue gone)--> PROBE_BW <--> PROBE_RTT (each 10 s)

udx-native 1.21.3 does the same in packets and milliseconds. The difference that matters here: acks reach us in
batches, one for each time the event loop wakes up, so what a batch acks at once above the bandwidth (`_extra`, of the
last rounds) is added to the window.
"""

from __future__ import annotations

from typing import Final

INITIAL_PACKETS: Final = 10
MIN_PACKETS: Final = 4

_HIGH_GAIN: Final = 2.885  # 2 / ln 2: the least that doubles the rate every round trip
_CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_WINDOW_GAIN: Final = 2.0
_PACING_MARGIN: Final = 0.99
_BANDWIDTH_ROUNDS: Final = 10
_EXTRA_ROUNDS: Final = 5
_MAX_EXTRA_SECONDS: Final = 0.1
_FULL_GROWTH: Final = 1.25
_FULL_ROUNDS: Final = 3
_MIN_RTT_SECONDS: Final = 10.0
_PROBE_RTT_SECONDS: Final = 0.2
_FIRST_RTT: Final = 0.001
# What one turn of the loop can put on the wire: three of them keep sender, path and receiver busy at once.
_QUANTUM_SECONDS: Final = 0.001
_MAX_QUANTUM: Final = 64 * 1024


class RateSample:
    """What one batch of acks says. `delivered` and `interval` are of the newest packet acked (its round trip)."""

    __slots__ = ("acked", "app_limited", "delivered", "interval", "lost", "prior_delivered", "rtt")

    def __init__(self) -> None:
        self.acked = 0
        self.lost = 0
        self.delivered = 0
        self.interval = 0.0
        self.prior_delivered = 0
        self.app_limited = False
        self.rtt = 0.0
        """0 when there is none."""


class WindowedMax:
    """The largest of the last `rounds` rounds, as a descending queue of candidates."""

    __slots__ = ("_queue", "_rounds")

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._queue: list[tuple[int, float]] = []

    @property
    def value(self) -> float:
        return self._queue[0][1] if self._queue else 0.0

    def add(self, round_number: int, value: float) -> None:
        queue = self._queue
        while queue and queue[-1][1] <= value:
            queue.pop()
        queue.append((round_number, value))
        while queue[0][0] < round_number - self._rounds:
            del queue[0]


class Bbr:
    """`window` in bytes, `pacing_rate` in bytes a second. `packet_bytes` follows the path MTU."""

    __slots__ = (
        "_ack_epoch_at",
        "_ack_epoch_bytes",
        "_bandwidth",
        "_cycle_at",
        "_cycle_index",
        "_extra",
        "_full_bandwidth",
        "_full_rounds",
        "_min_rtt_at",
        "_next_round",
        "_pacing_gain",
        "_probe_rtt_until",
        "_rtt_seen",
        "_saved_window",
        "_window_gain",
        "full",
        "min_rtt",
        "mode",
        "pacing_rate",
        "packet_bytes",
        "round",
        "window",
    )

    def __init__(self, packet_bytes: int, delivered: int = 0) -> None:
        self.packet_bytes = packet_bytes
        self.mode = "startup"
        self.full = False
        """The pipe was filled once: `bandwidth` is the path's."""
        self.min_rtt = 0.0
        self.round = 0
        self.window = INITIAL_PACKETS * packet_bytes
        self.pacing_rate = _HIGH_GAIN * self.window / _FIRST_RTT
        self._bandwidth = WindowedMax(_BANDWIDTH_ROUNDS)
        self._extra = WindowedMax(_EXTRA_ROUNDS)
        self._pacing_gain = self._window_gain = _HIGH_GAIN
        self._next_round = delivered
        self._full_bandwidth = 0.0
        self._full_rounds = 0
        self._cycle_index = 0
        self._cycle_at = 0.0
        self._min_rtt_at = 0.0
        self._probe_rtt_until = 0.0
        self._saved_window = 0
        self._rtt_seen = False
        self._ack_epoch_at = 0.0
        self._ack_epoch_bytes = 0

    @property
    def bandwidth(self) -> float:
        """Bytes a second; 0 while nothing was measured."""
        return self._bandwidth.value

    def on_ack(
        self, sample: RateSample, delivered: int, in_flight: int, recovering: bool, now: float
    ) -> None:
        """Take one batch of acks. `delivered` counts all bytes delivered so far, `in_flight` those still out."""
        round_start = sample.prior_delivered >= self._next_round and sample.acked > 0
        if round_start:
            self._next_round = delivered
            self.round += 1
        self._update_bandwidth(sample)
        self._update_extra(sample.acked, now)
        if round_start and not self.full and not sample.app_limited:
            self._check_full()
        self._update_mode(sample, in_flight, now)
        self._update_min_rtt(sample.rtt, in_flight, now)
        self._set_pacing_rate(sample.rtt)
        self._set_window(sample.acked, delivered, recovering)

    # --- the model ----------------------------------------------------------------------------------

    def _update_bandwidth(self, sample: RateSample) -> None:
        if sample.interval <= 0.0:
            return
        rate = sample.delivered / sample.interval
        if not sample.app_limited or rate >= self._bandwidth.value:
            self._bandwidth.add(self.round, rate)

    def _update_extra(self, acked: int, now: float) -> None:
        expected = self.bandwidth * (now - self._ack_epoch_at)
        if self._ack_epoch_bytes <= expected:
            self._ack_epoch_at = now
            self._ack_epoch_bytes = 0
            expected = 0.0
        self._ack_epoch_bytes += acked
        extra = min(self._ack_epoch_bytes - expected, self.window)
        self._extra.add(self.round, max(extra, 0.0))

    def _update_min_rtt(self, rtt: float, in_flight: int, now: float) -> None:
        expired = now - self._min_rtt_at > _MIN_RTT_SECONDS
        if rtt > 0.0 and (self.min_rtt == 0.0 or rtt <= self.min_rtt or expired):
            self.min_rtt = rtt
            expired = expired and self._min_rtt_at > 0.0
            self._min_rtt_at = now
        if expired and self.mode != "probe_rtt":
            self.mode = "probe_rtt"
            self._saved_window = max(self._saved_window, self.window)
            self._probe_rtt_until = 0.0
        if self.mode == "probe_rtt":
            if self._probe_rtt_until == 0.0:
                if in_flight <= MIN_PACKETS * self.packet_bytes:
                    self._probe_rtt_until = now + max(_PROBE_RTT_SECONDS, self.min_rtt)
            elif now >= self._probe_rtt_until:
                self._min_rtt_at = now
                self.window = max(self.window, self._saved_window)
                self._saved_window = 0
                self._enter_probe_bandwidth(now) if self.full else self._enter_startup()

    def _check_full(self) -> None:
        if self.bandwidth >= self._full_bandwidth * _FULL_GROWTH:
            self._full_bandwidth = self.bandwidth
            self._full_rounds = 0
            return
        self._full_rounds += 1
        self.full = self._full_rounds >= _FULL_ROUNDS

    # --- the modes ----------------------------------------------------------------------------------

    def _update_mode(self, sample: RateSample, in_flight: int, now: float) -> None:
        if self.mode == "startup" and self.full:
            self.mode = "drain"
            self._pacing_gain, self._window_gain = 1 / _HIGH_GAIN, _HIGH_GAIN
        if self.mode == "drain" and in_flight <= self._target(1.0):
            self._enter_probe_bandwidth(now)
        if self.mode == "probe_bw":
            elapsed = now - self._cycle_at > self.min_rtt
            gain = self._pacing_gain
            if gain == 1.0:
                done = elapsed
            elif gain > 1.0:
                done = elapsed and (sample.lost > 0 or in_flight >= self._target(gain))
            else:
                done = elapsed or in_flight <= self._target(1.0)
            if done:
                self._cycle_index = (self._cycle_index + 1) % len(_CYCLE)
                self._cycle_at = now
                self._pacing_gain = _CYCLE[self._cycle_index]

    def _enter_startup(self) -> None:
        self.mode = "startup"
        self._pacing_gain = self._window_gain = _HIGH_GAIN

    def _enter_probe_bandwidth(self, now: float) -> None:
        self.mode = "probe_bw"
        self._window_gain = _WINDOW_GAIN
        # Anywhere but in the draining phase; a fixed place keeps simulations repeatable.
        self._cycle_index = 2
        self._cycle_at = now
        self._pacing_gain = _CYCLE[self._cycle_index]

    # --- what follows from it -----------------------------------------------------------------------

    def _target(self, gain: float) -> int:
        """Bytes in flight that use the path fully, times `gain`."""
        if self.min_rtt == 0.0:
            return INITIAL_PACKETS * self.packet_bytes
        quantum = min(max(self.pacing_rate * _QUANTUM_SECONDS, 2 * self.packet_bytes), _MAX_QUANTUM)
        return int(gain * self.bandwidth * self.min_rtt + 3 * quantum)

    def _set_pacing_rate(self, rtt: float) -> None:
        if rtt > 0.0 and not self._rtt_seen:
            self._rtt_seen = True
            self.pacing_rate = _HIGH_GAIN * self.window / rtt
        bandwidth = self.bandwidth
        if bandwidth == 0.0:
            return
        gain = 1.0 if self.mode == "probe_rtt" else self._pacing_gain
        rate = gain * bandwidth * _PACING_MARGIN
        if self.full or rate > self.pacing_rate:
            self.pacing_rate = rate

    def _set_window(self, acked: int, delivered: int, recovering: bool) -> None:
        floor = MIN_PACKETS * self.packet_bytes
        target = self._target(self._window_gain)
        if self.full:
            target += int(min(self._extra.value, self.bandwidth * _MAX_EXTRA_SECONDS))
            self.window = min(self.window + acked, target)
        elif self.window < target or delivered < INITIAL_PACKETS * self.packet_bytes:
            self.window += acked
        self.window = max(self.window, floor)
        if self.mode == "probe_rtt":
            self.window = floor

    # --- loss ---------------------------------------------------------------------------------------

    def on_timeout(self) -> None:
        """A retransmission timeout: nothing of the model is known to hold, so begin with one packet at a time."""
        self._saved_window = max(self._saved_window, self.window)
        self.window = self.packet_bytes

    def on_recovery(self, in_flight: int, acked: int) -> None:
        """Losses begin: for one round send what was delivered, no more (packet conservation)."""
        self._saved_window = max(self._saved_window, self.window)
        self.window = max(in_flight + max(acked, self.packet_bytes), MIN_PACKETS * self.packet_bytes)

    def on_recovered(self) -> None:
        """Everything sent before the losses was delivered."""
        if self.mode != "probe_rtt":
            self.window = max(self.window, self._saved_window)
            self._saved_window = 0
