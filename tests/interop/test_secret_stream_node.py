"""Secret streams and protomux against @hyperswarm/secret-stream 6.9.2 and protomux 3.12.1, over TCP, in both roles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.protomux import Mux
from core.secret_stream import SecretStream
from tests.support.node import NodePeer
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.interop,
    pytest.mark.parametrize("python_initiates", [True, False]),
]

PYTHON, NODE = key_pair(b"p" * 32), key_pair(b"n" * 32)
SIZES = [1, 2, 236, 237, 65_000, 70_000, 300_000, 1, 5_000_000, 3]

LISTEN = """
  const server = packages.net.createServer()
  state.arrived = new Promise((resolve) => server.once('connection', (socket) => { server.close(); resolve(socket) }))
  return await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
"""

START = """
  const socket = args.port ? packages.net.connect(args.port, '127.0.0.1') : await state.arrived
  const keyPair = packages.SecretStream.keyPair(Buffer.from(args.seed, 'hex'))
  const stream = state.stream = new packages.SecretStream(Boolean(args.port), socket, { keyPair })
  state.ended = new Promise((resolve) => stream.on('close', resolve))
  stream.on('error', (error) => { state.error = String(error.message) })
  if (!(await stream.opened)) throw new Error('the stream did not open: ' + state.error)
  return {
    remotePublicKey: stream.remotePublicKey.toString('hex'),
    handshakeHash: stream.handshakeHash.toString('hex')
  }
"""

MUX = """
  const { Protomux } = packages
  const raw = {
    preencode (s, b) { s.end += b.byteLength },
    encode (s, b) { s.buffer.set(b, s.start); s.start += b.byteLength },
    decode (s) { const b = s.buffer.subarray(s.start, s.end); s.start = s.end; return b }
  }
  const mux = state.mux = new Protomux(state.stream)
  state.log = []
  state.open = (protocol, id, handshake) => {
    const label = id ? `${protocol}/${id}` : protocol
    const channel = mux.createChannel({
      protocol,
      id: id ? Buffer.from(id) : null,
      handshake: raw,
      messages: [0, 1].map((type) => ({ onmessage: (m) => { state.log.push(`${label} ${type} ${m.toString()}`) } })),
      onopen: (h) => { state.log.push(`${label} opened ${h.toString()}`) },
      onclose: (isRemote) => { state.log.push(`${label} closed ${isRemote ? 'by remote' : 'here'}`) }
    })
    channel.open(Buffer.from(handshake || ''))
    return channel
  }
  mux.pair({ protocol: 'lazy' }, (id) => { state.lazy = state.open('lazy', id && id.toString(), 'lazy node') })
