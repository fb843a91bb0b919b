"""The whole of what this peer gives to others: which bees, how much of each is here, and who took how much."""

from __future__ import annotations

from dataclasses import dataclass

from .hyp.bees import Held
from .hyp.traffic import Taker
from .service import PeerService
from .views import Form, View

PAGE = 40
TAKERS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SharedBee:
    """One bee that is kept. `since`: when it was seeded (seconds since 1970), None for one's own.

    `takers` are the latest `TAKERS_SHOWN` of `taken_by` peers, since this process began.
    """

    key: str
    name: str | None
    is_own: bool
    is_personal: bool
    seeding: bool
    announced: bool
    since: float | None
    length: int
    blocks: int
    bytes: int
    sent: int
    received: int
    connected: int
    taken_by: int
    takers: tuple[Taker, ...]

    @property
    def percent(self) -> int | None:
        """How much of it is here; None while its length is not known."""
        return None if not self.length else 100 * self.blocks // self.length


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A log that is given to whoever asks while it is open here for another reason: it is followed, or holds images."""

    key: str
    is_own: bool
    length: int
    blocks: int
    sent: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Of everything together."""

    bees: int
    for_others: int
    bytes: int
    sent: int
    received: int
    peers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingView(View):
    """`sharing.html`. `bees`: those of this page; `older`: the key after which the next page begins."""

    totals: Totals
    bees: list[SharedBee]
    after: str | None
    older: str | None
    passed_on: list[PassedOn]
    form: Form
    is_online: bool


def shared_bees(service: PeerService) -> list[SharedBee]:
    """Every bee that is kept: one's own by name, then those seeded for others."""
    return [_shared(service, held) for held in service.bees.kept()]


def passed_on(service: PeerService) -> list[PassedOn]:
    """The other logs that are open, the largest part here first."""
    kept = {held.key for held in service.bees.kept()}
    cores = {core.key: core for core in service.peer.store.sessions if core.key not in kept}
    found = [
        PassedOn(
            key.hex(),
            core.writable,
            core.length,
            core.blocks_held,
            sum(peer.bytes_sent for peer in core.peers),
        )
        for key, core in cores.items()
    ]
    return sorted(found, key=lambda each: (-each.blocks, each.key))


def totals(bees: list[SharedBee], others: list[PassedOn], peers: int) -> Totals:
    """What all of it comes to."""
    return Totals(
        bees=len(bees),
        for_others=sum(not bee.is_own for bee in bees),
        bytes=sum(bee.bytes * bee.blocks // bee.length for bee in bees if bee.length),
        sent=sum(bee.sent for bee in bees) + sum(each.sent for each in others),
        received=sum(bee.received for bee in bees),
        peers=peers,
    )


def _shared(service: PeerService, held: Held) -> SharedBee:
    core, traffic = held.bee.core, held.traffic
    network = service.peer.network
    topic = None if network is None else network.topic_status(core.discovery_key)
    takers = list(traffic.takers.values())
    return SharedBee(
        key=held.key.hex(),
        name=held.name,
        is_own=held.is_own,
        is_personal=held is service.bees.main,
        seeding=held.seeding,
        announced=topic is not None and topic.is_server and topic.refreshed is not None,
        since=service.bees.seeded_since(held),
        length=core.length,
        blocks=core.blocks_held,
        bytes=core.byte_length,
        sent=traffic.up,
        received=traffic.down,
        connected=len(core.peers),
        taken_by=len(takers),
        takers=tuple(takers[: -TAKERS_SHOWN - 1 : -1]),
    )
