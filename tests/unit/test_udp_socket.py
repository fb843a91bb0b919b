"""The UDP socket and who its datagrams are for: buffers, offload, runs, and what is left after close."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.net.udp import WANTED_RECEIVE_BUFFER, WANTED_SEND_BUFFER, UdpSocket
from core.net.udp_mux import LINGER_SECONDS, DatagramHub, StreamTable
from core.udx import Address, UdxStream
from tests.support.udx_end import Watched, content_hash
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PATIENCE = 60.0


@pytest.fixture
async def pair() -> AsyncIterator[tuple[UdpSocket, UdpSocket]]:
    left, right = UdpSocket(), UdpSocket()
    yield left, right
    left.close()
    right.close()


class Stubborn:
    """A kernel's socket that answers `sendmsg` and `sendto` with an error as often as it is told."""

    def __init__(self, real: socket.socket, number: int, times: int, only_trains: bool) -> None:
        self.real, self.number, self.times, self.only_trains = real, number, times, only_trains

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def fileno(self) -> int:
        return self.real.fileno()

    def _refuse(self, is_train: bool) -> None:
        if self.times and (is_train or not self.only_trains):
            self.times -= 1
            raise OSError(self.number, os.strerror(self.number))

    def sendmsg(self, buffers: Any, control: Any = (), flags: int = 0, address: Any = None) -> int:
        self._refuse(bool(control))
        return self.real.sendmsg(buffers, control, flags, address)

    def sendto(self, data: bytes, address: Any) -> int:
        self._refuse(False)
        return self.real.sendto(data, address)


# --- buffers ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/sys/net/core/rmem_max").exists(), reason="only Linux tells its maximum")
async def test_the_largest_buffers_that_the_kernel_allows_are_taken() -> None:
    sock = UdpSocket()
    for name, wanted, got in (
        ("rmem_max", WANTED_RECEIVE_BUFFER, sock.receive_buffer),
        ("wmem_max", WANTED_SEND_BUFFER, sock.send_buffer),
    ):
        most = int(Path(f"/proc/sys/net/core/{name}").read_text())
        assert got == 2 * min(most, wanted)  # Linux counts double, for its own bookkeeping
    sock.close()


async def test_the_window_of_a_stream_fits_the_buffer_that_was_given() -> None:
    hub = DatagramHub(UdpSocket())
    for granted, window in ((425_984, 106_496), (8 << 20, 2 << 20), (1, 64 * 1024), (1 << 30, 4 << 20)):
        hub.socket.receive_buffer = granted
        assert hub.create_stream().receiver.window == window
    hub.close()
    hub.table.close()


# --- trains -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("lengths", [[1172] * 40, [1172, 1172, 300], [20], [1472] * 44 + [1]])
async def test_a_train_arrives_as_its_datagrams(offload: bool, lengths: list[int]) -> None:
    sender, receiver = UdpSocket(offload=offload), UdpSocket(offload=offload)
    got: list[bytes] = []
    receiver.on_datagram = lambda data, address: got.append(data)
    sent = [os.urandom(length) for length in lengths]
    sender.send_train(list(sent), lengths[0], receiver.local_address)
    await eventually(lambda: len(got) == len(sent))
    assert got == sent
    assert sender.datagrams_sent == len(sent)
    sender.close()
    receiver.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EOPNOTSUPP])
async def test_a_kernel_without_segmentation_gets_the_datagrams_one_by_one(
    pair: tuple[UdpSocket, UdpSocket], number: int
) -> None:
    sender, receiver = pair
    sender._socket = stubborn = Stubborn(sender._socket, number, 100, only_trains=True)  # type: ignore[assignment]
    got: list[bytes] = []
    receiver.on_datagram = lambda data, address: got.append(data)
    for _ in range(2):
        sender.send_train([bytes(100)] * 5, 100, receiver.local_address)
    await eventually(lambda: len(got) == 10)
    assert got == [bytes(100)] * 10
    assert stubborn.times == 99, "it is not asked again"
    assert sender.send_errors == 0


