"""Proving that this aggregator cannot delete what an author wrote: hide it, and fetch it again from somebody else.

The hiding is dry: a transaction that takes the record off the feed and is rolled back, so no reader notices. The
fetching is real: a peer that holds nothing, without a disk and under a key of its own, connects to the author or to
any replica but this aggregator, and gets the block from there. Then the hashes are compared, and the secret keys of
this process are listed: its own, and none of a bee's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, select

from core.errors import MeadowError
from core.hyperbee import Hyperbee
from core.peer import Connection as PeerConnection
from core.peer import Finding, Peer, SecretKey, check_file, encode_file, prove_record
from core.records import value_hash
from feedagg import moderation, proofs, queries, sources, transparency
from feedagg.addresses import resolve
from feedagg.ingest import now_ms
from feedagg.tables import sources as source_table

if TYPE_CHECKING:
    from feedagg.aggregator import Aggregator

CONNECT_SECONDS: Final = 5.0
FETCH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place that was asked. `error` None: it gave the block."""

    place: str  # "host:port", or in words
    error: str | None


@dataclass(frozen=True, slots=True)
class Proved:
    """What came of it. Hashes are BLAKE2b-256 of the value; `there` None: nobody else who has it was reached."""

    seq: int
    was_listed: bool
    was_hidden: bool
    here: str
    there: str | None
    source: str | None
    attempts: list[Attempt]
    file: bytes | None
    keys: list[tuple[SecretKey, str]]
    holds_key_of_a_bee: bool

    @property
    def holds(self) -> bool:
        """Whether all of it came out: hidden here, the same there, and no key of a bee."""
        return self.was_hidden and self.here == self.there and not self.holds_key_of_a_bee


async def prove(here: Aggregator, bee: bytes, key: bytes) -> Proved:
    """Do it for one record that is shown. Raises `NoProof` when there is no such record."""
    item = await here.database.read(proofs.shown_item, bee, key)
    assert item.value is not None
    was_listed, was_hidden = await here.database.write(_hide_for_a_moment, bee, key)
    finding, data, source, attempts = await _fetch_elsewhere(here, bee, item.seq)
    there = None
    if finding is not None and finding.versions[0].value is not None:
        there = value_hash(finding.versions[0].value)
    keys = here.peer.secret_keys()
    is_of_a_bee = await here.database.read(_any_is_a_source, [one.key for one in keys])
    named = [(one, _purpose(one)) for one in keys]
    return Proved(
        item.seq, was_listed, was_hidden, value_hash(item.value), there, source, attempts, data, named, is_of_a_bee
    )  # fmt: skip


def _hide_for_a_moment(connection: Connection, bee: bytes, key: bytes) -> tuple[bool, bool]:
    """(whether the feed lists it, whether it does not once it is hidden); nothing is kept of the hiding."""
    was_listed = bool(queries.some(connection, bee, [key]))
    savepoint = connection.begin_nested()
    try:
        moderation.hide(connection, bee, key, "A dry run: this is rolled back.", now_ms())
        is_hidden = not queries.some(connection, bee, [key])
    finally:
        savepoint.rollback()
    return was_listed, is_hidden


async def _fetch_elsewhere(
    here: Aggregator, bee: bytes, seq: int
) -> tuple[Finding | None, bytes | None, str | None, list[Attempt]]:
    """The block from anybody but us: (what its proof shows, the proof, where it came from, what was tried)."""
    attempts: list[Attempt] = []
    fresh = await Peer.open(None)
    try:
        fresh.on_connection(lambda event, one: _refuse_ourselves(event, one, here.peer.public_key))
        copy = fresh.bee(key=bee, key_encoding="binary", value_encoding="binary", extension=False)
        for hint in await here.database.read(sources.hints_of, bee):
            try:
                place = await resolve(hint.address, here.settings, trusted=hint.trusted)
                await fresh.connect(*place, timeout=CONNECT_SECONDS)
                data = await _prove_from(copy, seq)
            except (MeadowError, OSError, TimeoutError) as error:
                attempts.append(Attempt(hint.address, str(error) or "no answer in time"))
                continue
            attempts.append(Attempt(hint.address, None))
            return check_file(data), data, hint.address, attempts
        if here.settings.dht is not None:
            try:
                await fresh.go_online(here.settings.dht)
                await fresh.find(copy.core, FETCH_SECONDS)
                data = await _prove_from(copy, seq)
            except (MeadowError, OSError, TimeoutError) as error:
                attempts.append(Attempt("the DHT", str(error) or "no answer in time"))
            else:
                attempts.append(Attempt("the DHT", None))
                return check_file(data), data, "a peer found in the DHT", attempts
        return None, None, None, attempts
    finally:
        await fresh.close()


async def _prove_from(copy: Hyperbee, seq: int) -> bytes:
    """Fetch one block and prove it; the peers that give it are those that `copy` is connected to."""
    async with asyncio.timeout(FETCH_SECONDS):
        while copy.core.length <= seq:
            await copy.core.update(wait=True, timeout=FETCH_SECONDS)
            await asyncio.sleep(0.01)
        await copy.core.get(seq, timeout=FETCH_SECONDS)
    return encode_file(prove_record(copy.core, seq))


def _refuse_ourselves(event: str, connection: PeerConnection, ours: bytes) -> None:
    if event == "open" and connection.remote_public_key == ours:
        connection.close()


def _any_is_a_source(connection: Connection, keys: list[bytes]) -> bool:
    query = select(source_table.c.bee).where(source_table.c.bee.in_(keys)).limit(1)
    return connection.execute(query).first() is not None


def _purpose(one: SecretKey) -> str:
    """What a secret key of this process is for, in words."""
    words = {
        transparency.BEE_NAMES[transparency.LOG]: "signs our own log of decisions",
        transparency.BEE_NAMES[transparency.FEED]: "signs the bee of our merged feed",
        None: "proves who we are to the peers we connect with, and signs our receipts",
    }
    return words.get(one.name, f"signs the log {one.name!r} in our store")
