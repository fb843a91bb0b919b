"""What a person may want to know about the network, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from ..net.connection import Connection


@dataclass(frozen=True, slots=True)
class PeerError:
    """A dial that failed: when (seconds since 1970), whose key, and why in words."""

    at: float
    key: bytes
    sentence: str


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """One joined topic. `refreshed`: seconds since it was looked up or announced last; None: not yet.

    `peer_error`: why one of the peers that were found could not be connected, in words.
    """

    topic: bytes
    is_server: bool
    is_client: bool
    peers_found: int
    refreshed: float | None
    is_refreshing: bool
    error: str | None
    peer_error: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One open connection. `key`: the one its other side proved. `how`: direct, lan, punched, relayed or tcp.

    `since`: seconds since 1970; `rtt`: seconds, once measured.
    """

    key: bytes
    address: str
    how: str
    dialled: bool
    since: float
    bytes_in: int
    bytes_out: int
    rtt: float | None

    @classmethod
    def of(cls, connection: Connection) -> ConnectionStatus:
        """As it is at this moment."""
        return cls(
            key=connection.remote_public_key,
            address=connection.remote_address,
            how=connection.how,
            dialled=connection.is_initiator,
            since=connection.opened_at,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            rtt=connection.rtt,
        )


@dataclass(frozen=True, slots=True)
class SharedStatus:
    """One core that is open here. `peers` share it now; `found`: peers known under its topic, None when it joined none.

    `error`: why it could not be announced or looked up, in words.
    """

    key: bytes
    length: int
    is_mine: bool
    peers: int
    found: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """`state`: starting, online, degraded, offline or suspended. `address`: as others see us, "host:port".

    `nat`: "open" (anybody can connect), "consistent" (holes can be punched), "random" (only relays help some) or
    "unknown". `is_node`: this node stores for others and answers under an id of its own.
    """

    state: str
    nat: str
    address: str | None
    local_address: str
    bootstrap: tuple[str, ...]
    nodes: int
    is_node: bool
    topics: int
    announced: int
    queries: int
    waiting: int
    known_peers: int
    dialing: int
    errors: tuple[PeerError, ...]
    is_full: bool = False
    """All connections that this peer may make are in use."""

    @property
    def sentence(self) -> str:
        """Whether others reach us, in words, with the address they see."""
        match self._seen_as():
            case "open":
                return f"Anybody can connect to this machine, at {self.address}."
            case "consistent":
                return f"Behind a NAT or firewall; others see {self.address} and connect by punching holes."
            case "random":
                return (
                    f"Behind a NAT that takes another port for each peer; others see {self.address}. "
                    "Most peers are still reached."
                )
        return self.plain_sentence

    @property
    def plain_sentence(self) -> str:
        """The same without an address."""
        match self._seen_as():
            case "open":
                return "Anybody can connect to this machine."
            case "consistent":
                return "Behind a NAT or firewall; others connect by punching holes."
            case "random":
                return "Behind a NAT that takes another port for each peer. Most peers are still reached."
        if self.state == "starting":
            return "Looking for the network."
        if self.state == "suspended":
            return "The network is switched off."
        if self.state == "offline" or self.nodes == 0:
            return "No node of the network answers; peers are found by address only."
        return "Connected to the network; how others see this machine is not known yet."

    def _seen_as(self) -> str:
        """`nat` while it counts."""
        is_up = self.state in ("online", "degraded") and self.nodes > 0
        return self.nat if is_up else "unknown"
