"""What a walk of the DHT found about a topic or a key, as an async iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..dht.address import Address
from ..dht.flow import Outcome
from ..dht.outgoing import Reply
from ..dht.records import (
    MutableValue,
    PeerRecord,
    decode_lookup_reply,
    decode_mutable_value,
    decode_peer,
)
from ..errors import DecodingError
from .dht_node import Walk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """What one storing node (`address`) says about a topic."""

    address: Address
    peers: tuple[PeerRecord, ...]
    bump: int


class Lookup:
    """An `AsyncIterator` of `Found` over one walk; `closest_nodes` is where the next walk should begin."""

    def __init__(
        self,
        walk: Walk,
        on_reply: Callable[[Reply], None] | None = None,
        pending: list[Outcome[None]] | None = None,
    ) -> None:
        self.walk = walk
        self._on_reply = on_reply
        self._pending = pending if pending is not None else []

    @property
    def closest_nodes(self) -> list[Address]:
        return self.walk.closest_nodes

    def cancel(self) -> None:
        self.walk.cancel()

    async def finished(self) -> None:
        """Let it end, whatever is found. Raises what the walk failed with."""
        try:
            async for _ in self:
                pass
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __aiter__(self) -> AsyncIterator[Found]:
        return self._found()

    async def _found(self) -> AsyncIterator[Found]:
        async for reply in self.walk:
            if self._on_reply is not None:
                self._on_reply(reply)
            if reply.value is None:
                continue
            try:
                peers, bump = decode_lookup_reply(reply.value)
            except DecodingError:
                continue
            yield Found(reply.address, tuple(peers), bump)
        for outcome in self._pending:
            if not outcome.done:
                done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                outcome.when_done(lambda _, done=done: resolve(done, None))  # type: ignore[misc]
                await done


def peer_of(reply: Reply) -> PeerRecord | None:
    """The record in a reply to FIND_PEER, None when it has none. Raises `DecodingError`."""
    return None if reply.value is None else decode_peer(reply.value)[0]


def mutable_of(reply: Reply) -> MutableValue | None:
    """The value in a reply to MUTABLE_GET, None when it has none or is malformed."""
    try:
        return None if reply.value is None else decode_mutable_value(reply.value)
    except DecodingError:
        return None


async def decoded(walk: Walk, decode: Callable[[Reply], PeerRecord | None]) -> AsyncIterator[PeerRecord]:
    """The records of a walk's replies; what cannot be decoded is passed over."""
    try:
        async for reply in walk:
            try:
                record = decode(reply)
            except DecodingError:
                continue
            if record is not None:
                yield record
    finally:
        walk.cancel()


def resolve(future: asyncio.Future[T], value: T) -> None:
    """Set the result, unless whoever waited has gone."""
    if not future.done():
        future.set_result(value)
