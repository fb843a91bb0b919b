"""A UDX stream, packet by packet: windows, the ways it ends, messages, paths, and what it keeps."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from core.errors import BadArgument, LocalProtocolError, StreamReset
from core.udx import UdxStream
from core.udx.packet import DATA, DESTROY, END, HEARTBEAT, MESSAGE, SACK, Packet, decode, encode
from core.udx.sent import BASE_PAYLOAD
from core.udx.train import datagrams

THERE = ("10.0.0.2", 2)
CAPACITY = 64 * 1024


def stream_of_ours(**options: int) -> UdxStream:
    stream = UdxStream(1, **{"capacity": CAPACITY, **options})
    stream.connect(2, THERE)
    return stream


def said(stream: UdxStream, now: float = 0.0) -> list[Packet]:
    packets = [decode(data) for data, _ in stream.datagrams_to_send(now)]
    assert None not in packets
    return [packet for packet in packets if packet is not None]


def hear(stream: UdxStream, flags: int, seq: int, payload: bytes = b"", ack: int = 0, **options: Any) -> None:
    window = options.pop("window", CAPACITY)
    data = encode(Packet(flags, 1, window, seq, ack, payload=payload, **options))
    assert stream.receive(data, THERE, 0.0)


# --- windows ------------------------------------------------------------------------------------------


def test_the_window_shrinks_by_what_nobody_reads_and_says_when_it_opens() -> None:
    stream = stream_of_ours()
    stream.pause()
    windows = []
    for seq in range(CAPACITY // 1000):
        hear(stream, DATA, seq, bytes(1000))
        windows.append(said(stream)[-1].window)
    assert windows[:3] == [CAPACITY - 1000, CAPACITY - 2000, CAPACITY - 3000]
    assert windows[-1] == 0, "less than a packet is said to be nothing"
    got = bytearray()
    stream.on_data = got.extend
    stream.resume()
    assert len(got) == 1000 * len(windows)
    assert [packet.window for packet in said(stream)] == [CAPACITY]


def test_the_window_counts_what_waits_behind_a_gap() -> None:
    stream = stream_of_ours()
    hear(stream, DATA, 1, bytes(1000))
    (packet,) = said(stream)
    assert (packet.flags, packet.ack, packet.sack) == (SACK, 0, ((1, 2),))
    assert packet.window == CAPACITY - 1000


@pytest.mark.parametrize("gap", [False, True])
def test_who_ignores_the_window_fills_no_memory(gap: bool) -> None:
    """Ten times the window, in order to a reader that stopped, or behind a gap."""
    stream = stream_of_ours()
    stream.pause()
    for seq in range(10 * CAPACITY // 1000):
        hear(stream, DATA, seq + gap, bytes(1000))
    assert stream.receiver.unread_bytes + stream.receiver.held_bytes < 2 * CAPACITY + 1000
    assert all(packet.window == 0 for packet in said(stream))
    assert stream.receiver.next <= 2 * CAPACITY // 1000 + 1, "what was thrown away was not acked"


def test_empty_packets_fill_no_memory_either() -> None:
    stream = stream_of_ours()
    got: list[bytes] = []
    stream.on_data = got.append
    for seq in range(1, 20_000):
        hear(stream, DATA, 2 * seq)
    assert len(stream.receiver.held) <= 2 * CAPACITY // 256
    stream = stream_of_ours()
    stream.on_data = got.append
    hear(stream, DATA, 0)
    stream.pause()
    for seq in range(1, 20_000):
        hear(stream, DATA, seq)
    assert stream.receiver.next == 20_000
    stream.resume()
    assert got == []


def test_data_may_carry_sack_blocks() -> None:
    stream = stream_of_ours()
    stream.write(bytes(3 * BASE_PAYLOAD))
    assert len(said(stream)) == 3
    hear(stream, DATA | SACK, 0, b"and data", sack=((1, 3),))
    said(stream)
    assert list(stream.sender.flight) + list(stream.sender.lost) == [0]
    assert stream.receiver.next == 1


def test_no_more_is_sent_than_the_remote_granted() -> None:
    stream = stream_of_ours()
    stream.write(bytes(200_000))
    now = 0.0
    first = said(stream, now)
    hear(stream, 0, 0, ack=len(first), window=5 * BASE_PAYLOAD)
    out = []
    while now < 0.05:
        out += said(stream, now)
        now += 0.001
    assert 0 < sum(len(packet.payload) for packet in out) <= 5 * BASE_PAYLOAD


def test_an_old_packet_brings_no_old_window() -> None:
    stream = stream_of_ours()
    stream.write(bytes(3000))
    said(stream)
    hear(stream, 0, 5, ack=1, window=50_000)
    hear(stream, 0, 4, ack=1, window=0)
    hear(stream, SACK, 5, ack=0, window=0, sack=((1, 2),))
    said(stream)
    assert stream.sender.remote_window == 50_000
    hear(stream, 0, 6, ack=1, window=40_000)
    said(stream)
    assert stream.sender.remote_window == 40_000


def test_a_closed_window_is_asked_about_for_ever() -> None:
    stream = stream_of_ours()
    stream.write(bytes(200_000))
    first = said(stream)
    hear(stream, 0, 0, ack=len(first), window=0)
    asked = []
    assert said(stream) == []
    for _ in range(50):
        at = stream.deadline()
        assert at is not None
        stream.on_timer(at)
        asked += said(stream, at)
    assert {packet.flags for packet in asked} == {HEARTBEAT}
    assert not stream.closed
    hear(stream, 0, 0, ack=len(first), window=CAPACITY)
    assert {packet.flags for packet in said(stream, 1000.0)} == {DATA}


# --- acks ---------------------------------------------------------------------------------------------


def test_one_ack_answers_all_that_came_at_once() -> None:
    stream = stream_of_ours()
    for seq in range(20):
        hear(stream, DATA, seq, b"x")
    (ack,) = said(stream)
    assert (ack.flags, ack.ack) == (0, 20)
    hear(stream, DATA, 3, b"x")
    assert [packet.ack for packet in said(stream)] == [20], "what is repeated is acked again"


def test_an_ack_of_the_first_packets_is_said_twice() -> None:
    stream = stream_of_ours()
    for seq in range(5):
        hear(stream, DATA, seq, b"x")
    assert [packet.ack for packet in said(stream)] == [5, 5]
    hear(stream, DATA, 5, b"x")
    assert [packet.ack for packet in said(stream)] == [6]


def test_an_ack_of_what_was_never_sent_is_not_believed() -> None:
    stream = stream_of_ours()
    stream.write(b"one packet")
    said(stream)
    for flags in (0, SACK):
        hear(stream, flags, 0, ack=2, window=0)
    hear(stream, DATA, 0, b"x", ack=77)
    assert stream.sender.una == 0
    assert stream.receiver.next == 0
    hear(stream, 0, 0, ack=1)
    said(stream)
    assert stream.sender.una == 1


def test_a_heartbeat_is_answered_and_says_nothing_else() -> None:
    stream = stream_of_ours()
    stream.write(b"one packet")
    said(stream)
    hear(stream, HEARTBEAT, 0, ack=1, window=0)
    assert [packet.flags for packet in said(stream)] == [0]
    assert stream.sender.una == 0


# --- ends ---------------------------------------------------------------------------------------------


def test_both_ends_and_nothing_is_left() -> None:
    released: list[UdxStream] = []
    errors: list[object] = []
    stream = stream_of_ours()
    stream.on_release, stream.on_close = released.append, errors.append
    stream.write(b"bye")
    stream.end()
    assert [packet.flags for packet in said(stream)] == [DATA | END]
    with pytest.raises(LocalProtocolError):
        stream.write(b"too late")
    hear(stream, END, 0, ack=1)
    said(stream)
    assert stream.closed
    assert released == [stream]
    assert errors == [None]
    assert stream.deadline() is None
    late = stream.last_ack()
    assert late is not None
    packet = decode(b"".join(late.buffers))
    assert packet is not None
    assert packet.ack == 1


def test_an_end_behind_unread_data_waits_for_the_reader() -> None:
    ended: list[bool] = []
    stream = stream_of_ours()
    stream.on_end = lambda: ended.append(True)
    stream.pause()
    hear(stream, DATA | END, 0, b"last words")
    assert not ended
    stream.resume()
    assert ended == [True]


def test_destroy_says_so_once() -> None:
    stream = stream_of_ours()
    stream.write(b"never sent")
    stream.destroy()
    stream.destroy()
    assert [packet.flags for packet in said(stream)] == [DESTROY]
    assert said(stream) == []
    assert UdxStream(7).destroy() is None


def test_an_old_destroy_is_ineffective_and_a_new_one_final() -> None:
    errors: list[object] = []
    stream = stream_of_ours()
    stream.on_close = errors.append
    hear(stream, DATA, 0, b"x")
    hear(stream, DESTROY, 0)
    assert not stream.closed
    hear(stream, DESTROY, 1)
    assert stream.closed
    assert isinstance(errors[0], StreamReset)


# --- messages and paths -------------------------------------------------------------------------------


def test_messages_are_bounded_and_take_no_sequence_number() -> None:
    stream = stream_of_ours()
    assert stream.send_message(b"small")
    assert [(packet.flags, packet.seq) for packet in said(stream)] == [(MESSAGE, 0)]
    with pytest.raises(BadArgument, match="at most 1152 bytes"):
        stream.send_message(bytes(BASE_PAYLOAD + 1))
    assert not UdxStream(5).send_message(b"not connected")


def test_what_was_sent_before_a_change_of_remote_is_repeated_where_it_went() -> None:
    elsewhere = ("10.0.0.3", 3)
    changed: list[bool] = []
    stream = stream_of_ours()
    stream.on_remote_changed = lambda: changed.append(True)
    stream.write(b"before")
    said(stream)
    stream.change_remote(9, elsewhere)
    stream.write(b"behind")
    assert [(data[4], address) for data, address in stream.datagrams_to_send(0.1)] == [(9, elsewhere)]
    stream.on_timer(5.0)
    again = stream.datagrams_to_send(5.0)
    assert (again[0][0][4], again[0][1]) == (2, THERE)
    assert not changed
    hear(stream, 0, 0, ack=2)
    said(stream, 5.1)
    assert changed == [True]


def test_a_relay_keeps_nothing() -> None:
    left, right = UdxStream(1), UdxStream(5)
    left.relay_to(right)
    right.relay_to(left)
    hear(left, DATA, 0, b"too early: the other leg is not connected")
    right.connect(6, THERE)
    hear(left, DATA, 0, b"hello")
    ((data, address),) = right.datagrams_to_send(0.0)
    packet = decode(data)
    assert packet is not None
    assert (packet.stream_id, packet.payload, address) == (6, b"hello", THERE)
    assert left.receiver.next == 0
    assert left.deadline() is None
    hear(left, DESTROY, 1)
    assert left.closed
    assert [data[2] for data, _ in right.datagrams_to_send(0.0)] == [DESTROY]


def test_what_is_relayed_in_one_go_leaves_in_one_train() -> None:
    left, right = UdxStream(1), UdxStream(5)
    left.relay_to(right)
    right.connect(6, THERE)
    for seq in range(30):
        hear(left, DATA, seq, bytes([seq]) * 100)
    (train,) = right.trains_to_send(0.0)
    assert train.size == 120
    payloads = [packet.payload for data, _ in datagrams([train]) if (packet := decode(data)) is not None]
    assert payloads == [bytes([seq]) * 100 for seq in range(30)]


def test_what_waits_for_a_blocked_socket_is_bounded() -> None:
    left, right = UdxStream(1), UdxStream(5)
    left.relay_to(right)
    right.connect(6, THERE)
    for seq in range(2000):
        hear(left, DATA, seq, bytes(seq % 7 * 100))
    relayed = right.datagrams_to_send(0.0)
    assert 256 <= len(relayed) < 2000
    stream = stream_of_ours()
    sent = [stream.send_message(bytes(number % 7)) for number in range(2000)]
    assert sent.count(True) == len(said(stream))
    assert not sent[-1]


# --- memory -------------------------------------------------------------------------------------------


def test_ten_thousand_streams_leave_no_memory_behind() -> None:
    def live_and_die() -> None:
        stream = stream_of_ours()
        stream.write(bytes(5000))
        said(stream)
        hear(stream, DATA, 1, bytes(1000))
        stream.destroy()
        said(stream)

    for _ in range(100):
        live_and_die()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            live_and_die()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
