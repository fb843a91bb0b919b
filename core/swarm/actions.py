"""What the swarm wants done. The driver takes the list, does each in order, and reports what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .flush import Flush
from .links import Link
from .peers import Address, KnownPeer
from .topics import Query


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept connections under the own key; report `Swarm.listening`."""


@dataclass(frozen=True, slots=True)
class StopListening:
    """Take the own key out of the DHT and accept nobody."""


@dataclass(frozen=True, slots=True)
class StartQuery:
    """Run `query`; report `Swarm.found` as peers come in and `Swarm.query_done` once at its end."""

    query: Query


@dataclass(frozen=True, slots=True)
class StopQuery:
    """Nobody needs `query` any more; nothing is reported of it."""

    query: Query


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to `link.key`; report `Swarm.dial_opened` and, at its end, `Swarm.link_closed`.

    `relay_addresses` are the nodes its record named (handshakes go through them); `relay_through` is the key of a
    blind relay to go through, when a direct path is not to be hoped for.
    """

    link: Link
    relay_addresses: tuple[Address, ...]
    relay_through: bytes | None


@dataclass(frozen=True, slots=True)
class Connect:
    """`link` is open and is the connection with that peer from now on."""

    link: Link
    peer: KnownPeer


@dataclass(frozen=True, slots=True)
class Prove:
    """Open the incoming `link` beside the one there is; report `Swarm.proved` when its remote has shown its keys."""

    link: Link


@dataclass(frozen=True, slots=True)
class Destroy:
    """End `link` at once; report `Swarm.link_closed`."""

    link: Link
    reason: str


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Say something on `link`, so that a dead one is noticed soon."""

    link: Link


@dataclass(frozen=True, slots=True)
class Ban:
    """`key` was banned."""

    key: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """`flush` is over; `complete` is False when the swarm stopped meanwhile."""

    flush: Flush
    complete: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """After `suspend` or `stop`: every query is over and every link is closed."""


Action: TypeAlias = (
    Listen
    | StopListening
    | StartQuery
    | StopQuery
    | Dial
    | Connect
    | Prove
    | Destroy
    | KeepAlive
    | Ban
    | Flushed
    | Idle
)
