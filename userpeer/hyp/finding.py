"""Bringing somebody else's bee up to date before it is read, and saying in words why that did not work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.errors import RequestTimeout
from core.hyperbee import Hyperbee
from core.peer import Peer
from userpeer.errors import UserError

if TYPE_CHECKING:
    from .bees import Held

QUICK_SECONDS = 2.0
"""How long a read waits for peers when it could also be answered from what is here."""

LOOK_AGAIN_SECONDS = 10.0
"""A look that found nobody is not repeated by the next read, if that comes within this time."""

_REFRESH_SECONDS = 2.0


class Unreachable(UserError):
    """Nothing of the bee is here, and nobody who has it could be found."""

    code = "unreachable"
    status = 504


async def bring_up_to_date(peer: Peer, held: Held, timeout: float) -> str | None:
    """Look for peers of a bee that is not ours and take its newest length. What is here stays readable without them.

    Returns a remark for people when nobody was found. Raises `Unreachable` when there is nothing to read either.
    """
    core = held.bee.core
    if core.writable:
        return None
    loop = asyncio.get_running_loop()
    if core.peers and held.is_current:
        return None
    if core.length and not core.peers and loop.time() - held.looked_at < LOOK_AGAIN_SECONDS:
        return _alone(held.bee)
    deadline = loop.time() + (timeout if not core.length else min(timeout, QUICK_SECONDS))
    if not await _find(peer, held, deadline):
        held.looked_at = loop.time()
        if core.length:
            return _alone(held.bee)
        raise Unreachable(_why_nobody(peer, held))
    try:
        await core.update(wait=True, timeout=max(0.0, deadline - loop.time()))
        held.is_current = True
    except RequestTimeout:
        if not core.length:
            raise Unreachable(
                f"Connected with {len(core.peers)} who know this bee, but none answered in time. Try again."
            ) from None
    return None if core.length else "The peers that were found have nothing of this bee yet."


def _alone(bee: Hyperbee) -> str:
    return (
        f"Nobody who has this bee is connected; this is what is here, as of block {bee.core.length:,}. "
        "What was not fetched before cannot be read now."
    )


async def _find(peer: Peer, held: Held, deadline: float) -> bool:
    """Whether a peer of this bee is there, before the deadline."""
    core = held.bee.core
    loop = asyncio.get_running_loop()
    if core.peers or (peer.network is None and not peer.connections):
        return bool(core.peers)
    added = asyncio.Event()

    def peer_added(*_: object) -> None:
        added.set()

    core.on("peer-add", peer_added)
    try:
        while not core.peers and (left := deadline - loop.time()) > 0:
            if held.joined is not None:
                # Two that announce themselves at one moment do not see each other: look again.
                held.joined.refresh()
            try:
                await asyncio.wait_for(added.wait(), min(left, _REFRESH_SECONDS))
            except TimeoutError:
                pass
    finally:
        core.off("peer-add", peer_added)
    return bool(core.peers)


def _why_nobody(peer: Peer, held: Held) -> str:
    """A wrong key, an absent author and a missing network look alike only to a program that does not say more."""
    network = peer.network
    if network is None:
        return (
            "This peer is in no network (it runs without the DHT), and nobody who is connected by address has this "
            "bee."
        )
    status = network.status()
    if status.state in ("starting", "offline", "suspended") or not status.nodes:
        return (
            f"No node of the DHT answers (asked: {', '.join(status.bootstrap)}). Check the network connection, or "
            "name other nodes with `hyp daemon start --bootstrap`."
        )
    topic = network.topic_status(held.bee.core.discovery_key)
    if topic is not None and topic.peers_found:
        last = status.errors[-1].sentence if status.errors else "they did not answer in time"
        return f"{topic.peers_found} who announce this bee were found, but not reached: {last}"
    return (
        "Nobody announces this bee: whoever has it is offline, or the key is wrong. Compare all 64 digits; the owner's "
        "`hyp info` says whether it is online."
    )