"""


class Wire(asyncio.Protocol):
    """The smallest carrier of a secret stream: what `core/net` does, without its comforts."""

    def __init__(self, is_initiator: bool) -> None:
        self.stream = SecretStream(is_initiator, PYTHON)
        self.messages: list[bytes] = []
        self.mux: Mux | None = None
        self.log: list[str] = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.flush()

    def data_received(self, data: bytes) -> None:
        for message in self.stream.receive(data):
            if self.mux is None:
                self.messages.append(message)
            else:
                self.mux.receive(message)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def flush(self) -> None:
        self.transport.write(self.stream.data_to_send())

    def start_mux(self) -> Mux:
        stream = self.stream
        self.mux = Mux(
            is_initiator=stream.is_initiator,
            handshake_hash=stream.handshake_hash,
            remote_public_key=stream.remote_public_key,
            send=stream.send,
        )
        self.mux.pair("lazy", lambda id: self.open("lazy", id, b"lazy python"))
        return self.mux

    def open(self, protocol: str, id: bytes | None = None, handshake: bytes = b"") -> Any:
        assert self.mux is not None
        label = protocol if id is None else f"{protocol}/{id.decode()}"
        log = self.log

        def hearing(type: int) -> Callable[[bytes, int], None]:
            return lambda frame, position: log.append(f"{label} {type} {frame[position:].decode()}")

        return self.mux.create_channel(
            protocol,
            id,
            messages=[hearing(0), hearing(1)],
            handshake=handshake,
            on_open=lambda remote: log.append(f"{label} opened {remote.decode()}"),
            on_close=lambda: log.append(f"{label} closed"),
        )


async def join(node: NodePeer, python_initiates: bool) -> Wire:
    """A Python end and a Node end that know each other."""
    loop = asyncio.get_running_loop()
    if python_initiates:
        port = await node.run(LISTEN)
        _, wire = await loop.create_connection(lambda: Wire(True), "127.0.0.1", port)
        facts = await node.run(START, seed=NODE.secret_key[:32].hex())
    else:
        wire = Wire(False)
        server = await loop.create_server(lambda: wire, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        facts = await node.run(START, seed=NODE.secret_key[:32].hex(), port=port)
        server.close()
    await eventually(lambda: wire.stream.opened)
    assert facts["remotePublicKey"] == PYTHON.public_key.hex()
    assert facts["handshakeHash"] == wire.stream.handshake_hash.hex()
    assert wire.stream.remote_public_key == NODE.public_key
    return wire


async def test_messages_of_all_sizes_come_back(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run("state.stream.on('data', (data) => state.stream.write(data))")
    sent = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for message in sent:
        wire.stream.send(message)
        wire.stream.send(b"")  # keep-alives between them: the official side hands them on, ours does not
    wire.flush()
    await eventually(lambda: len(wire.messages) == len(sent))
    assert wire.messages == sent


async def test_node_ends_the_stream(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run("state.stream.on('data', () => {}); state.stream.end(Buffer.from('goodbye'))")
    await asyncio.wait_for(wire.lost, 60)
    assert wire.messages == [b"goodbye"]


async def test_a_frame_we_forge_is_refused_by_node(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run("state.stream.on('data', () => {})")
    wire.transport.write(b"\x11\x00\x00" + bytes(17))
    await node_peer.run("await state.ended")
    await asyncio.wait_for(wire.lost, 60)


async def test_channels_with_handshakes_and_two_types(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run(
        MUX
        + "state.a = state.open('both', '7', 'hello from node'); state.a.messages[1].send(Buffer.from('n1'))"
    )
    wire.start_mux()
    channel = wire.open("both", b"7", b"hello from python")
    channel.send(0, b"p0")
    channel.send(1, b"p1")
    channel.send(9, b"a type that nobody knows")
    wire.flush()
    await eventually(lambda: len(wire.log) == 2)
    assert wire.log == ["both/7 opened hello from node", "both/7 1 n1"]
    assert await wait_for_log(node_peer, 3) == [
        "both/7 opened hello from python",
        "both/7 0 p0",
        "both/7 1 p1",
    ]
    await node_peer.run("state.a.close()")
    await eventually(lambda: channel.closed)
    assert wire.log[2:] == ["both/7 closed"]


async def test_channels_on_demand_each_way(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run(MUX)
    wire.start_mux()
    ours = wire.open("lazy", b"ours", b"please")
    ours.send(0, b"early")
    wire.flush()
    await eventually(lambda: ours.opened)
    assert await wait_for_log(node_peer, 2) == ["lazy/ours opened please", "lazy/ours 0 early"]
    await node_peer.run(
        "state.b = state.open('lazy', 'theirs', 'please'); state.b.messages[0].send(Buffer.from('early'))"
    )
    await eventually(lambda: "lazy/theirs 0 early" in wire.log)
    assert wire.log == ["lazy/ours opened lazy node", "lazy/theirs opened please", "lazy/theirs 0 early"]
    ours.close()
    wire.flush()
    assert (await wait_for_log(node_peer, 4))[2:] == [
        "lazy/theirs opened lazy python",
        "lazy/ours closed by remote",
    ]


async def test_rejections_and_reused_numbers(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run(MUX)
    wire.start_mux()
    for _ in range(3):
        channel = wire.open("nobody has this")
        channel.send(0, b"lost")
        wire.flush()
        await eventually(lambda: channel.closed)  # noqa: B023
    await node_peer.run("for (let i = 0; i < 3; i++) state.open('nobody', String(i))")
    rejected = [f"nobody/{number} closed by remote" for number in range(3)]
    assert await wait_for_log(node_peer, 3) == rejected
    ours = wire.open("lazy")
    wire.flush()
    await eventually(lambda: ours.opened)


async def test_batches_each_way(node_peer: NodePeer, python_initiates: bool) -> None:
    wire = await join(node_peer, python_initiates)
    await node_peer.run(MUX)
    mux = wire.start_mux()
    mux.cork()
    one, two = wire.open("lazy", b"1"), wire.open("lazy", b"2")
    expected = {"lazy/1": [], "lazy/2": []}  # type: dict[str, list[str]]
    for number in range(500):
        (one, two)[number // 3 % 2].send(number % 2, str(number).encode())
        label = ("lazy/1", "lazy/2")[number // 3 % 2]
        expected[label].append(f"{label} {number % 2} {number}")
    mux.uncork()
    wire.flush()
    log = await wait_for_log(node_peer, 502)
    for label, lines in expected.items():
        assert [line for line in log if line.startswith(label) and "opened" not in line] == lines
    await eventually(lambda: one.opened and two.opened)
    await node_peer.run("""
      state.mux.cork()
      for (const channel of state.mux) {
        for (let i = 0; i < 300; i++) channel.messages[i % 2].send(Buffer.from('x'.repeat(i)))
      }
      state.mux.uncork()
    """)
    await eventually(lambda: len(wire.log) == 2 + 600)
    for label in expected:
        assert [line for line in wire.log if line.startswith(f"{label} ") and "opened" not in line] == [
            f"{label} {number % 2} {'x' * number}" for number in range(300)
        ]


async def test_many_channels_that_come_and_go(node_peer: NodePeer, python_initiates: bool) -> None:
    """Both sides open and close at once, closes cross, numbers are reused: the connection holds."""
    wire = await join(node_peer, python_initiates)
    await node_peer.run(MUX)
    wire.start_mux()
    for round in range(5):
        ours = [wire.open("lazy", f"p{round}.{number}".encode()) for number in range(20)]
        wire.flush()
        await node_peer.run(
            "state.mine = args.ids.map((id) => state.open('lazy', id));"
            "state.mine.slice(0, 10).forEach((channel) => channel.close())",
            ids=[f"n{round}.{number}" for number in range(20)],
        )
        for channel in ours[::2]:
            channel.close()
        wire.flush()
        await eventually(lambda: all(channel.opened for channel in ours[1::2]))  # noqa: B023
        await node_peer.run("state.mine.slice(10).forEach((c) => c.close())")
        for channel in ours[1::2]:
            channel.close()
        wire.flush()
    last = wire.open("lazy", b"last")
    wire.flush()
    await eventually(lambda: last.opened)
    assert await node_peer.run("return state.error || null") is None
    assert wire.mux is not None
    await eventually(lambda: list(wire.mux.channels) == [last])  # type: ignore[union-attr]
    assert len(wire.mux._local) <= 41


async def wait_for_log(node: NodePeer, lines: int) -> list[str]:
    async with asyncio.timeout(60):
        while len(log := await node.run("return state.log")) < lines:
            await asyncio.sleep(0.005)
    return log
