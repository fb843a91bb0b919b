"""Packets of udx-native 1.21.3, replayed with our stream in the place of one side, and then of the other.

Our side does at the recorded moments what the program on that side did; the other side's packets are fed as they were.
So every packet either comes from the official package or is compared with one of it. Long payloads were cut from the
file: they are runs of one byte, and are made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import StreamReset, StreamTimedOut
from core.udx import Path, UdxStream
from core.udx.packet import DATA, DESTROY, END, HEADER_BYTES, HEARTBEAT, MESSAGE, SACK, Packet, decode, encode
from tests.support.vectors import load_vectors

SCENARIOS = {
    scenario["name"].split(":")[0]: scenario for scenario in load_vectors("network/06-udx")["scenarios"]
}
FLAGS = {
    "DATA": DATA,
    "END": END,
    "SACK": SACK,
    "MESSAGE": MESSAGE,
    "DESTROY": DESTROY,
    "HEARTBEAT": HEARTBEAT,
    "ACK": 0,
}
NATIVE_WINDOW = 4 * 1024 * 1024
LOCAL_IDS = {"A": 1, "B": 2}
ADDRESSES = {"A": ("127.0.0.1", 1), "B": ("127.0.0.1", 2), "R": ("127.0.0.1", 3)}

Action = tuple[float, Callable[[], object]]


def packets(name: str) -> list[dict[str, Any]]:
    return [packet for packet in SCENARIOS[name]["packets"] if "raw" not in packet]


def datagram(packet: dict[str, Any]) -> bytes:
    """The bytes of a recorded packet."""
    text = packet["hex"]
    if not text.endswith("..."):
        return bytes.fromhex(text)
    head = bytes.fromhex(text[:-3])
    return head + head[-1:] * (packet["length"] - len(head))


def flags_of(packet: dict[str, Any]) -> int:
    return sum(FLAGS[word] for word in packet["flags"].split("|"))


def stream_of(side: str, **options: Any) -> UdxStream:
    return UdxStream(LOCAL_IDS[side], capacity=NATIVE_WINDOW, **options)


def connected(side: str) -> UdxStream:
    stream = stream_of(side)
    other = "B" if side == "A" else "A"
    stream.connect(LOCAL_IDS[other], ADDRESSES[other])
    return stream


def replay(
    name: str, side: str, stream: UdxStream, actions: list[Action], seconds: float = 0.0
) -> list[tuple[float, bytes]]:
    """What our stream sends, and when, if it acts and is fed as `side` was."""
    sent: list[tuple[float, bytes]] = []
    events: list[tuple[float, Callable[[], object]]] = [(ms / 1000, act) for ms, act in actions]
    for packet in packets(name):
        if packet["to"] == side:
            now, data, sender = packet["ms"] / 1000, datagram(packet), ADDRESSES[packet["from"]]
            events.append((now, lambda data=data, sender=sender, now=now: stream.receive(data, sender, now)))  # type: ignore[misc]
    events.sort(key=lambda event: event[0])
    events.append((seconds or events[-1][0], lambda: None))
    for at, event in events:
        while (due := stream.deadline()) is not None and due <= at:
            stream.on_timer(due)
            sent += [(due, data) for data, _ in stream.datagrams_to_send(due)]
        event()
        sent += [(at, data) for data, _ in stream.datagrams_to_send(at)]
    return sent


def expected(name: str, side: str) -> list[bytes]:
    return [datagram(packet) for packet in packets(name) if packet["from"] == side]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_packet_is_read_and_written(name: str) -> None:
    for recorded in packets(name):
        data = datagram(recorded)
        packet = decode(data)
        assert packet is not None
        assert packet.flags == flags_of(recorded)
        assert packet.stream_id == recorded["streamId"]
        assert (packet.window, packet.seq, packet.ack) == tuple(
            recorded[key] for key in ("window", "seq", "ack")
        )
        assert len(packet.payload) == recorded.get("payloadLength", 0)
        if "sack" in recorded:
            assert [list(pair) for pair in packet.sack] == recorded["sack"]
        assert encode(packet) == data


def test_a_small_write_each_way_and_an_end_each_way() -> None:
    name = "connect, one small write each way, end both ways"
    a = connected("A")
    got: list[bytes] = []
    a.on_data = got.append
    assert [data for _, data in replay(name, "A", a, [(4.3, lambda: a.write(b"hello")), (65.5, a.end)])] == (
        expected(name, "A")
    )
    assert got == [b"world!"]
    assert a.closed
    b = connected("B")
    b.on_data = got.append
    sent = [data for _, data in replay(name, "B", b, [(34.1, lambda: b.write(b"world!")), (96.5, b.end)])]
    # Ours also says that the ack of its END came; native is gone by then.
    assert sent[:-1] == expected(name, "B")
    assert decode(sent[-1]) == Packet(0, 1, NATIVE_WINDOW, 2, 2)
    assert got == [b"world!", b"hello"]
    assert b.closed


def test_the_last_data_carries_the_end() -> None:
    name = "end with data coalesced"
    a = connected("A")

    def act() -> None:
        a.write(b"bye")
        a.end()

    first, *_ = (data for _, data in replay(name, "A", a, [(1.5, act)]))
    assert first == expected(name, "A")[0]
    assert a.closed


def test_destroy() -> None:
    name = "destroy"
    a, b = connected("A"), connected("B")
    sent = replay(name, "A", a, [(0.1, lambda: a.write(b"x")), (20.0, a.destroy)])
    assert [data for _, data in sent] == expected(name, "A")
    errors: list[object] = []
    b.on_close = errors.append
    assert [data for _, data in replay(name, "B", b, [])] == expected(name, "B")
    assert isinstance(errors[0], StreamReset)
    assert SCENARIOS[name]["remoteSees"] == "ECONNRESET"


def test_messages() -> None:
    name = "unreliable messages"
    a, b = connected("A"), connected("B")
    sent = replay(
        name,
        "A",
        a,
        [
            (0.1, lambda: a.send_message(b"datagram")),
            (0.2, lambda: a.send_message(b"")),
            (30.8, a.destroy),
        ],
    )
    assert [data for _, data in sent] == expected(name, "A")
    got: list[bytes] = []
    b.on_message = got.append
    assert replay(name, "B", b, []) == []
    assert got == [b"datagram", b""]


def test_the_side_that_connects_on_the_first_packet() -> None:
    name = "firewall connect"

    def firewall(link: object, address: tuple[str, int]) -> bool:
        b.connect(LOCAL_IDS["A"], address)
        return True

    b = stream_of("B", firewall=firewall)
    got: list[bytes] = []
    b.on_data, b.on_end = got.append, b.end
    sent = [data for _, data in replay(name, "B", b, [(51.9, lambda: b.write(b"back"))])]
    native = expected(name, "B")
    assert sent[:2] == native[:2]
    assert got == [b"first"]
    assert b.closed


def test_a_stream_without_a_firewall_swallows_what_comes_before_it_is_connected() -> None:
    name = "early data while remote stream has no connection and no firewall accept"
    b = stream_of("B")
    assert replay(name, "B", b, []) == []
    assert b.receiver.next == 0
    a = connected("A")
    sent = replay(name, "A", a, [(0.2, lambda: a.write(b"lost")), (5603.3, a.destroy)])
    assert [data for _, data in sent] == expected(name, "A")


def test_retransmissions_of_a_dead_path_come_when_those_of_native_did() -> None:
    name = "full RTO death"
    a = connected("A")
    errors: list[object] = []
    a.on_close = errors.append
    sent = replay(name, "A", a, [(1.4, lambda: a.write(b"lost"))], seconds=14.0)
    native = packets(name)
    # Ours says goodbye at the end, in case only the way back is dead.
    assert [data for _, data in sent[:-1]] == [datagram(packet) for packet in native]
    for (at, _), packet in zip(sent, native, strict=False):
        assert at == pytest.approx(packet["ms"] / 1000, abs=0.02)
    assert sent[-1][0] == pytest.approx(SCENARIOS[name]["afterMs"] / 1000, abs=0.02)
    assert isinstance(errors[0], StreamTimedOut)


def test_keep_alive() -> None:
    name = "keepalive"
    a, b = connected("A"), connected("B")
    a.keep_alive = 0.099  # ours counts from the answer, native from the question
    sent = replay(name, "A", a, [(0.0, lambda: None), (350.8, a.destroy)])
    assert [data for _, data in sent] == expected(name, "A")
    assert [data for _, data in replay(name, "B", b, [])] == expected(name, "B")


@pytest.mark.parametrize(
    "name", ["bulk 40 packets with two data packets dropped by a proxy", "bulk 4 MB without loss"]
)
def test_acks_and_sack_blocks_of_a_receiver(name: str) -> None:
    """The window is left out: ours shrinks by what is held out of order, native's never does."""
    b = connected("B")
    got = bytearray()
    b.on_data = got.extend
    ours = [decode(data) for _, data in replay(name, "B", b, [])]
    native = [decode(data) for data in expected(name, "B")]
    whole = len([packet for packet in packets(name) if packet["to"] == "B"])
    assert len(native) > 5
    for mine, theirs in zip(ours[:whole], native, strict=False):
        assert mine is not None
        assert theirs is not None
        assert mine._replace(window=0) == theirs._replace(window=0)
    fed = [packet for packet in packets(name) if packet["to"] == "B"]
    assert len(got) >= sum(packet["payloadLength"] for packet in fed[:10])


