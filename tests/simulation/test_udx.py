"""UDX over networks that lose, double, delay and overtake, all of it from a seed."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from core.errors import StreamReset, StreamTimedOut
from core.udx.bbr import Bbr
from core.udx.mtu import IP_AND_UDP_BYTES, MAX_PAYLOAD
from core.udx.packet import DATA, END, HEADER_BYTES, Packet
from core.udx.sent import BASE_PAYLOAD
from tests.support.udx_network import RIGHT, Network, Side, Weather

SEEDS = range(5)
MEGABYTE = 1_000_000
STORM = Weather(loss=0.1, duplicates=0.1, delay=0.020, jitter=0.030, garbage=0.1)


def content(seed: int, size: int) -> bytes:
    return Random(seed).randbytes(size)


def same(received: bytearray, sent: bytes) -> bool:
    return hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def both_closed(network: Network) -> bool:
    return network.left.closed and network.right.closed


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "weather",
    [
        Weather(),
        Weather(loss=0.01),
        Weather(loss=0.05, delay=0.040),
        Weather(loss=0.3),
        Weather(duplicates=0.3, jitter=0.010),
        Weather(jitter=0.100),
        Weather(loss=0.02, rate=2e6, delay=0.030),
        STORM,
    ],
    ids=["clean", "loss 1 %", "loss 5 %", "loss 30 %", "doubled", "overtaking", "bottleneck", "storm"],
)
def test_everything_arrives_each_way_and_both_close(seed: int, weather: Weather) -> None:
    network = Network(seed, weather)
    rightward, leftward = content(seed, 300_000), content(-seed - 1, 60_000)
    for side, data in ((network.left, rightward), (network.right, leftward)):
        side.stream.write(data)
        side.stream.end()
    network.run(lambda: both_closed(network))
    assert same(network.right.received, rightward)
    assert same(network.left.received, leftward)
    assert network.left.error is None
    assert network.right.error is None


@pytest.mark.parametrize("seed", SEEDS)
def test_an_application_of_one_byte_at_a_time(seed: int) -> None:
    """It writes byte by byte, at moments of its own, and its other end stops and goes on reading in between."""
    network = Network(seed, Weather(loss=0.05, duplicates=0.05, jitter=0.020), capacity=4096)
    data = content(seed, 1500)
    stream, reader = network.left.stream, network.right.stream

    def write(number: int) -> None:
        stream.write(data[number : number + 1])
        if number + 1 == len(data):
            stream.end()

    for number in range(len(data)):
        network.at(number * 0.002, lambda number=number: write(number))  # type: ignore[misc]
    for number in range(100):
        network.at(number * 0.05, reader.resume if number % 2 else reader.pause)
    network.right.stream.on_end = network.right.stream.end
    network.run(lambda: both_closed(network))
    assert bytes(network.right.received) == data


@pytest.mark.parametrize("seed", SEEDS)
def test_sequence_numbers_go_past_two_to_the_32(seed: int) -> None:
    network = Network(seed, Weather(loss=0.05, jitter=0.010))
    start = 2**32 - 20
    for side in (network.left, network.right):
        side.stream.sender.next = side.stream.sender.una = start
        side.stream.receiver.next = start
    data = content(seed, 100_000)
    network.left.stream.write(data)
    network.left.stream.end()
    network.run(lambda: network.right.ended)
    assert bytes(network.right.received) == data
    assert network.right.stream.receiver.next > 2**32


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reader_that_stops_stops_the_sender_and_nothing_is_lost(seed: int) -> None:
    capacity = 64 * 1024
    network = Network(seed, Weather(loss=0.02, delay=0.005), capacity=capacity)
    data = content(seed, 10 * capacity)
    reader, sender = network.right.stream, network.left.stream.sender
    # What a sender may send before it first hears of the window is the reference's four megabytes.
    sender.remote_window = capacity
    reader.pause()
    network.left.stream.write(data)
    network.left.stream.end()
    network.run(lambda: reader.receiver.window == 0 and not sender.flight and not sender.lost)
    assert reader.receiver.unread_bytes <= capacity
    assert network.right.received == b""
    asleep = sender.packets_sent
    network.run(lambda: network.now > 60.0)
    assert sender.packets_sent == asleep, "it went on sending into a closed window"
    assert not network.left.stream.closed, "a closed window is no dead peer"
    network.at(network.now, reader.resume)
    network.run(lambda: network.right.ended)
    assert bytes(network.right.received) == data


@pytest.mark.parametrize("seed", SEEDS)
def test_the_window_opens_again_although_the_news_of_it_is_lost(seed: int) -> None:
    network = Network(seed, Weather(delay=0.005), capacity=32 * 1024)
    reader, sender = network.right.stream, network.left.stream.sender
    sender.remote_window = 32 * 1024
    reader.pause()
    data = content(seed, 200_000)
    network.left.stream.write(data)
    network.run(lambda: reader.receiver.window == 0 and not sender.flight)
    network.weather = Weather(loss=1.0)
    network.at(network.now, reader.resume)
    then = network.now + 0.5
    network.at(then, lambda: None)
    network.run(lambda: network.now >= then)
    network.weather = Weather(delay=0.005)
    network.run(lambda: len(network.right.received) == len(data), seconds=30.0)


def test_a_dead_path_is_noticed_after_thirteen_seconds() -> None:
    network = Network(0, Weather(loss=1.0))
    network.left.stream.write(b"anyone?")
    network.run(lambda: network.left.closed)
    assert isinstance(network.left.error, StreamTimedOut)
    assert network.now == pytest.approx(13.0)


def test_a_network_that_comes_back_in_time_is_forgiven() -> None:
    network = Network(3, Weather(delay=0.010))
    data = content(3, 2 * MEGABYTE)
    network.left.stream.write(data)
    network.run(lambda: len(network.right.received) > MEGABYTE // 2)
    network.weather = Weather(loss=1.0)
    outage = network.now + 8.0
    network.at(outage, lambda: None)
    network.run(lambda: network.now >= outage)
    network.weather = Weather(delay=0.010)
    network.run(lambda: len(network.right.received) == len(data), seconds=30.0)
    assert same(network.right.received, data)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_destroy_reaches_the_other_end_or_its_timeout_does(seed: int) -> None:
    network = Network(seed, Weather(loss=0.3))
    network.left.stream.write(content(seed, 50_000))
    network.right.stream.write(content(seed, 50_000))
    network.at(0.05, network.left.stream.destroy)
    network.run(lambda: both_closed(network))
    assert network.left.error is None
    assert isinstance(network.right.error, StreamReset | StreamTimedOut)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.01, 0.03, 0.05])
def test_only_what_was_lost_is_sent_again(seed: int, loss: float) -> None:
    """No more than half above what the network lost, and a handful of probes."""
    network = Network(seed, Weather(loss=loss, delay=0.005))
    network.left.stream.write(content(seed, 2 * MEGABYTE))
    network.run(lambda: len(network.right.received) == 2 * MEGABYTE)
    sender = network.left.stream.sender
    packets = 2 * MEGABYTE / BASE_PAYLOAD
    assert sender.retransmissions <= packets * loss / (1 - loss) * 1.5 + 20


class Dropping:
    """Loses each of these sequence numbers so many times."""

    def __init__(self, times: dict[int, int]) -> None:
        self.times = times

    def __call__(self, packet: Packet) -> bool:
        left = self.times.get(packet.seq, 0)
        if not packet.flags & (DATA | END) or not left:
            return False
        self.times[packet.seq] = left - 1
        return True


# Packets of a transfer of 200,000 bytes over 20 ms there and back; its last is 165 or so.
@pytest.mark.parametrize(
    "lost",
    [{50: 1}, {50: 1, 51: 1, 60: 1}, {50: 2}, {50: 3}, dict.fromkeys(range(40, 60), 1)],
    ids=["one", "three", "one twice", "one three times", "twenty in a row"],
)
def test_losses_are_made_good_without_a_timeout(lost: dict[int, int]) -> None:
    """RACK: what was sent later and arrived tells of them, a second time too. A timeout would take a second."""
    network = Network(1, Weather(delay=0.010))
    network.drops = Dropping(dict(lost))
    network.left.stream.write(bytes(200_000))
    network.run(lambda: len(network.right.received) == 200_000)
    assert network.now < 0.7
    assert network.left.stream.sender.retransmissions <= sum(lost.values()) + 3


@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_tail_is_made_good_without_a_timeout(times: int) -> None:
    """TLP: nothing comes later, so a probe asks."""
    network = Network(1, Weather(delay=0.010))
    network.left.stream.write(bytes(200_000))
    network.run(lambda: len(network.right.received) == 200_000)
    began, first = network.now, network.left.stream.sender.next
    network.drops = Dropping(dict.fromkeys(range(first, first + 4), times))
    network.left.stream.write(bytes(4000))
    network.run(lambda: len(network.right.received) == 204_000)
    assert network.now - began < 0.7


def test_a_silence_is_broken_by_the_timeout() -> None:
    """RTO: nothing was ever acked, so after a second the oldest is sent again, and then what the window allows."""
    network = Network(1, Weather(delay=0.010))
    network.drops = Dropping(dict.fromkeys(range(10), 1))
    network.left.stream.write(bytes(50_000))
    network.run(lambda: len(network.right.received) == 50_000)
    assert 1.0 < network.now < 1.5


def test_reordering_is_not_taken_for_loss() -> None:
    """A path of 40 ms on which every packet may be up to 8 ms late: once that is seen, next to nothing is repeated."""
    network = Network(1, Weather(delay=0.020, jitter=0.008))
    network.left.stream.write(bytes(MEGABYTE))
    network.run(lambda: len(network.right.received) == MEGABYTE)
    settled = network.left.stream.sender.retransmissions
    network.left.stream.write(bytes(2 * MEGABYTE))
    network.run(lambda: len(network.right.received) == 3 * MEGABYTE)
    assert network.left.stream.sender.retransmissions - settled < 0.02 * 2 * MEGABYTE / BASE_PAYLOAD


@pytest.mark.parametrize("seed", SEEDS)
def test_leniency_comes_with_mistakes_and_goes_with_losses_that_were_some(seed: int) -> None:
    """A quarter of the RTT is too little here: each mistake doubles the wait. Where nothing overtakes any more, losses
    are made good, and it is given up again."""
    network = Network(seed, Weather(delay=0.010, jitter=0.012))
    stream, most = network.left.stream, 1
    rack = stream.sender._rack
    stream.write(bytes(2 * MEGABYTE))

    def arrived(size: int) -> bool:
        nonlocal most
        most = max(most, rack.leniency)
        return len(network.right.received) == size

    network.run(lambda: arrived(2 * MEGABYTE))
    assert most > 1
    settled = stream.sender.retransmissions
    stream.write(bytes(2 * MEGABYTE))
    network.run(lambda: arrived(4 * MEGABYTE))
    assert stream.sender.retransmissions - settled < 0.02 * 2 * MEGABYTE / BASE_PAYLOAD
    network.weather = Weather(loss=0.01, delay=0.010)
    stream.write(bytes(4 * MEGABYTE))
    network.run(lambda: arrived(8 * MEGABYTE))
    assert rack.leniency == 1


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_bottleneck_is_filled_and_not_flooded(loss: float) -> None:
    """2 MB/s, 40 ms there and back, and a queue of that: the pacer finds the rate and keeps to it."""
    rate = 2e6
    network = Network(1, Weather(loss=loss, rate=rate, delay=0.020, queue=80_000))
    size = 6 * MEGABYTE
    network.left.stream.write(bytes(size))
    network.run(lambda: len(network.right.received) == size)
    packets = size / BASE_PAYLOAD
    wire = size + packets * HEADER_BYTES
    assert wire / rate / network.now > 0.85, "much of the path was left unused"
    assert network.left.stream.sender.retransmissions < (0.06 + loss) * packets


def test_a_long_transfer_keeps_to_the_rate() -> None:
    """Twenty seconds, with two pauses to measure the empty path, and a queue of half a round trip."""
    rate = 1e6
    network = Network(1, Weather(rate=rate, delay=0.020, queue=20_000))
    size = 20 * MEGABYTE
    network.left.stream.write(bytes(size))
    network.run(lambda: len(network.right.received) == size)
    assert size / rate / network.now > 0.9
    assert network.left.stream.sender.retransmissions < 0.04 * size / BASE_PAYLOAD


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("mtu", [1200, 1280, 1420, 1452, 1492, 1500])
def test_packets_grow_to_what_the_path_carries(
    monkeypatch: pytest.MonkeyPatch, mtu: int, loss: float
) -> None:
    """Within 32 bytes of it without other losses. No stall, and what did not pass is no congestion."""
    network = Network(3, Weather(mtu=mtu, delay=0.010, loss=loss))
    data = content(mtu, 2 * MEGABYTE)
    recoveries: list[int] = []
    if not loss:
        monkeypatch.setattr(Bbr, "on_recovery", lambda *of: recoveries.append(1))
    network.left.stream.write(data)
    network.run(lambda: len(network.right.received) == len(data), seconds=10.0)
    assert same(network.right.received, data)
    sender = network.left.stream.sender
    carried = sender.max_payload + HEADER_BYTES + IP_AND_UDP_BYTES
    assert carried <= mtu
    if not loss:
        assert carried > mtu - 32
        assert sender.retransmissions <= 12
        assert not recoveries


def test_a_new_path_is_measured_anew() -> None:
    network = Network(3, Weather(delay=0.010))
    stream = network.left.stream
    stream.write(bytes(MEGABYTE))
    network.run(lambda: len(network.right.received) == MEGABYTE)
    assert stream.sender.max_payload == MAX_PAYLOAD
    network.weather = Weather(delay=0.010, mtu=1280)
    stream.change_remote(2, RIGHT)
    stream.write(bytes(MEGABYTE))
    network.run(lambda: len(network.right.received) == 2 * MEGABYTE, seconds=10.0)
    assert BASE_PAYLOAD <= stream.sender.max_payload <= 1280 - HEADER_BYTES - IP_AND_UDP_BYTES


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_pass_beside_the_stream(seed: int) -> None:
    network = Network(seed, Weather(loss=0.2, duplicates=0.2, jitter=0.010))
    sent = [number.to_bytes(4, "big") for number in range(200)]
    stream = network.left.stream
    stream.write(content(seed, 20_000))
    for number, message in enumerate(sent):
        network.at(number * 0.005, lambda message=message: stream.send_message(message) and None)  # type: ignore[misc]
    network.at(2.0, stream.end)
    network.run(lambda: network.right.ended)
    got = network.right.messages
    assert set(got) <= set(sent)
    assert 100 < len(set(got)) < 200
    assert bytes(network.right.received) == content(seed, 20_000)


def test_the_same_seed_gives_the_same_history() -> None:
    def history() -> tuple[float, int, int]:
        network = Network(11, STORM)
        network.left.stream.write(content(1, 200_000))
        network.left.stream.end()
        network.run(lambda: network.right.ended)
        return network.now, network.left.datagrams, network.right.datagrams

    assert history() == history()


def test_nothing_is_kept_of_what_was_delivered() -> None:
    network = Network(5, STORM)
    sides: tuple[Side, Side] = (network.left, network.right)
    for side in sides:
        side.stream.write(content(5, 200_000))
        side.stream.end()
    network.run(lambda: both_closed(network))
    for side in sides:
        sender, receiver = side.stream.sender, side.stream.receiver
        assert not any((sender.flight, sender.lost, sender.queue, receiver.held, receiver.unread))
        assert side.stream.deadline() is None
