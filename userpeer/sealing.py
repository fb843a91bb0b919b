"""Sealing the keys of a peer that runs: under a passphrase, under another one, or open again.

The peer has its keys in memory, so it goes on as before; the next start asks for the passphrase. Whoever wants to
change a seal has to know the passphrase it was made by: having the page open is not enough.
"""

from __future__ import annotations

import asyncio

from core.errors import StorageError
from core.peer import Peer

from .backup import check_passphrase
from .errors import InvalidField, UserError

CURRENT = "current"
NEW = "new"


class Sealing:
    """The seal of the store of one open peer. `in_memory`: nothing of the store is on the disk."""

    def __init__(self, peer: Peer, *, in_memory: bool) -> None:
        self._store = peer.store
        self._in_memory = in_memory
        self._turn = asyncio.Lock()

    @property
    def is_sealed(self) -> bool:
        return self._store.is_sealed

    async def change(self, current: str | None, new: str | None) -> None:
        """Seal by `new`; None: by nothing. `current` is the passphrase so far, if there is one.

        Takes about a second for each passphrase, and as long as the store takes to be written anew; the peer stands
        still for the latter only. Raises `InvalidField` ("current", "new"), and `UserError` with what holds now.
        """
        if self._in_memory:
            raise UserError(
                "This peer keeps its store in memory only: there is no file that could be sealed."
            )
        if new is not None:
            check_passphrase(new, NEW)
        async with self._turn:
            if self.is_sealed and not (current and await self._store.opens_with(current)):
                raise InvalidField(CURRENT, "That is not the passphrase that the keys are sealed by.")
            if new is None and not self.is_sealed:
                return
            try:
                await self._store.seal_meanwhile(new)
            except StorageError as error:
                if new is None or not await self._store.opens_with(new):
                    raise
                raise UserError(
                    "The keys are sealed by the new passphrase, but what lay in the files before may still be there: "
                    f"{error}. The next start of this peer takes it away."
                ) from error
