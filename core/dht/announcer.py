"""Keeping a server findable: announced at the three nodes nearest to its key, and in touch with them.

Those nodes forward handshakes to where the announcement came from, so the way back to us must stay open: they are
pinged every three seconds from the same socket. When some of them fall silent, after about five minutes, or when the
network changed, the nearest are looked for again; nodes that are not used any more are told to forget us.

Source: hyperdht 6.34.0 `lib/announcer.js`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair
from ..errors import MeadowError
from .address import Address
from .asking import ask, ping
from .flow import Flow, Outcome, gather
from .handshake_messages import RelayInfo
from .hyper_commands import ANNOUNCE, FIND_PEER
from .outgoing import Reply
from .publishing import unannounce_at
from .query import Query
from .records import PeerRecord, encode_announcement, encode_peer
from .signatures import sign_announcement
from .world import World

RELAYS: Final = 3
PING_SECONDS: Final = 3.0
ROUNDS: Final = 100
MAX_PAUSE_SECONDS: Final = 60.0
"""Between attempts while no node takes the announcement."""


class Announcer:
    """One for each server. `announced` is set after the first attempt, whether or not a node took it."""

    def __init__(self, world: World, key_pair: KeyPair) -> None:
        self.target = hash32(key_pair.public_key)
        self.record = encode_peer(PeerRecord(key_pair.public_key))
        self.relays: tuple[RelayInfo, ...] = ()
        self.relay_addresses: tuple[Address, ...] = ()
        """What others may be told: nodes that forward to us, and ourselves first when we are open."""
        self.announced: Outcome[None] = Outcome()
        self._world = world
        self._key_pair = key_pair
        self._closest: list[Address] = []
        # Nodes of the last three announcements: a handshake may still be on its way through an older one.
        self._rounds: list[set[Address]] = [set(), set(), set()]
        self._failures = 0
        self._refresh = False
        self._stopped = False
        self._suspended = False
        self._nap: Outcome[None] = Outcome()
        self._query: Query | None = None
        self._flow: Flow[None] | None = None

    def start(self) -> None:
        self._flow = Flow(self._run())

    def is_relay(self, address: Address) -> bool:
        return any(address in nodes for nodes in self._rounds)

    def refresh(self) -> None:
        """Announce again soon: the network changed."""
        self._refresh = True
        self._nap.set(None)

    def stop(self) -> Outcome[None]:
        """Take everything back; the outcome is set when the nodes have answered (or not)."""
        self._stopped = True
        self._break_off()
        return Flow(self._take_back(self._rounds[2].copy())).result

    def suspend(self) -> Outcome[None]:
        """Like `stop`, until `resume`."""
        self._suspended = True
        self._break_off()
        return Flow(self._take_back(self._rounds[2].copy())).result

    def resume(self) -> None:
        if self._suspended and not self._stopped:
            self._suspended = False
            self.start()

    def _break_off(self) -> None:
        if self._query is not None:
            self._query.cancel()
            self._query = None
        if self._flow is not None:
            self._flow.cancel()
        self.announced.set(None)

    async def _run(self) -> None:
        while True:
            self._refresh = False
            try:
                await self._announce()
            except MeadowError:
                pass  # the next round may find better nodes
            self.announced.set(None)
            await self._keep_in_touch()

    async def _keep_in_touch(self) -> None:
        """Until the relays must be looked for again."""
        for _ in range(ROUNDS):
            nodes = sorted(self._rounds[2])
            pings = [ping(self._world.node, node) for node in nodes]
            alive = sum(outcome.error is None for outcome in await gather(pings))
            if self._refresh:
                return
            if not nodes:
                self._failures += 1
                await self._pause(min(PING_SECONDS * 2**self._failures, MAX_PAUSE_SECONDS))
                return
            self._failures = 0
            await self._pause(PING_SECONDS)
            if self._refresh or alive < min(len(nodes), RELAYS):
                return

    async def _pause(self, seconds: float) -> None:
        self._nap = nap = self._world.timers.sleep(seconds)
        await nap

    async def _announce(self) -> None:
        _, older, old = self._rounds
        fresh: set[Address] = set()
        self._rounds = [older, old, fresh]
        closest = await self._nearest()
        outcomes = await gather([self._announce_at(reply) for reply in closest[:RELAYS]])
        relays: list[RelayInfo] = []
        for outcome in outcomes:
            if outcome.error is None:
                info = outcome.result()
                if info is not None:
                    relays.append(info)
                    fresh.add(info.relay_address)
        own = self._world.node.remote_address
        known = [own] if own is not None else []
        self.relays = tuple(relays)
        self.relay_addresses = tuple([*known, *(info.relay_address for info in relays)][:RELAYS])
        await self._take_back(old - fresh)

    async def _nearest(self) -> list[Reply]:
        done: Outcome[None] = Outcome()
        self._query = query = self._world.node.query(
            self.target, FIND_PEER, nodes=self._closest, on_done=lambda _: done.set(None)
        )
        await done
        self._query = None
        self._closest = query.closest_nodes
        return query.closest_replies

    def _announce_at(self, reply: Reply) -> Outcome[RelayInfo | None]:
        async def announce() -> RelayInfo | None:
            if reply.token is None or reply.id is None:
                return None
            signed = sign_announcement(self._key_pair, self.target, reply.id, reply.token)
            answer = await ask(
                self._world.node,
                reply.address,
                ANNOUNCE,
                target=self.target,
                value=encode_announcement(signed),
                token=reply.token,
            )
            return None if answer.error else RelayInfo(reply.address, reply.to)

        return Flow(announce()).result

    async def _take_back(self, nodes: Iterable[Address]) -> None:
        # Sorted: a simulation of this repeats by its seed, whatever order a set has.
        await gather([Flow(self._take_back_at(node)).result for node in sorted(nodes)])

    async def _take_back_at(self, node: Address) -> None:
        reply = await ask(self._world.node, node, FIND_PEER, target=self.target)
        if reply.value is None:
            return
        settled: Outcome[None] = Outcome()
        unannounce_at(self._world.node, reply, self._key_pair, self.target, lambda _: settled.set(None))
        await settled
