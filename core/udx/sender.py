"""The sending half of a stream: from bytes to packets, and what becomes of each packet until it is acked.

A packet is in exactly one of these places, in this order:

    queue (bytes, not yet cut)  ->  flight  ->  delivered (acked, or named by a SACK block)
                                      |  ^
                        judged lost   v  |  sent again
                                     lost

`flight` is a dict in the order of the *last* transmission: a retransmitted packet moves to its end. Loss detection
(RACK, RFC 8985: a packet is lost when one sent sufficiently later was delivered) therefore looks only at the front,
and a tail probe only at the back. Delivered packets leave `flight` at once, so a SACK block that is repeated in fifty
acks costs one comparison in each.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .bbr import Bbr, RateSample
from .delivery import DeliveryMeter
from .mtu import PathMtu
from .pacer import Pacer
from .packet import DATA, END, HEADER, HEADER_BYTES, NATIVE_SACK_BLOCKS, SEQ_MASK, header_word
from .rack import Rack
from .rtt import RttEstimator
from .sent import (
    BASE_PAYLOAD,
    EXPIRIES,
    FLAGS,
    INITIAL_REMOTE_WINDOW,
    MAX_EXPIRIES,
    PATH,
    PAYLOAD,
    SENT_AT,
    SNAPSHOT,
    TIMES,
    Sent,
    Snapshot,
    join_head,
)
from .train import MAX_TRAIN_BYTES, MAX_TRAIN_PACKETS, Buffer, Path, TrainMaker

_MIN_PROBE_SECONDS: Final = 0.010
_MAX_PROBES: Final = 3
_DATA_WORD: Final = header_word(DATA)


class Sender:
    """Bytes in, trains out; acks and time in, losses and rates inside."""

    def __init__(self) -> None:
        self.una = 0
        """The oldest seq that is not acked cumulatively."""
        self.next = 0
        self.flight: dict[int, Sent] = {}
        self.lost: dict[int, Sent] = {}
        self.flight_bytes = 0
        self.queue: deque[memoryview] = deque()
        self.queued_bytes = 0
        self.mtu = PathMtu()
        self.max_payload = self.mtu.payload
        self.remote_window = INITIAL_REMOTE_WINDOW
        self.rtt = RttEstimator()
        self.bbr = Bbr(BASE_PAYLOAD + HEADER_BYTES)
        self.pacer = Pacer()
        self.end_wanted = False
        self.end_seq: int | None = None
        self.sacked = 0
        """Packets beyond `una` that were delivered."""
        self.retransmissions = 0
        self.packets_sent = 0
        self.timed_out = False
        self.rto_at: float | None = None
        self.probe_at: float | None = None
        self.rack_at: float | None = None
        self.pace_at: float | None = None
        self.window_probe_at: float | None = None
        self.delivery = DeliveryMeter()
        self._highest = 0  # one beyond the highest seq delivered
        self._known_blocks: dict[int, int] = {}
        self._horizon: int | None = None
        self._rack = Rack()
        self._recovery_until: int | None = None
        self._probes = 0  # tail probes since something was delivered
        self._force_one = False  # the next packet ignores windows: it is the tail probe

    def write(self, data: Buffer) -> None:
        if data:
            self.queue.append(memoryview(data))
            self.queued_bytes += len(data)

    @property
    def idle(self) -> bool:
        """Nothing is queued, in flight or lost."""
        is_settled = self.end_wanted == (self.end_seq is not None)
        return is_settled and not (self.queued_bytes or self.flight or self.lost)

    @property
    def ended(self) -> bool:
        """END and everything before it was acked."""
        return self.end_seq is not None and self.una > self.end_seq

    @property
    def _has_new(self) -> bool:
        return self.queued_bytes > 0 or (self.end_wanted and self.end_seq is None)

    @property
    def _may_send_new(self) -> bool:
        return self._has_new and (self.remote_window > self.flight_bytes or not self.queued_bytes)

    def acknowledge(self, ack: int, blocks: list[tuple[int, int]], now: float) -> None:
        """One batch of acks: cumulative up to `ack`, and `blocks` beyond it. Both lie within what was sent."""
        sample = RateSample()
        newest: Sent | None = None
        newest_seq = -1
        if ack > self.una:
            newest, newest_seq = self._deliver(self.una, ack, sample, None, -1, now)
            self.una = ack
            if self._known_blocks:
                self._known_blocks = {s: e for s, e in self._known_blocks.items() if e > ack}
        known = self._known_blocks
        counted = (
            self.una
        )  # honest blocks ascend and are apart; where others overlap, each packet is looked at once
        for start, end in blocks:
            if known.get(start) == end or end <= counted:
                continue
            fresh = max(known.get(start, start), counted)
            known[start] = counted = end
            newest, newest_seq = self._deliver(fresh, end, sample, newest, newest_seq, now, sacked=True)
        # Blocks are named from the lowest up: what lies behind a full list may have arrived unmentioned.
        was_cut = self._horizon is not None
        self._horizon = blocks[-1][1] if len(blocks) >= NATIVE_SACK_BLOCKS else None
        if newest is not None:
            self._sample(sample, newest, newest_seq, now)
            if was_cut:
                sample.interval = 0.0  # what was delivered unmentioned would count as delivered at once
        self._detect_losses(sample, now)
        if newest is None and not sample.lost:
            return
        self._recover(sample)
        self.bbr.on_ack(
            sample, self.delivery.delivered, self.flight_bytes, self._recovery_until is not None, now
        )
        self._restart_timers(now)

    def _deliver(
        self,
        start: int,
        end: int,
        sample: RateSample,
        newest: Sent | None,
        newest_seq: int,
        now: float,
        sacked: bool = False,
    ) -> tuple[Sent | None, int]:
        """Count the packets `start` to `end` as delivered; those that were already are not there any more."""
        flight, lost, highest = self.flight, self.lost, self._highest
        newest_at = -1.0 if newest is None else newest[SENT_AT]
        too_recent = now - max(0.9 * self.rtt.min_rtt, 0.5 * self.rtt.srtt)
        in_flight = acked = found = 0
        pop = flight.pop
        for seq in range(start, end):
            sent = pop(seq, None)
            if sent is not None:
                size = len(sent[PAYLOAD]) + HEADER_BYTES
                in_flight += size
            else:
                if not lost or (sent := lost.pop(seq, None)) is None:
                    continue
                size = len(sent[PAYLOAD]) + HEADER_BYTES
            acked += size
            found += 1
            if sent[SENT_AT] >= newest_at:
                newest, newest_seq, newest_at = sent, seq, sent[SENT_AT]
            if sent[TIMES] == 1:
                if seq < highest:
                    self._rack.reordered = True
            elif sent[SENT_AT] > too_recent:  # the ack of the first transmission
                self._rack.was_wrong(seq, self.next)
        if self.mtu.probe is not None and start <= self.mtu.probe < end:
            self.mtu.delivered()
            self.max_payload = self.mtu.payload
            self.bbr.packet_bytes = self.max_payload + HEADER_BYTES
        self.flight_bytes -= in_flight
        sample.acked += acked
        self._highest = max(highest, end)
        if sacked:
            self.sacked += found
        else:
            self.sacked -= end - start - found
        return newest, newest_seq

    def _sample(self, sample: RateSample, newest: Sent, newest_seq: int, now: float) -> None:
        """RTT, delivery rate and RACK's mark from the packet sent last of those that were delivered."""
        self._probes = 0
        sent_at = newest[SENT_AT]
        rtt = now - sent_at
        once = newest[TIMES] == 1
        if once:
            self.rtt.sample(rtt, now)
            sample.rtt = max(rtt, 1e-6)
        is_genuine = once or rtt >= self.rtt.min_rtt  # else it is the ack of an earlier transmission
        if is_genuine:
            self._rack.advance(sent_at, newest_seq, rtt)
        self.delivery.add(sample, now)
        self.delivery.measure(sample, newest, is_genuine, self.rtt.min_rtt, now)

    @property
    def _patience(self) -> float:
        is_certain = self._recovery_until is not None or self.sacked >= 3
        return self._rack.patience(self.rtt, is_certain=is_certain)

    def _detect_losses(self, sample: RateSample, now: float) -> None:
        self.rack_at = None
        newest_at, newest_seq, patience = self._rack.sent_at, self._rack.seq, self._patience
        gone: list[int] = []
        for seq, sent in self.flight.items():
            sent_at = sent[SENT_AT]
            if sent_at > newest_at or (sent_at == newest_at and seq > newest_seq):
                break
            if sent_at + patience > now:
                self.rack_at = sent_at + patience
                break
            if self._horizon is None or seq < self._horizon:
                gone.append(seq)
        for seq in gone:
            sample.lost += self._lose(seq)

    def _lose(self, seq: int) -> int:
        """Move a packet from `flight` to `lost`; its size, if that says anything of the path's capacity."""
        sent = self.flight.pop(seq)
        size: int = len(sent[PAYLOAD]) + HEADER_BYTES
        self.flight_bytes -= size
        self.lost[seq] = sent
        if seq == self.mtu.probe:
            self.mtu.lost()
            return 0
        return size

    def _recover(self, sample: RateSample) -> None:
        if self._recovery_until is not None and self.una >= self._recovery_until:
            self._recovery_until = None
            self.bbr.on_recovered()
            self._rack.recovered(self.una)
        if sample.lost and self._recovery_until is None:
            self._recovery_until = self.next
            self.bbr.on_recovery(self.flight_bytes, sample.acked)

    def deadline(self) -> float | None:
        """The earliest moment at which `on_timer` has something to do."""
        times = [
            at
            for at in (self.rto_at, self.probe_at, self.rack_at, self.pace_at, self.window_probe_at)
            if at is not None
        ]
        return min(times) if times else None

    def _restart_timers(self, now: float) -> None:
        """After progress: a full RTO for what is still out."""
        if not self.flight and not self.lost:
            self.rto_at = self.probe_at = None
            return
        self.rto_at = now + self.rtt.rto
        self._arm_probe(now)

    def _arm_probe(self, now: float) -> None:
        srtt = self.rtt.srtt
        if self._probes >= _MAX_PROBES or not self.flight or not srtt:
            self.probe_at = None
            return
        wait = max(2 * srtt, _MIN_PROBE_SECONDS)
        if len(self.flight) == 1:
            wait += 0.002
        at = now + wait * (1 << self._probes)
        self.probe_at = at if self.rto_at is not None and at < self.rto_at else None

    def on_timer(self, now: float) -> None:
        """Do what is due; `fill` sends what that allows. Sets `timed_out` when the path is dead."""
        if self.pace_at is not None and self.pace_at <= now:
            self.pace_at = None
        if self.rack_at is not None and self.rack_at <= now:
            sample = RateSample()
            self._detect_losses(sample, now)
            self._recover(sample)
        if self.probe_at is not None and self.probe_at <= now:
            self._send_probe(now)
        if self.rto_at is not None and self.rto_at <= now:
            self._expire(now)

    def _send_probe(self, now: float) -> None:
        """Tail loss probe: something lost, something new, or the newest again, so that an ack tells what became of
        the tail. RFC 8985 leaves a lost retransmission to the RTO, which is a second on a path of a millisecond.
        """
        self.probe_at = None
        if not self.flight:
            return
        self._probes += 1
        if not self.lost and (not self._has_new or self.remote_window <= self.flight_bytes):
            self._lose(next(reversed(self.flight)))
        self._force_one = True
        self.rto_at = now + self.rtt.rto

    def _expire(self, now: float) -> None:
        self.rto_at = now + 2 * self.rtt.rto
        self.probe_at = None
        oldest = self.flight.get(self.una) or self.lost.get(self.una)
        if oldest is not None:
            if oldest[EXPIRIES] >= MAX_EXPIRIES:
                self.timed_out = True
                return
            oldest[EXPIRIES] += 1
        sample = RateSample()
        old = now - self._patience
        for seq in [seq for seq, sent in self.flight.items() if seq == self.una or sent[SENT_AT] < old]:
            sample.lost += self._lose(seq)
        if sample.lost:
            self._recovery_until = self.next
            self.bbr.on_timeout()

    def path_changed(self) -> None:
        """Another path has another RTT, rate and MTU: measure them anew."""
        self.rtt = RttEstimator()
        self.mtu = PathMtu()
        self.max_payload = self.mtu.payload
        self.bbr = Bbr(BASE_PAYLOAD + HEADER_BYTES, self.delivery.delivered)
        self.pacer = Pacer()
        self._rack.forget_path()
        self._recovery_until = None

    def fill(self, out: TrainMaker, path: Path, window: int, ack: int, now: float) -> bool:
        """Add what may leave now to `out`; True when a packet with the current `ack` is among it."""
        self.pace_at = None
        if not self.lost and not self._has_new:
            return False
        before = self.packets_sent
        wanted = self.queued_bytes + len(self.lost) * (self.max_payload + HEADER_BYTES) + HEADER_BYTES
        budget = self.pacer.budget(self.bbr.pacing_rate, wanted, now)
        if self._force_one:
            self._force_one = False
            budget = max(budget, 1)
            room = max(self.bbr.window - self.flight_bytes, self.bbr.packet_bytes)
        else:
            room = self.bbr.window - self.flight_bytes
            if not self.flight:
                room = max(room, self.bbr.packet_bytes)
        if budget > 0 and room > 0:
            if self.lost:
                spent = self._retransmit(out, min(budget, room), window, ack, now)
                budget -= spent
                room -= spent
            if self._has_new and not self.lost and budget > 0 and room > 0:
                spent = self._send_new(out, path, budget, room, window, ack, now)
                budget -= spent
                room -= spent
        if budget <= 0 < room and (self.lost or self._may_send_new):
            self.pace_at = self.pacer.ready_at(self.bbr.pacing_rate, wanted, now)
        elif self._has_new and not self._may_send_new:
            self._await_window(now)
        elif not self._has_new and not self.lost and self.flight_bytes < self.bbr.window:
            self.delivery.ran_dry(self.flight_bytes)
        if self.packets_sent == before:
            return False
        if self.rto_at is None:
            self.rto_at = now + self.rtt.rto
        self._arm_probe(now)
        return True

    def _snapshot(self, now: float) -> Snapshot:
        if self.una == self.next:
            self.delivery.begin(now)
        return self.delivery.snapshot()

    def _retransmit(self, out: TrainMaker, budget: int, window: int, ack: int, now: float) -> int:
        """Send lost packets again, lowest first, in their own boundaries but with the current ack and window."""
        snapshot = self._snapshot(now)
        spent = 0
        for seq in sorted(self.lost):
            if spent >= budget:
                break
            sent = self.lost.pop(seq)
            path: Path = sent[PATH]
            header = HEADER.pack(
                header_word(sent[FLAGS]), path.remote_id, window, seq & SEQ_MASK, ack & SEQ_MASK
            )
            out.add(header, sent[PAYLOAD], path)
            sent[SENT_AT] = now
            sent[SNAPSHOT] = snapshot
            sent[TIMES] += 1
            size = len(sent[PAYLOAD]) + HEADER_BYTES
            spent += size
            self.flight[seq] = sent
            self.flight_bytes += size
            self.retransmissions += 1
            self.packets_sent += 1
        self.pacer.spend(spent)
        return spent

    def _send_new(
        self, out: TrainMaker, path: Path, budget: int, room: int, window: int, ack: int, now: float
    ) -> int:
        left = min(budget, room)
        size = self.max_payload + HEADER_BYTES
        if self.queued_bytes:  # END alone needs no window
            granted = self.remote_window - self.flight_bytes
            if self.remote_window and not self.flight:
                granted = max(granted, size)  # a window of crumbs lets one packet pass
            if granted < size:
                return 0
            left = min(left, granted // size * size)
        snapshot = self._snapshot(now)
        spent = 0
        padding = self.mtu.padding if self.una and not self.lost else 0
        if padding and self.queued_bytes >= self.max_payload and left >= size + padding:
            self.mtu.sent(self.next)
            self._send_train(out, path, 1, window, ack, now, snapshot)
            out.pad(padding)
            left -= size + padding
            spent += size + padding
        while self.queued_bytes >= self.max_payload and left > 0:
            count = min(max(left // size, 1), MAX_TRAIN_PACKETS, MAX_TRAIN_BYTES // size)
            count = self._send_train(out, path, count, window, ack, now, snapshot)
            left -= count * size
            spent += count * size
        if left > 0 and self._has_new and self.queued_bytes < self.max_payload:
            spent += self._send_rest(out, path, window, ack, now, snapshot)
        self.pacer.spend(spent)
        return spent

    def _send_train(
        self, out: TrainMaker, path: Path, count: int, window: int, ack: int, now: float, snapshot: Snapshot
    ) -> int:
        """Up to `count` full packets in one train; returns how many. Payloads are slices of what was written."""
        size = self.max_payload
        head = self.queue[0]
        if len(head) < size:
            head = join_head(self.queue, min(self.queued_bytes, count * size))
        count = min(count, len(head) // size)
        end = count * size
        buffers: list[Buffer] = []
        append, pack, flight = buffers.append, HEADER.pack, self.flight
        seq, remote_id, wire_ack = self.next, path.remote_id, ack & SEQ_MASK
        last = END if self._is_last(end) else 0
        for at in range(0, end, size):
            payload = head[at : at + size]
            append(pack(_DATA_WORD, remote_id, window, seq & SEQ_MASK, wire_ack))
            append(payload)
            flight[seq] = [payload, DATA, now, snapshot, 1, path, 0]
            seq += 1
        if last:
            buffers[-2] = pack(header_word(DATA | END), remote_id, window, (seq - 1) & SEQ_MASK, wire_ack)
            flight[seq - 1][FLAGS] = DATA | END
            self.end_seq = seq - 1
        self.next = seq
        self.packets_sent += count
        self.flight_bytes += end + count * HEADER_BYTES
        self.queued_bytes -= end
        if end == len(head):
            self.queue.popleft()
        else:
            self.queue[0] = head[end:]
        out.add_train(buffers, count, size + HEADER_BYTES, path)
        return count

    def _is_last(self, size: int) -> bool:
        return self.end_wanted and self.end_seq is None and self.queued_bytes == size

    def _send_rest(
        self, out: TrainMaker, path: Path, window: int, ack: int, now: float, snapshot: Snapshot
    ) -> int:
        """What is left and smaller than a packet, with END if nothing will follow."""
        payload: Buffer = b""
        flags = 0
        if self.queued_bytes:
            payload = join_head(self.queue, self.queued_bytes)
            flags = DATA
        if self._is_last(len(payload)):
            flags |= END
            self.end_seq = self.next
        self.queue.clear()
        self.queued_bytes = 0
        seq = self.next
        header = HEADER.pack(header_word(flags), path.remote_id, window, seq & SEQ_MASK, ack & SEQ_MASK)
        out.add(header, payload, path)
        size = len(payload) + HEADER_BYTES
        self.flight[seq] = [payload, flags, now, snapshot, 1, path, 0]
        self.flight_bytes += size
        self.next += 1
        self.packets_sent += 1
        return size

    def _await_window(self, now: float) -> None:
        """The remote's window is closed and nothing is out that would bring news of it."""
        if self.window_probe_at is None and not self.flight and not self.lost:
            self.window_probe_at = now + self.rtt.rto
