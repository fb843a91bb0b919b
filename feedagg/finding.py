"""Finding peers of a bee in the DHT, when a visit asks for it.

The rows of `sources` decide when a bee is looked for (docs/decisions/0010-one-scheduler.md): its topic is joined at its
first visit and searched again at each later one. Between visits the swarm only renews the announcement, so a bee costs
no task, no timer and no socket.
"""

from __future__ import annotations

import asyncio

from core.errors import PeerUnreachable
from core.hyperbee import Hyperbee
from core.peer import Joined, Network, Peer, TopicStatus

PATIENCE_SECONDS = 20.0
"""How long a search and the connections it leads to may take: holes are punched, dead peers are waited for."""

LOOK_SECONDS = 0.5


class Finder:
    """The topics that were joined, by the key of the bee. Without a network it finds nothing."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._joined: dict[bytes, Joined] = {}

    @property
    def is_on(self) -> bool:
        return self._peer.network is not None

    def join(self, bee: Hyperbee) -> bool:
        """Be found as a holder of `bee`, and search for others: True if this was the first time."""
        network, core = self._peer.network, bee.core
        if network is None or core.key in self._joined:
            return False
        self._joined[core.key] = network.join(core.discovery_key)
        return True

    def leave(self, key: bytes) -> None:
        """Take the announcement of the bee with this key back."""
        joined = self._joined.pop(key, None)
        if joined is not None:
            joined.leave()

    async def find(self, bee: Hyperbee) -> None:
        """Search the DHT for peers of `bee` now, and return once one is connected.

        Raises `PeerUnreachable` with a sentence: nobody announces it, or nobody who does can be connected.
        """
        network, core = self._peer.network, bee.core
        assert network is not None
        if not self.join(bee):
            self._joined[core.key].refresh()
        added = asyncio.Event()

        def peer_added(*_: object) -> None:
            added.set()

        core.on("peer-add", peer_added)
        searching = asyncio.create_task(self._joined[core.key].flushed())
        connecting = asyncio.create_task(added.wait())
        trouble: str | None = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.wait({searching, connecting}, return_when=asyncio.FIRST_COMPLETED)
                if not core.peers and not _topic(network, bee).peers_found:
                    raise PeerUnreachable(_nobody(network, bee))
                while not core.peers and (topic := _topic(network, bee)).peers_found:
                    trouble = topic.peer_error or trouble
                    await asyncio.wait({connecting}, timeout=LOOK_SECONDS)
        except TimeoutError:
            pass
        finally:
            searching.cancel()
            connecting.cancel()
            core.off("peer-add", peer_added)
        if not core.peers:
            raise PeerUnreachable(_not_connected(network, bee, trouble))


def _topic(network: Network, bee: Hyperbee) -> TopicStatus:
    status = network.topic_status(bee.core.discovery_key)
    assert status is not None
    return status


def _nobody(network: Network, bee: Hyperbee) -> str:
    """Why a search that is over found no peer."""
    if network.status().nodes == 0 or _topic(network, bee).error is not None:
        return "The DHT could not be searched for this bee: none of its nodes answers at the moment."
    return (
        "Nobody announces this bee in the DHT at the moment. Its author's peer, or another that holds it, has to be "
        "running and online; or submit the key again with the address of a peer that holds it (host:port)."
    )


def _not_connected(network: Network, bee: Hyperbee, trouble: str | None) -> str:
    """Why nobody is connected although the search found somebody, or did not end in time."""
    topic = _topic(network, bee)
    if topic.refreshed is None and not topic.peers_found:
        return "The DHT did not answer in time when it was searched for this bee."
    if network.status().is_full:
        return (
            "This bee was found, but all connections of this aggregator are in use; it waits for its turn "
            "(setting max_peers)."
        )
    number = "A peer announces" if topic.peers_found <= 1 else f"{topic.peers_found} peers announce"
    return f"{number} this bee in the DHT, but no connection came about{f': {trouble}' if trouble else '.'}"