def test_a_relay_changes_nothing_but_the_stream_id() -> None:
    name = "relay through R"
    legs = {11: UdxStream(11), 12: UdxStream(12)}
    sides = {11: ("A", 1), 12: ("B", 2)}
    legs[11].relay_to(legs[12])
    legs[12].relay_to(legs[11])
    sent: list[bytes] = []
    for packet in packets(name):
        if packet["to"] != "R":
            continue
        leg = legs[packet["streamId"]]
        side, remote = sides[packet["streamId"]]
        leg.receive(datagram(packet), ADDRESSES[side], packet["ms"] / 1000)
        if not leg.connected:
            leg.connect(remote, ADDRESSES[side])
        for stream in legs.values():
            sent += [data for data, _ in stream.datagrams_to_send(packet["ms"] / 1000)]
    assert sent == expected(name, "R")
    assert legs[11].closed


def test_change_of_remote() -> None:
    name = "changeRemote"
    a = connected("A")
    changed: list[bool] = []
    a.on_remote_changed = lambda: changed.append(True)

    def move() -> None:
        a.change_remote(LOCAL_IDS["B"], ADDRESSES["R"])
        a.write(b"via new path")

    sent = replay(name, "A", a, [(1.1, lambda: a.write(b"direct")), (32.2, move), (83.0, a.destroy)])
    assert [data for _, data in sent] == expected(name, "A")
    assert a.path == Path(LOCAL_IDS["B"], ADDRESSES["R"], None)
    b = connected("B")
    assert [data for _, data in replay(name, "B", b, [])] == expected(name, "B")
    assert b.remote_address == ADDRESSES["A"], "it follows no source address"


def test_other_datagrams_are_not_a_stream_s() -> None:
    stream = connected("B")
    for packet in SCENARIOS["raw non-UDX datagrams on the same socket"]["packets"]:
        assert not stream.receive(bytes.fromhex(packet["hex"]), ADDRESSES["A"], 0.0)
    assert stream.receiver.next == 0
    assert HEADER_BYTES == 20
