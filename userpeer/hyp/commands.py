"""What can be asked of the bees of a peer, in one table; `userpeer/commands.py` takes it over.

Each command takes the opened peer and plain JSON arguments and yields plain JSON objects. `bee` names one (a name, a
key, a URL), `timeout` is in seconds, `sub` is a list of names of nested sub-databases, `at` an old version. An item
`{"remark": ...}` is a sentence for people; programs may skip it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from userpeer.errors import UserError

from .arguments import Arguments, need, take
from .bees import Held
from .entries import ENTRY_COMMANDS, LIVE_ENTRY_COMMANDS

if TYPE_CHECKING:
    from userpeer.service import PeerService

Items = AsyncIterator[dict[str, Any]]

_STARTED_AT = time.time()


async def _create(service: PeerService, arguments: Arguments) -> Items:
    held = await service.bees.create(take(arguments, "name", str))
    yield _summary(service, held)


async def _list(service: PeerService, arguments: Arguments) -> Items:
    for held in service.bees.kept():
        yield _summary(service, held)


async def _info(service: PeerService, arguments: Arguments) -> Items:
    for held in _chosen(service, arguments):
        yield _details(service, held)


async def _live(service: PeerService, arguments: Arguments) -> Items:
    while True:
        yield {"at": time.time(), "bees": [_details(service, held) for held in _chosen(service, arguments)]}
        await asyncio.sleep(1.0)


async def _seed(service: PeerService, arguments: Arguments) -> Items:
    yield _summary(service, await service.bees.seed(need(arguments, "bee", str)))


async def _unseed(service: PeerService, arguments: Arguments) -> Items:
    bee, clear = need(arguments, "bee", str), take(arguments, "clear", bool, False)
    yield _summary(service, await service.bees.unseed(bee, clear=clear))


async def _import(service: PeerService, arguments: Arguments) -> Items:
    from .importing import import_folder

    folder, everybody = Path(need(arguments, "directory", str)), take(arguments, "all", bool, False)
    async for item in import_folder(service.bees, folder, everybody=everybody):
        yield item


async def _status(service: PeerService, arguments: Arguments) -> Items:
    from importlib.metadata import version  # slow to import, and a start need not wait for it

    settings = service.settings
    network = service.peer.network
    status = None if network is None else network.status()
    yield {
        "version": version("meadow-feed"),
        "pid": os.getpid(),
        "since": _STARTED_AT,
        "directory": str(settings.directory.resolve()),
        "store": None if settings.memory_only else str(settings.store.resolve()),
        "log": str(settings.daemon_log.resolve()),
        "listen": str(service.listening) if service.listening else None,
        "network": "The DHT is off: peers are found by address only." if status is None else status.sentence,
        "state": "off" if status is None else status.state,
        "address": None if status is None else status.address,
        "holePunchable": status is not None and status.nat in ("open", "consistent"),
        "udp": None if status is None else status.local_address,
        "bootstrap": None if status is None else list(status.bootstrap),
        "announces": service.peer.announces and network is not None,
        "connections": len(service.peer.connections),
        "bees": len(service.bees.kept()),
        "mainKey": service.key,
        "restoring": service.restoring.sentence,
    }


async def _stop(service: PeerService, arguments: Arguments) -> Items:
    if service.stop is None:
        raise UserError("Nothing runs here that could be stopped.")
    yield {"pid": os.getpid()}
    service.stop()


def _chosen(service: PeerService, arguments: Arguments) -> list[Held]:
    """The bees that are named, or all that are kept. Nothing is waited for."""
    names = take(arguments, "bees", list, [])
    if not all(isinstance(name, str) for name in names):
        raise UserError("The argument bees must be a list of names, keys or URLs.")
    return [service.bees.look(name) for name in names] if names else service.bees.kept()


def _summary(service: PeerService, held: Held) -> dict[str, Any]:
    return {
        "name": held.name,
        "key": held.key.hex(),
        "url": held.url,
        "own": held.is_own,
        "seeding": held.seeding,
        "length": held.bee.core.length,
        "since": service.bees.seeded_since(held),
    }


def _details(service: PeerService, held: Held) -> dict[str, Any]:
    core, traffic = held.bee.core, held.traffic
    length, have = core.length, core.blocks_held
    network = service.peer.network
    topic = None if network is None else network.topic_status(core.discovery_key)
    return {
        **_summary(service, held),
        "version": held.bee.version,
        "bytes": core.byte_length,
        "blocks": have,
        "percent": None if not length else round(100 * have / length, 1),
        "announced": topic is not None and topic.is_server and topic.refreshed is not None,
        "found": 0 if topic is None else topic.peers_found,
        "up": traffic.up,
        "down": traffic.down,
        "upRate": round(traffic.up_rate.per_second()),
        "downRate": round(traffic.down_rate.per_second()),
        "peers": [
            {
                "key": peer.remote_public_key.hex(),
                "address": peer.remote_address,
                "length": peer.remote_length,
                "blocksSent": peer.blocks_sent,
                "bytesSent": peer.bytes_sent,
                "blocksReceived": peer.blocks_received,
                "bytesReceived": peer.bytes_received,
            }
            for peer in core.peers
        ],
        "takers": [
            {
                "key": taker.key,
                "address": taker.address,
                "blocks": taker.blocks,
                "bytes": taker.bytes,
                "last": taker.last,
            }
            for taker in reversed(traffic.takers.values())
        ],
    }


HYP_COMMANDS: dict[str, Callable[[Any, Arguments], Items]] = {
    "hyp.create": _create,
    "hyp.list": _list,
    "hyp.info": _info,
    "hyp.live": _live,
    "hyp.seed": _seed,
    "hyp.unseed": _unseed,
    "hyp.import": _import,
    "daemon.status": _status,
    "daemon.stop": _stop,
    **ENTRY_COMMANDS,
}

LIVE_COMMANDS = frozenset({"hyp.live", *LIVE_ENTRY_COMMANDS})
