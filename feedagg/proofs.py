"""Proof files of what this aggregator shows, made from the blocks it stores when somebody asks.

What is hidden here is proved only as far as our own log says that it is; what its author removed, only as far as that
it is gone. A lookup's path goes through blocks of other records, which any peer that has the bee's key can read anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from core.errors import BlockNotAvailable, MeadowError, RequestTimeout
from core.hyperbee import Hyperbee
from core.peer import encode_file, find_versions, prove_history, prove_lookup, prove_record
from feedagg import alarms, queries, sources, transparency
from feedagg.decide import Status
from feedagg.queries import Item
from feedagg.sources import Source

if TYPE_CHECKING:
    from feedagg.aggregator import Aggregator

Maker = Callable[["Aggregator", bytes, bytes], Awaitable[bytes]]

PURPOSES: Final = {
    "record": "Authentic: this is the block that the author signed",
    "lookup": "Current: this is what the key maps to in the newest version known here",
    "history": "Edit history: these are the versions that are stored here",
    "witness": "Witnessed: the block was in the tree of this hash",
    "witness-entry": "And this is where our own log named that hash",
    "hidden": "What our own log says about its being hidden",
    "conflict": "Two histories: this key signed both",
}
"""The proofs there are, and what each is for."""

HISTORY_BLOCKS: Final = 20_000
"""How far back from the newest version the others are looked for, and how many are shown."""
HISTORY_VERSIONS: Final = 100

LOOKUP_SECONDS: Final = 5.0
"""How long peers may take for blocks of a lookup that are not here."""

MAX_BYTES: Final = 1024 * 1024


class NoProof(MeadowError):
    """There is nothing to prove, or (status 503) it cannot be proved now; `status` is the page's."""

    def __init__(self, sentence: str, status: int = 404) -> None:
        super().__init__(sentence)
        self.status = status


@asynccontextmanager
async def opened(here: Aggregator, bee: bytes) -> AsyncIterator[Hyperbee]:
    """The bee as it is stored here: the one that is followed, or a session of its own while it is asked about."""
    followed = here.ingest.followed.get(bee)
    if followed is not None:
        yield followed.bee
        return
    session = here.peer.bee(key=bee, key_encoding="binary", value_encoding="binary", extension=False)
    try:
        yield session
    finally:
        await session.close()


async def record_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """That the record shown under `key` is the block it says, signed by the bee's key. Raises `NoProof`."""
    item = await here.database.read(shown_item, bee, key)
    async with opened(here, bee) as log:
        try:
            return _bounded(encode_file(prove_record(log.core, item.seq)))
        except BlockNotAvailable:
            raise NoProof(
                "The block of this record is not stored here, so it is indexed and no more. It is proved as soon as "
                "a peer that has the bee is reached.",
                503,
            ) from None


async def lookup_file(here: Aggregator, bee: bytes, key: bytes, *, seconds: float = LOOKUP_SECONDS) -> bytes:
    """What `key` maps to in the newest version known here, or that it maps to nothing. `seconds` 0: only if all that
    takes is stored here. Raises `NoProof`.
    """
    await here.database.read(_followed, bee, key)
    async with opened(here, bee) as log:
        try:
            return _bounded(encode_file(await prove_lookup(log.core, key, timeout=seconds)))
        except RequestTimeout:
            raise NoProof(
                "A lookup comes to blocks that are not stored here, and no peer sent them in time. Saving the "
                "file asks the peers for them; try again later.",
                503,
            ) from None
        except BlockNotAvailable as error:
            raise NoProof(f"Nothing can be proved yet: {error}.", 503) from error


async def history_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """The versions of a record that are stored here, newest first. Raises `NoProof`."""
    item = await here.database.read(shown_item, bee, key)
    async with opened(here, bee) as log:
        seqs = await find_versions(log.core, key, item.seq, blocks=HISTORY_BLOCKS, limit=HISTORY_VERSIONS)
        try:
            return _bounded(encode_file(prove_history(log.core, key, seqs or [item.seq])))
        except BlockNotAvailable:
            raise NoProof(
                "The block of this record is not stored here, so nothing of it is proved yet.", 503
            ) from None


