"""Every log of the store against its signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from core.errors import MeadowError
from core.peer import Damage, Peer


@dataclass(slots=True)
class Looked:
    """What was found in one log. `name`: its key. `is_ours`: this aggregator writes it."""

    name: str
    blocks: int = 0
    is_ours: bool = False
    damages: list[Damage] = field(default_factory=list)


def store(peer: Peer) -> Iterator[Looked]:
    """Look at every log of the store, one after the other."""
    for info in list(peer.store.list()):
        found = Looked(info.discovery_key.hex())
        try:
            core = peer.store.get(discovery_key=info.discovery_key, active=False)
            found.name, found.is_ours = core.key.hex(), core.writable
            audit = core.audit()
            found.damages = list(audit)
            found.blocks = audit.blocks
        except MeadowError as error:
            found.damages.append(Damage(None, str(error)))
        yield found