async def test_what_the_kernel_has_no_room_for_waits(pair: tuple[UdpSocket, UdpSocket]) -> None:
    sender, receiver = pair
    sender._socket = Stubborn(sender._socket, errno.EAGAIN, 3, only_trains=False)  # type: ignore[assignment]
    got: list[bytes] = []
    writable: list[bool] = []
    receiver.on_datagram = lambda data, address: got.append(data)
    sender.on_writable = lambda: writable.append(True)
    sender.send_train([bytes([number]) * 100 for number in range(5)], 100, receiver.local_address)
    assert sender.blocked
    await eventually(lambda: len(got) == 5)
    assert [data[0] for data in got] == [0, 1, 2, 3, 4]
    assert writable
    assert not sender.blocked


async def test_an_unreachable_address_is_a_loss_and_no_error(pair: tuple[UdpSocket, UdpSocket]) -> None:
    sender, receiver = pair
    sender._socket = Stubborn(sender._socket, errno.ENETUNREACH, 2, only_trains=False)  # type: ignore[assignment]
    sender.send_train([bytes(100)] * 2, 100, receiver.local_address)
    sender.send(b"x", receiver.local_address)
    assert sender.send_errors == 2


# --- runs ---------------------------------------------------------------------------------------------


async def test_datagrams_of_one_sender_and_size_come_in_one_run() -> None:
    """Whatever the runs, every datagram keeps its edges and its sender."""
    receiver = UdpSocket()
    runs: list[tuple[int, int]] = []
    got: list[tuple[bytes, Address]] = []

    def segments(view: memoryview, length: int, size: int, address: Address) -> None:
        runs.append((length, size))
        got.extend((bytes(view[at : min(at + size, length)]), address) for at in range(0, length, size))

    receiver.on_segments = segments
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    sent = []
    for number, (who, size) in enumerate(
        [(0, 50)] * 8 + [(1, 50)] * 3 + [(1, 20)] * 3 + [(0, 50), (1, 49), (1, 50)]
    ):
        data = bytes([number]) * size
        senders[who].sendto(data, receiver.local_address)
        sent.append((data, who))
    await eventually(lambda: len(got) == len(sent))
    for sock in senders:
        sock.close()
    receiver.close()
    assert [data for data, _ in got] == [data for data, _ in sent]
    ports = [address[1] for _, address in got]
    assert [ports[0] == port for port in ports] == [who == 0 for _, who in sent]
    assert len(runs) < len(sent)


async def test_a_callback_may_close_the_socket() -> None:
    receiver, sender = UdpSocket(), UdpSocket()
    got: list[int] = []

    def segments(view: memoryview, length: int, size: int, address: Address) -> None:
        got.append(length)
        receiver.close()

    receiver.on_segments = segments
    for size in (10, 11, 12):
        sender.send(bytes(size), receiver.local_address)
    await eventually(lambda: receiver.closed)
    await asyncio.sleep(0)
    assert got == [10]
    sender.close()


