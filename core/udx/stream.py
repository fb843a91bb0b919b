"""One UDX stream: an ordered, reliable stream of bytes each way, and unreliable messages beside it.

Sans I/O: datagrams and the time come in, trains of datagrams go out, and callbacks tell the application.

    receive(...)*  ->  trains_to_send(now)  ->  deadline()  ->  on_timer(now)

What acks say is only noted by `receive` and worked through by `trains_to_send`, so a hundred acks that one wake-up of
the event loop brought cost one pass over the state. The same call makes our acks: one for all that came since the
last, at once and never delayed by a timer. udx-native 1.21.3 acks every packet; its sender needs only that the ack
of what it sent comes at once, and sent no more packets again for one ack in sixteen than for one each (measured; see
`core/net/udp.py` for the sixteen).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from ..errors import BadArgument, LocalProtocolError, MeadowError, StreamReset, StreamTimedOut
from .acks import AckNotes
from .bbr import INITIAL_PACKETS
from .packet import (
    DATA,
    DESTROY,
    END,
    HEADER,
    HEADER_BYTES,
    HEARTBEAT,
    MAGIC_WORD,
    MESSAGE,
    SACK,
    SEQ_MASK,
    encode_sack,
    header_word,
    unwrap,
)
from .receiver import Receiver
from .sender import Sender
from .sent import BASE_PAYLOAD
from .train import Address, Path, TrainMaker, datagrams
from .train import Train as Train

DEFAULT_CAPACITY: Final = 1024 * 1024
_DATA_WORD: Final = header_word(DATA)
_ACK_WORD: Final = header_word(0)
_SACK_WORD: Final = header_word(SACK)
_DRAINED_BYTES: Final = 256 * 1024
# While the remote has no RTT, a lost ack costs it a second; so one that stands for several of its first is said twice.
_FIRST_PACKETS: Final = INITIAL_PACKETS
# Messages, and packets that are relayed, while the kernel takes nothing: beyond this they are lost.
_MAX_WAITING_TRAINS: Final = 256

Firewall = Callable[[Hashable, Address], bool]


def _nothing(*_: object) -> None:
    return


class UdxStream:
    """The stream that packets for `local_id` belong to. It can receive from now on, and send once connected.

    Callbacks, all optional: `on_data(bytes)` in order; `on_end()` after the remote's last byte; `on_close(error)` once,
    at the very end (None: both sides ended in order); `on_drain()` when little is left of what was written;
    `on_message(bytes)`; `on_remote_changed()`; `on_acked()`. Two are for whoever drives the stream: `on_wake(stream)`
    when `trains_to_send` should be called soon, and `on_release(stream)` when no packet will be for it any more.

    `firewall(link, address)` is asked when a packet comes over another local socket than the connected one, also
    while the stream is not connected; it may call `connect`. Without one such packets are dropped.
    """

    def __init__(
        self, local_id: int, *, capacity: int = DEFAULT_CAPACITY, firewall: Firewall | None = None
    ) -> None:
        if not 0 <= local_id <= SEQ_MASK:
            raise BadArgument(f"a stream id is an unsigned 32-bit integer, not {local_id}")
        self.local_id = local_id
        self.firewall = firewall
        self.on_data: Callable[[bytes], None] = _nothing
        self.on_end: Callable[[], None] = _nothing
        self.on_close: Callable[[MeadowError | None], None] = _nothing
        self.on_drain: Callable[[], None] = _nothing
        self.on_acked: Callable[[], None] = _nothing
        self.on_message: Callable[[bytes], None] = _nothing
        self.on_remote_changed: Callable[[], None] = _nothing
        self.on_wake: Callable[[UdxStream], None] = _nothing
        self.on_release: Callable[[UdxStream], None] = _nothing
        self.path: Path | None = None
        self.closed = False
        self.keep_alive: float | None = None
        """Seconds of silence after which an idle stream sends a HEARTBEAT; None: never."""
        self.bytes_received = 0
        self.packets_received = 0
        self.sender = Sender()
        self.receiver = Receiver(capacity)
        self._paused = False
        self._ack_due = False
        self._acked = 0
        self._advertised = capacity
        self._seen_ack = (-1, -1)  # (ack, window) as on the wire, of the last packet looked at
        self._acks = AckNotes()
        self._drain_wanted = False
        self._end_reported = False
        self._outbox = TrainMaker()
        self._relay: UdxStream | None = None
        self._remote_change_until: int | None = None
        self._heartbeat_at: float | None = None

    @property
    def connected(self) -> bool:
        return self.path is not None

    @property
    def remote_address(self) -> Address | None:
        return None if self.path is None else self.path.address

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds; None before the first measurement."""
        return self.sender.rtt.srtt or None

    @property
    def bytes_in_flight(self) -> int:
        """Sent and not yet acked, judged lost or not, headers included."""
        return self.sender.flight_bytes

    @property
    def unsent_bytes(self) -> int:
        """Written and not sent once."""
        return self.sender.queued_bytes

    @property
    def writable(self) -> bool:
        """Whether `write` takes bytes: connected, not ended, not closed."""
        return self.path is not None and not self.closed and not self.sender.end_wanted

    def connect(self, remote_id: int, address: Address, link: Hashable = None) -> None:
        """Begin to send to the stream `remote_id` at `address`, over the local socket `link`. No packet is needed."""
        if self.closed:
            return
        if self.path is not None:
            raise LocalProtocolError("this stream is connected already; use change_remote")
        self.path = Path(remote_id, address, link)
        self.on_wake(self)

    def change_remote(self, remote_id: int, address: Address, link: Hashable = None) -> None:
        """Send what is new over another path. What is out already is repeated, if need be, where it was sent first;
        once that is acked, `on_remote_changed` is called.
        """
        if self.path is None:
            raise LocalProtocolError("this stream was never connected; use connect")
        if self.closed:
            return
        self.path = Path(remote_id, address, link)
        self.sender.path_changed()
        self._remote_change_until = self.sender.next
        self.on_wake(self)

    def relay_to(self, other: UdxStream) -> None:
        """Forward every packet of this stream to the remote of `other`, unchanged but for the stream id."""
        self._relay = other

    def write(self, data: bytes) -> bool:
        """Queue bytes to send. False when much is waiting: `on_drain` will tell when it is not any more."""
        if self.closed:
            return False
        if self.sender.end_wanted:
            raise LocalProtocolError("this stream was ended; nothing can be written behind its end")
        self.sender.write(data)
        self.on_wake(self)
        self._drain_wanted = self.sender.queued_bytes > _DRAINED_BYTES
        return not self._drain_wanted

    def send_message(self, data: bytes) -> bool:
        """Send a datagram beside the stream: it may be lost, doubled or overtaken. False when it cannot be sent."""
        if len(data) > BASE_PAYLOAD:
            raise BadArgument(f"a message has at most {BASE_PAYLOAD} bytes, not {len(data)}")
        if self.closed or self.path is None or len(self._outbox.trains) >= _MAX_WAITING_TRAINS:
            return False
        self._emit(MESSAGE, bytes(data))
        self.on_wake(self)
        return True

    def end(self) -> None:
        """Send what is written, then END. The other direction stays open until the remote ends it too."""
        if not self.closed and not self.sender.end_wanted:
            self.sender.end_wanted = True
            self.on_wake(self)

    def destroy(self, error: MeadowError | None = None) -> None:
        """End at once in both directions: tell the remote (one packet, nothing waits for it) and close."""
        if self.closed:
            return
        if self.path is not None and self._relay is None:
            self._emit(DESTROY)
            self.on_wake(self)
        self._close(error)

    def pause(self) -> None:
        """Hold back what arrives; the window closes as it fills."""
        self._paused = True

    def resume(self) -> None:
        """Deliver what was held back, and again at once whatever comes; tells the remote that there is room."""
        if not self._paused:
            return
        self._paused = False
        receiver = self.receiver
        if receiver.unread:
            data = bytes(receiver.unread)
            receiver.unread.clear()
            self.on_data(data)
        self._report_end()
        if not self.closed and self._advertised < receiver.capacity // 2:
            self._ack_due = True
            self.on_wake(self)

    # --- packets in -----------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, now: float, link: Hashable = None) -> bool:
        """Take one datagram; False when it is not a packet of this stream."""
        size = len(datagram)
        return self.receive_segments(memoryview(datagram), 0, size, size, address, now, link) > 0

    def receive_segments(
        self,
        view: memoryview,
        start: int,
        end: int,
        size: int,
        address: Address,
        now: float,
        link: Hashable = None,
    ) -> int:
        """Take the packets of this stream that lie one behind the other in `view[start:end]`, `size` bytes each (the
        last may be shorter), and return where the first that is not ours begins. Nothing of `view` is kept.
        """
        if self._relay is not None or self.closed or self.path is None or self.path.link != link:
            taken = self._receive_unusual(view, start, min(start + size, end), address, link)
            if taken >= 0:
                return taken
        receiver, sender = self.receiver, self.sender
        chunks: list[memoryview | bytes] = []
        local_id, unpack = self.local_id, HEADER.unpack_from
        position, first, expected = start, receiver.next, receiver.next & SEQ_MASK
        is_full = self._paused and receiver.is_overfull
        ordered = not (receiver.held or receiver.ended or is_full)
        seen = self._seen_ack
        una, span = sender.una & SEQ_MASK, sender.next - sender.una
        acked, acked_seq, acked_window = -1, 0, 0
        while position < end:
            limit = position + size
            if limit > end:
                limit = end
            if limit - position < HEADER_BYTES:
                break
            word, stream_id, window, seq, ack = unpack(view, position)
            if stream_id != local_id or word & 0xFFFF != MAGIC_WORD:
                break
            if word == _DATA_WORD and seq == expected and ordered and acked < 0 and (ack, window) == seen:
                chunks.append(view[position + HEADER_BYTES : limit])
                expected = seq + 1 & SEQ_MASK
                receiver.next += 1
            elif word == _ACK_WORD and (acked < 0 or seq == acked_seq):  # of a run, the highest says it all
                advance = ack - una & SEQ_MASK
                if acked <= advance <= span:
                    acked, acked_seq, acked_window = advance, seq, window
            else:
                if acked >= 0:
                    self._note_run(acked, acked_seq, acked_window)
                    acked = -1
                self._receive_packet(
                    word, window, seq, ack, view[position + HEADER_BYTES : limit], chunks, is_full
                )
                if self.closed:
                    position = limit
                    break
                expected = receiver.next & SEQ_MASK
                ordered = not (receiver.held or receiver.ended or is_full)
                seen = self._seen_ack
            self.packets_received += 1
            position = limit
        if acked >= 0:
            self._note_run(acked, acked_seq, acked_window)
        if receiver.next != first:
            self._ack_due = True
        if chunks:
            self._deliver(b"".join(chunks))
        self._report_end()
        return position

    def _receive_unusual(
        self, view: memoryview, start: int, end: int, address: Address, link: Hashable
    ) -> int:
        """One packet of a stream that relays, is closed, or hears it on a new socket. -1: take it as usual."""
        if end - start < HEADER_BYTES:
            return start
        word, stream_id, *_ = HEADER.unpack_from(view, start)
        if stream_id != self.local_id or word & 0xFFFF != MAGIC_WORD:
            return start
        if self.closed:
            return end
        if self._relay is not None:
            self._forward(bytes(view[start:end]))
            return end
        if self.path is None or self.path.link != link:
            if self.firewall is None or not self.firewall(link, address) or self.closed:
                return end
        return -1

    def _receive_packet(
        self,
        word: int,
        window: int,
        seq: int,
        ack: int,
        body: memoryview,
        chunks: list[memoryview | bytes],
        is_full: bool,
    ) -> None:
        """Any packet that is not simply the next data, or an ack alone."""
        flags, offset = word >> 16 & 0xFF, word >> 24
        if flags & HEARTBEAT:
            self._ack_due = True
            return
        if offset > len(body):
            return
        receiver, sender = self.receiver, self.sender
        ack_number = unwrap(ack, sender.una)
        if ack_number > sender.next:
            return  # acks what was never sent: nothing in such a packet can be trusted
        region = None
        if flags & SACK:
            split = offset or len(body)
            region, payload = body[:split], body[split:]
        else:
            payload = body[offset:]
        number = unwrap(seq, receiver.next)
        if flags & (DATA | END):
            self._ack_due = True
            if is_full and payload:
                pass  # the remote ignores our window: as if the packet had been lost
            elif number == receiver.next and not receiver.ended:
                if flags & DATA and payload:
                    chunks.append(payload)
                receiver.take(flags)
                if receiver.held:
                    receiver.drain(chunks)
            elif number > receiver.next and not receiver.ended:
                if not receiver.hold(number, flags, payload):
                    return
        elif flags & DESTROY:
            if number >= receiver.next:
                self._remote_destroyed(chunks)
                return
        if flags & MESSAGE:
            self.on_message(bytes(payload))
        self._note_ack(ack_number, number, window, region)
        self._seen_ack = (ack, window)

    def _note_ack(self, ack: int, seq: int, window: int, region: memoryview | None) -> None:
        if ack >= self.sender.una and self._acks.note(ack, seq, region):
            self.sender.remote_window = window

    def _note_run(self, advance: int, seq: int, window: int) -> None:
        """A run of pure acks, as its highest: `advance` packets beyond the oldest that is not acked."""
        ack = self.sender.una + advance
        self._note_ack(ack, unwrap(seq, self.receiver.next), window, None)
        self._seen_ack = ack & SEQ_MASK, window

    def _deliver(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self._paused:
            self.receiver.unread += data
        elif data:
            self.on_data(data)

    def _report_end(self) -> None:
        if self.receiver.ended and not self._end_reported and not self.receiver.unread and not self.closed:
            self._end_reported = True
            self.on_end()

    def _remote_destroyed(self, chunks: list[memoryview | bytes]) -> None:
        if chunks:
            self._deliver(b"".join(chunks))
            chunks.clear()
        if not self.closed:
            self._close(StreamReset("the other side destroyed the stream"))

    def _forward(self, datagram: bytes) -> None:
        other = self._relay
        assert other is not None
        path = other.path
        if path is not None and not other.closed and len(other._outbox.trains) < _MAX_WAITING_TRAINS:
            header = datagram[:4] + path.remote_id.to_bytes(4, "little") + datagram[8:HEADER_BYTES]
            other._outbox.add(header, datagram[HEADER_BYTES:], path)
            other.on_wake(other)
        if datagram[2] & DESTROY:
            self._close(None)

    # --- packets out ----------------------------------------------------------------------------------

    def trains_to_send(self, now: float) -> list[Train]:
        """Work through the acks that came, and return what may leave now."""
        maker, self._outbox = self._outbox, TrainMaker()
        if self.closed or self._relay is not None:
            return maker.trains
        if self._acks.ack is not None:
            self._work_through_acks(now)
        path = self.path
        if path is None:
            return maker.trains
        receiver, sender = self.receiver, self.sender
        window = self._advertised = receiver.window
        acked = sender.fill(maker, path, window, receiver.next, now)
        if self._ack_due and (not acked or receiver.held):
            region = encode_sack(receiver.sack_blocks())
            header = self._header(_SACK_WORD if region else _ACK_WORD, path, window)
            maker.add(header, region, path)
            if receiver.next <= _FIRST_PACKETS and receiver.next > self._acked + 1:
                maker.add(header, region, path)
        self._acked = receiver.next
        self._ack_due = False
        if self.keep_alive is not None:
            self._heartbeat_at = now + self.keep_alive if sender.idle else None
        if self._drain_wanted and sender.queued_bytes <= _DRAINED_BYTES:
            self._drain_wanted = False
            self.on_drain()
        if sender.ended and receiver.ended:
            self._report_end()
            if self._end_reported:
                self._close(None)
        return maker.trains

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """The same as `trains_to_send`, one datagram at a time."""
        return datagrams(self.trains_to_send(now))

    def last_ack(self) -> Train | None:
        """The ack that answers a late END, for whoever remembers closed streams for a while."""
        if self.path is None or not self.receiver.ended:
            return None
        return Train([self._header(_ACK_WORD, self.path, self.receiver.capacity)], HEADER_BYTES, self.path)

    def _work_through_acks(self, now: float) -> None:
        sender = self.sender
        una, ended_before = sender.una, sender.ended
        sender.acknowledge(*self._acks.take(sender.next), now)
        if sender.una != una:
            self.on_acked()
        if sender.remote_window > 0:
            sender.window_probe_at = None
        if sender.ended and not ended_before:
            self._ack_due = True  # what the remote waits for if the ack of its own END was lost
        if self._remote_change_until is not None and sender.una >= self._remote_change_until:
            self._remote_change_until = None
            self.on_remote_changed()

    def _header(self, word: int, path: Path, window: int) -> bytes:
        """The header of a packet that takes no sequence number, or the next and for the last time."""
        return HEADER.pack(
            word, path.remote_id, window, self.sender.next & SEQ_MASK, self.receiver.next & SEQ_MASK
        )

    def _emit(self, flags: int, payload: bytes = b"") -> None:
        assert self.path is not None
        header = self._header(header_word(flags), self.path, self.receiver.window)
        self._outbox.add(header, payload, self.path)

    def deadline(self) -> float | None:
        """When `on_timer` wants to be called; None: never."""
        if self.closed or self.path is None or self._relay is not None:
            return None
        at = self.sender.deadline()
        if self._heartbeat_at is not None and (at is None or self._heartbeat_at < at):
            return self._heartbeat_at
        return at

    def on_timer(self, now: float) -> None:
        """Do what is due at `now`; call `trains_to_send` afterwards."""
        if self.closed or self.path is None:
            return
        sender = self.sender
        sender.on_timer(now)
        if sender.timed_out:
            self._emit(DESTROY)
            self._close(StreamTimedOut("the other side stopped answering"))
            return
        if sender.window_probe_at is not None and sender.window_probe_at <= now:
            sender.window_probe_at = now + 2 * sender.rtt.rto
            self._emit(HEARTBEAT)
        if self._heartbeat_at is not None and self._heartbeat_at <= now:
            self._heartbeat_at = None
            self._emit(HEARTBEAT)

    def _close(self, error: MeadowError | None) -> None:
        self.closed = True
        self.on_release(self)
        self.on_close(error)