async def witness_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """The record in the tree whose hash our log named first. Raises `NoProof`."""
    item, said = await _witness(here, bee, key)
    async with opened(here, bee) as log:
        try:
            return _bounded(encode_file(prove_record(log.core, item.seq, at_length=said["length"])))
        except BlockNotAvailable:
            raise NoProof(
                "The block of this record is not stored here, so nothing of it is proved yet.", 503
            ) from None


async def witness_entry_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """The entry of our log that named the hash of that tree. Raises `NoProof`."""
    _, said = await _witness(here, bee, key)
    return _bounded(
        encode_file(await prove_lookup(here.publisher.log.core, said["entry"].encode(), timeout=0))
    )


async def _witness(here: Aggregator, bee: bytes, key: bytes) -> tuple[Item, dict[str, Any]]:
    item = await here.database.read(shown_item, bee, key)
    async with opened(here, bee) as log:
        said = await transparency.witness(here.publisher.log, bee, item.seq, log.core.fork, item.first_seen)
    if said is None:
        raise NoProof(
            "Our log does not speak of this block yet; it is a moment behind. Try again shortly.", 503
        )
    return item, said


async def hidden_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """What our own log says about a record being hidden, or about its bee being refused. Raises `NoProof`."""

    def why(connection: Connection) -> bytes:
        if queries.why_hidden(connection, bee, key) is not None:
            return transparency.hidden_key(bee, key)
        source = sources.get(connection, bee)
        if source is not None and source.state == sources.REFUSED:
            return transparency.refused_key(bee)
        return transparency.hidden_key(bee, key)

    return _bounded(
        encode_file(await prove_lookup(here.publisher.log.core, await here.database.read(why), timeout=0))
    )


async def conflict_file(here: Aggregator, bee: bytes, key: bytes) -> bytes:
    """The evidence that a bee's key signed two trees of one length. Raises `NoProof`."""
    alarm = await here.database.read(alarms.of, bee)
    if alarm is None:
        raise NoProof("Nothing of this kind is known of this bee.")
    return alarm.file


def _followed(connection: Connection, bee: bytes, key: bytes) -> Source:
    """The source, unless what its bee says about `key` is not to be shown here."""
    source = sources.get(connection, bee)
    if source is None:
        raise NoProof("This bee is not followed here.")
    if source.state == sources.REFUSED:
        raise NoProof(
            "This bee is refused here, so nothing of it is shown. Any peer of it can prove its records.", 451
        )
    if queries.why_hidden(connection, bee, key) is not None:
        raise NoProof("This record is hidden here. Any peer of the bee can prove it.", 451)
    return source


def shown_item(connection: Connection, bee: bytes, key: bytes) -> Item:
    """The row of a record that may be shown. Raises `NoProof`."""
    _followed(connection, bee, key)
    item = queries.record(connection, bee, key)
    if item is None or item.status not in (Status.SHOWN, Status.KEPT):
        if item is not None and item.status == Status.DELETED:
            raise NoProof("Its author removed this record; that it is gone can be proved.", 410)
        raise NoProof("There is no such record here.")
    return item


def _bounded(file: bytes) -> bytes:
    if len(file) > MAX_BYTES:
        raise NoProof(
            f"The proof would have {len(file):,} bytes; files of more than {MAX_BYTES:,} are not made.", 413
        )
    return file


MAKERS: Final[dict[str, Maker]] = {
    "record": record_file,
    "lookup": lookup_file,
    "history": history_file,
    "witness": witness_file,
    "witness-entry": witness_entry_file,
    "hidden": hidden_file,
    "conflict": conflict_file,
}
"""How each is made: with the aggregator, a bee and a record's key (which a conflict does not look at)."""