async def test_no_task_and_no_timer_for_each_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up costs the loop a few handles, whatever it brings; a packet costs it none."""
    loop = asyncio.get_running_loop()
    made = dict.fromkeys(("call_soon", "call_at", "create_task", "create_future"), 0)
    table = StreamTable()
    hubs, ends = await joined(table)
    sending = asyncio.create_task(ends[0].send("cheap", 8_000_000))

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            made[name] += 1
            return real(*arguments, **named)

        return count

    for name in made:
        monkeypatch.setattr(loop, name, counting(name, getattr(loop, name)))
    await ends[1].received
    await sending
    monkeypatch.undo()
    packets = ends[0].stream.sender.packets_sent + ends[1].stream.packets_received
    assert packets > 10_000
    assert sum(made.values()) < packets / 5, made
    for hub in hubs:
        hub.close()
    table.close()


# --- strangers ----------------------------------------------------------------------------------------


async def test_a_flood_of_noise_on_the_port_harms_no_stream() -> None:
    """Noise, and headers that look like UDX for streams that are not here, while a transfer goes on."""
    table = StreamTable()
    hubs, ends = await joined(table)
    probes: list[Address] = []
    hubs[1].on_probe = probes.append
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    noise = Random(5)
    sending = asyncio.create_task(ends[0].send("through the noise", 8_000_000))
    for number in range(4_000):
        data = noise.randbytes(noise.randrange(1, 60))
        if number % 2:
            data = bytes([0xFF, 1, noise.randrange(256), 0]) + bytes(4) + data
        stranger.sendto(data, hubs[1].socket.local_address)
        if number % 20 == 0:
            await asyncio.sleep(0)
    stranger.close()
    await sending
    assert (await ends[1].received)["hash"] == content_hash("through the noise", 8_000_000)
    assert len(table.streams) <= 2
    for hub in hubs:
        hub.close()
    table.close()


# --- after close --------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


async def joined(table: StreamTable) -> tuple[list[DatagramHub], list[Watched]]:
    hubs = [DatagramHub(UdpSocket(), table) for _ in range(2)]
    ends = [Watched(hub.create_stream()) for hub in hubs]
    for number in (0, 1):
        other = 1 - number
        remote = hubs[other].socket.local_address
        ends[number].stream.connect(ends[other].stream.local_id, remote, hubs[number])
    return hubs, ends


async def test_nothing_is_left_after_close() -> None:
    """No socket, no timer, no object: after transfers that ended, that were cut off, and that never began."""
    loop = asyncio.get_running_loop()
    gc.collect()
    before, timers = descriptors(), len(loop._scheduled)  # type: ignore[attr-defined]
    references = await live_and_close()
    await asyncio.sleep(0.01)
    gc.collect()
    assert [reference() for reference in references if reference() is not None] == []
    assert descriptors() <= before
    assert len([timer for timer in loop._scheduled if not timer.cancelled()]) <= timers + 1  # type: ignore[attr-defined]


async def live_and_close() -> list[weakref.ref[Any]]:
    """References to everything there was."""
    table = StreamTable()
    hubs, ends = await joined(table)
    await ends[0].send("kept by nobody", 3_000_000)
    answer = await ends[1].received
    assert answer["hash"] == content_hash("kept by nobody", 3_000_000)
    for end in ends:
        assert await end.closed is None
    assert table.streams == {}
    more_hubs, more_ends = await joined(table)
    more_ends[0].stream.write(bytes(1_000_000))
    hubs[0].create_stream()
    reader = more_ends[1]
    await eventually(lambda: reader.bytes > 0)
    references = [
        weakref.ref(thing)
        for thing in (
            *hubs,
            *more_hubs,
            *(hub.socket for hub in hubs),
            *(end.stream for end in ends + more_ends),
        )
    ]
    references.append(weakref.ref(table))
    for hub in hubs + more_hubs:
        hub.close()
    table.close()
    return references


async def test_ten_thousand_streams_that_ended_leave_their_last_acks_only_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = StreamTable()
    hub = DatagramHub(UdpSocket(), table)
    now = 1000.0
    monkeypatch.setattr(table, "now", lambda: now)

    def ended_stream() -> UdxStream:
        stream = hub.create_stream()
        stream.connect(5, ("127.0.0.1", 9), hub)
        stream.receiver.ended = True
        stream.destroy()
        return stream

    for _ in range(10_000):
        ended_stream()
    assert len(table._lingering) <= 4096
    assert len(table._linger_ends) <= 4096
    now += LINGER_SECONDS + 1
    ended_stream()
    assert len(table._lingering) == 1
    assert table.streams == {}
    hub.close()
    table.close()
