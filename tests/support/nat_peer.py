"""Nodes and peers of ours in a process of their own, which may live in another network namespace.

`python -m tests.support.nat_peer` reads one JSON object a line and answers as `tests/interop/node/hyperdht.js` does:

    testnet {hosts}                     -> {bootstrap}; one persistent node on each of these addresses
    echo {hosts}                        -> a port on which each host tells where a datagram came from
    poke {host, port}                   -> where that echo sees the socket of our own
    mapping {hosts, port}               -> the address of one socket here, as each of those hosts sees it
    open {name, bootstrap}              -> {nat}; a node, once it knows what kind of NAT it is behind
    listen {name, seed}                 -> {key}; an echo server
    connect {name, key, data, relay}    -> {data, how, remote}; how the connection came about, as we say it
    served {name}                       -> how each connection of the server came about
    author {bootstrap, pairs, relay}    -> {key}; a peer whose bee is announced
    read {bootstrap, key, relay}        -> {pairs, hows, nat, sentence}; a peer that has nothing but that key
    hows {}                             -> how each connection of the author came about
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

from core.crypto.keys import key_pair
from core.errors import MeadowError
from core.net.hyperdht import HyperDht
from core.peer import Peer
from core.swarm.network import nat_of
from tests.support.hyperdht import Echo, serve_echo
from tests.support.waiting import eventually

SECONDS = 60.0
LINE_LIMIT = 64 * 1024 * 1024


class NatPeer:
    """The verbs. What was opened lives as long as the process."""

    def __init__(self) -> None:
        self._nodes: dict[str, HyperDht] = {}
        self._echoes: dict[str, Echo] = {}
        self._peers: list[Peer] = []
        self._kept: list[Any] = []
        self._answers: asyncio.Queue[Any] = asyncio.Queue()

    async def testnet(self, hosts: list[str]) -> dict[str, Any]:
        bootstrap: list[str] = []
        for host in hosts:
            node = await HyperDht.open(
                host=host,
                ports=(0,),
                bootstrap=tuple(bootstrap),
                ephemeral=False,
                firewalled=False,
                known_host=None if bootstrap else host,
            )
            self._kept.append(node)
            await node.bootstrapped()
            if not bootstrap:
                bootstrap.append(f"{host}:{node.server_address[1]}")
        return {"bootstrap": bootstrap}

    async def echo(self, hosts: list[str]) -> int:
        """Bind all of them to one port, which is returned."""

        class Told(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, address: Any) -> None:
                if data == b"?":
                    self.transport.sendto(json.dumps(address).encode(), address)
                else:
                    answers.put_nowait(json.loads(data))

        loop, port, answers = asyncio.get_running_loop(), 0, self._answers
        for host in hosts:
            transport, _ = await loop.create_datagram_endpoint(Told, local_addr=(host, port))
            port = transport.get_extra_info("sockname")[1]
            self._kept.append(transport)
        return port

    async def poke(self, host: str, port: int) -> Any:
        """Ask another echo from the last socket of ours."""
        self._kept[-1].sendto(b"?", (host, port))
        async with asyncio.timeout(SECONDS):
            return await self._answers.get()

    async def mapping(self, hosts: list[str], port: int, seconds: float = SECONDS) -> list[list[Any]]:
        seen = []
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.bind(("0.0.0.0", 0))
            for host in hosts:
                await loop.sock_sendto(asker, b"?", (host, port))
                async with asyncio.timeout(seconds):
                    seen.append(json.loads(await loop.sock_recv(asker, 100)))
        return seen

    async def open(self, name: str, bootstrap: list[str]) -> dict[str, Any]:
        node = self._nodes[name] = await HyperDht.open(ports=(0,), bootstrap=tuple(bootstrap))
        await node.bootstrapped()
        await eventually(lambda: nat_of(node.machine) != "unknown", SECONDS)
        return {"nat": nat_of(node.machine)}

    async def listen(self, name: str, seed: str) -> dict[str, Any]:
        pair = key_pair(bytes.fromhex(seed))
        self._echoes[name] = await serve_echo(self._nodes[name], pair)
        return {"key": pair.public_key.hex()}

    async def connect(self, name: str, key: str, data: str, relay: str | None = None) -> dict[str, Any]:
        node = self._nodes[name]
        echo = Echo(node)
        through = None if relay is None else bytes.fromhex(relay)
        connection = echo.take(await node.connect(bytes.fromhex(key), relay_through=through))
        back = await echo.send(connection, bytes.fromhex(data))
        answer = {"data": back.hex(), "how": connection.how, "remote": connection.remote_address}
        connection.close()
        return answer

    def served(self, name: str) -> list[str]:
        return [meeting.how for meeting in self._echoes[name].meetings]

    async def author(
        self, bootstrap: list[str], pairs: list[list[Any]], relay: str | None = None
    ) -> dict[str, Any]:
        peer = await self._peer(bootstrap, relay)
        bee = peer.bee(name="main")
        async with bee.batch() as batch:
            for key, value in pairs:
                await batch.put(key, value)
        assert peer.network is not None
        assert await peer.network.driver.flushed()
        return {"key": bee.core.key.hex()}

    async def read(self, bootstrap: list[str], key: str, relay: str | None = None) -> dict[str, Any]:
        peer = await self._peer(bootstrap, relay)
        bee = peer.bee(key=bytes.fromhex(key))
        if not await peer.find(bee.core, SECONDS):
            assert peer.network is not None
            raise AssertionError(f"nobody was found: {peer.network.status()}")
        await bee.core.update(wait=True, timeout=SECONDS)
        pairs = [[entry.key, entry.value] async for entry in bee.range()]
        assert peer.network is not None
        status = peer.network.status()
        hows = [connection.how for connection in peer.connections]
        return {"pairs": pairs, "hows": hows, "nat": status.nat, "sentence": status.sentence}

    async def _peer(self, bootstrap: list[str], relay: str | None) -> Peer:
        through = None if relay is None else bytes.fromhex(relay)
        peer = await Peer.open(None, bootstrap=bootstrap, relay_through=through)
        self._peers.append(peer)
        return peer

    def hows(self) -> list[str]:
        return [connection.how for peer in self._peers for connection in peer.connections]


async def main() -> None:
    peer = NatPeer()
    lines = asyncio.StreamReader(LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        call = json.loads(line)
        number, verb = call.pop("id"), getattr(peer, call.pop("do"))
        answer: dict[str, Any] = {"id": number}
        try:
            answer["ok"] = await done if asyncio.iscoroutine(done := verb(**call)) else done
        except (MeadowError, OSError, AssertionError, TimeoutError) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
