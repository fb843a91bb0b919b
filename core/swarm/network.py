"""The network of one peer: a DHT node of its own and a swarm over it.

Whoever opens it says where the DHT begins. Bootstrap nodes on this machine only mean that nothing may leave it: then
the sockets are bound to loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..crypto.keys import KeyPair
from ..dht.address import is_ipv4, is_loopback
from ..dht.health import Health
from ..dht.hyper_commands import PUBLIC_BOOTSTRAP
from ..dht.node import DhtNode
from ..errors import BadArgument
from ..net.connection import Connection
from ..net.hyperdht import PORTS, HyperDht
from .driver import Joined, MakeConnection, SwarmDriver
from .status import NetworkStatus, TopicStatus
from .topics import Topic

LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = "0.0.0.0"  # noqa: S104 - a peer is there to be reached


class Network:
    """Open one with `Network.open`, and close it."""

    def __init__(self, dht: HyperDht, driver: SwarmDriver, bootstrap: tuple[str, ...]) -> None:
        self.dht = dht
        self.driver = driver
        self.bootstrap = bootstrap

    @classmethod
    async def open(
        cls,
        key_pair: KeyPair,
        make_connection: MakeConnection,
        *,
        bootstrap: Sequence[str] = PUBLIC_BOOTSTRAP,
        is_node: bool = False,
        port: int | None = None,
        max_peers: int = 64,
        relay_through: bytes | None = None,
        firewall: Callable[[bytes], bool] | None = None,
    ) -> Network:
        """Bind two UDP sockets and begin to look for the DHT; what is joined meanwhile waits until it is found.

        `bootstrap`: "host:port" of nodes to begin with. `is_node`: store for others as soon as that is possible, not
        only after a while. `port`: of the UDP socket that others reach; None takes the first free one of `PORTS` (on
        loopback any). `relay_through`: the key of a blind relay, for where no direct path is to be had. Raises
        `BadArgument` for addresses that are none, `OSError` without sockets.
        """
        given = tuple(bootstrap)
        stays_here = is_local(given)
        dht = await HyperDht.open(
            key_pair=key_pair,
            host=LOOPBACK if stays_here else ANYWHERE,
            ports=(port,) if port is not None else (0,) if stays_here else PORTS,
            any_port=port is None,
            bootstrap=given,
            ephemeral=False if is_node else None,
        )
        driver = SwarmDriver(
            dht,
            key_pair,
            make_connection=make_connection,
            max_peers=max_peers,
            firewall=firewall,
            relay_through=relay_through,
        )
        return cls(dht, driver, given)

    def join(
        self, topic: bytes, *, server: bool = True, client: bool = True, limit: int | None = None
    ) -> Joined:
        """Be found and find others under `topic` (32 bytes); see `Swarm.join`."""
        return self.driver.join(topic, server=server, client=client, limit=limit)

    def adopt(self, connection: Connection) -> None:
        """See `SwarmDriver.adopt`."""
        self.driver.adopt(connection)

    async def suspend(self) -> None:
        """Switch the network off: every connection ends, everything is taken back, the sockets close."""
        await self.driver.suspend()

    async def resume(self) -> None:
        await self.driver.resume()

    async def close(self) -> None:
        await self.driver.close()
        await self.dht.close()

    # --- what a person may want to know ---------------------------------------------------------------

    def status(self) -> NetworkStatus:
        machine, swarm = self.dht.machine, self.driver.swarm
        address = machine.public_address
        return NetworkStatus(
            state=self._state(),
            nat=nat_of(machine),
            address=None if address is None else f"{address[0]}:{address[1] or '*'}",
            local_address=""
            if machine.suspended or machine.closed
            else "{}:{}".format(*self.dht.server_address),
            bootstrap=self.bootstrap,
            nodes=len(machine.table),
            is_node=not machine.ephemeral,
            topics=len(swarm.topics),
            announced=swarm.announced,
            queries=swarm.queries_running,
            waiting=swarm.queries_waiting,
            known_peers=len(swarm.peers),
            dialing=swarm.links.dialing,
            errors=tuple(self.driver.errors),
            is_full=not swarm.has_room,
        )

    def topic_status(self, topic: bytes) -> TopicStatus | None:
        """None when it is not joined."""
        joined = self.driver.swarm.topics.get(topic)
        return None if joined is None else _topic_status(joined, self.driver.now())

    def _state(self) -> str:
        machine = self.dht.machine
        if machine.suspended or machine.closed:
            return "suspended"
        if not machine.bootstrapped:
            return "starting"
        return {Health.ONLINE: "online", Health.DEGRADED: "degraded", Health.OFFLINE: "offline"}[
            machine.health.state
        ]


def nat_of(machine: DhtNode) -> str:
    """What is between this machine and the others; see `NetworkStatus.nat`."""
    if machine.remote_address is not None:
        return "open"
    if machine.public_address is None:
        return "unknown"
    return "consistent" if machine.public_address[1] else "random"


def _topic_status(topic: Topic, now: float) -> TopicStatus:
    return TopicStatus(
        topic=topic.key,
        is_server=topic.is_server,
        is_client=topic.is_client,
        peers_found=len(topic.peers),
        refreshed=None if topic.refreshed_at is None else now - topic.refreshed_at,
        is_refreshing=topic.query is not None,
        error=topic.last_error,
        peer_error=next((peer.last_error for peer in topic.peers if peer.last_error), None),
    )


def is_local(bootstrap: tuple[str, ...]) -> bool:
    """Whether every bootstrap node is on this machine. Raises `BadArgument`."""
    if not bootstrap:
        raise BadArgument("No bootstrap node is named; give at least one HOST:PORT, as in 127.0.0.1:49737.")
    hosts = []
    for entry in bootstrap:
        host, colon, port = entry.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise BadArgument(f"{entry!r} is not the HOST:PORT of a bootstrap node, as in 127.0.0.1:49737.")
        hosts.append(host)
    return all(host == "localhost" or (is_ipv4(host) and is_loopback(host)) for host in hosts)
