"""A UDX stream beneath a connection: what it tells it, and when."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from core.limits import MAX_SEND_BUFFER
from core.net.udp import UdpSocket
from core.net.udp_mux import DatagramHub, StreamTable
from core.net.udx_carrier import UdxCarrier
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PATIENCE = 60.0


class Above:
    """What stands in the place of the connection, and writes down what it is told."""

    def __init__(self, carrier: UdxCarrier) -> None:
        self.carrier = carrier
        self.data = bytearray()
        self.writables: list[bool] = []
        self.losses: list[OSError | None] = []
        self.closed = 0
        carrier.connection = self  # type: ignore[assignment]
        carrier.on_closed = self._closed

    def _closed(self) -> None:
        self.closed += 1

    def received(self, data: bytes) -> None:
        self.data += data

    def writable(self, is_writable: bool) -> None:
        self.writables.append(is_writable)

    def lost(self, error: OSError | None) -> None:
        self.losses.append(error)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Above, Above]]:
    """Two carriers joined over two sockets."""
    table = StreamTable()
    hubs = [DatagramHub(UdpSocket(), table) for _ in range(2)]
    streams = [hub.create_stream() for hub in hubs]
    for number in (0, 1):
        other = 1 - number
        streams[number].connect(streams[other].local_id, hubs[other].socket.local_address, hubs[number])
    left, right = (Above(UdxCarrier(stream, lambda: "punched")) for stream in streams)
    yield left, right
    for hub in hubs:
        hub.close()
    table.close()


async def test_a_reader_that_pauses_holds_up_the_writer_and_loses_nothing(ends: tuple[Above, Above]) -> None:
    left, right = ends
    sent = os.urandom(3 * MAX_SEND_BUFFER)
    right.carrier.pause_reading()
    left.carrier.write(sent)
    assert left.writables == [False]
    reader = right.carrier.stream.receiver
    await eventually(lambda: reader.window == 0)
    assert reader.unread_bytes <= reader.capacity + 1500
    assert left.carrier.unsent_bytes > MAX_SEND_BUFFER
    assert left.writables == [False]
    right.carrier.resume_reading()
    await eventually(lambda: len(right.data) == len(sent))
    assert right.data == sent
    await eventually(lambda: left.writables == [False, True])


async def test_close_says_everything_first_and_the_other_end_closes_too(ends: tuple[Above, Above]) -> None:
    left, right = ends
    left.carrier.write(b"last words")
    left.carrier.close()
    await eventually(lambda: left.closed + right.closed == 2)
    assert right.data == b"last words"
    assert left.losses == right.losses == [None]
    left.carrier.write(b"into the void")
    assert left.carrier.unsent_bytes == 0


async def test_a_paused_reader_can_close(ends: tuple[Above, Above]) -> None:
    left, right = ends
    right.carrier.pause_reading()
    left.carrier.write(bytes(MAX_SEND_BUFFER))
    left.carrier.close()
    await eventually(lambda: right.carrier.stream.receiver.unread_bytes > 0)
    right.carrier.close()
    await eventually(lambda: left.closed + right.closed == 2)
    assert left.losses == right.losses == [None]


async def test_abort_is_a_reset_for_the_other_end(ends: tuple[Above, Above]) -> None:
    left, right = ends
    left.carrier.write(b"something")
    await eventually(lambda: len(right.data) > 0)
    left.carrier.abort()
    await eventually(lambda: right.closed == 1)
    assert isinstance(right.losses[0], ConnectionResetError)
    assert left.losses == [None]


async def test_it_tells_how_it_goes_and_how_far_it_is(ends: tuple[Above, Above]) -> None:
    left, right = ends
    assert left.carrier.how == "punched"
    assert left.carrier.rtt is None
    left.carrier.write(b"x")
    await eventually(lambda: left.carrier.rtt is not None)
    assert 0 < (left.carrier.rtt or 0) < PATIENCE
    assert right.data == b"x"
