"""The bees of a 2021 storage folder as new bees of one's own: the same keys and values, byte for byte, under new keys.

The logs of then are signed with other hashes than today's, so their keys cannot go on; each new bee names the old key
in its header. Running it again takes only what was added since, and leaves alone what was changed here meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import DecodingError
from core.hyperbee import Hyperbee
from core.hyperbee.node import encode_header
from core.peer import Peer
from userpeer.errors import UserError
from userpeer.wording import counted

from .address import BadName, check_name, url_of
from .hypercore9 import NotAnOldLog, OldLog, find_old_logs, read_old_log

if TYPE_CHECKING:
    from .bees import Bees

State = dict[bytes, bytes | None]
"""What a bee holds: key and value as they are stored."""


@dataclass(slots=True)
class _Counts:
    put: int = 0
    deleted: int = 0
    kept: int = 0
    """Left as they are, because they were changed here since."""


async def import_folder(
    bees: Bees, folder: Path, *, everybody: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """One item for each log that was found: what became of it. `everybody`: copy other people's bees, too.

    Raises `UserError` when the folder cannot be read or holds nothing of the kind.
    """
    try:
        places = await asyncio.to_thread(find_old_logs, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}.") from error
    if not places:
        raise UserError(
            f"There is no log of 2021 in {folder}: none of its folders holds the files key, tree and data. Hyperspace "
            "kept them in ~/.hyperspace/storage."
        )
    for place in places:
        about: dict[str, Any] = {"place": str(place)}
        try:
            old = await asyncio.to_thread(read_old_log, place)
            yield {**about, "old": url_of(old.key), **await _import(bees, old, everybody)}
        except NotAnOldLog as error:
            yield {**about, "result": "skipped", "sentence": f"Not a log: {error}."}
        except OSError as error:
            yield {**about, "result": "failed", "sentence": f"It cannot be read: {error.strerror}."}


async def _import(bees: Bees, old: OldLog, everybody: bool) -> dict[str, Any]:
    if not old.blocks:
        return {"result": "skipped", "sentence": "Nothing in it is signed by its owner."}
    if not (old.is_own or everybody):
        return {"result": "skipped", "sentence": "Somebody else's; --all copies it as a bee of yours."}
    peer = await Peer.open(None)
    try:
        core = peer.store.get(name="old")
        header = old.blocks[0] or encode_header()
        await core.append([header, *(block or b"" for block in old.blocks[1:])])
        bee = Hyperbee(core)
        if not await Hyperbee.is_hyperbee(core) or (
            old.blocks[0] is None and not await _all_readable(bee, old)
        ):
            return {"result": "skipped", "sentence": "A log, but not a bee."}
        return await _import_bee(bees, old, bee)
    finally:
        await peer.close()


async def _all_readable(bee: Hyperbee, old: OldLog) -> bool:
    """A bee that was read in parts may lack its header: then every block that is there must be an operation."""
    held = [seq for seq in range(1, len(old.blocks)) if old.blocks[seq] is not None]
    try:
        for seq in held:
            await bee.get_by_seq(seq)
    except DecodingError:
        return False
    return bool(held)


async def _import_bee(bees: Bees, old: OldLog, bee: Hyperbee) -> dict[str, Any]:
    """`bee` is the old one, readable by today's code because a bee's blocks are the same as then."""
    known = bees.imported.get(old.key.hex())
    length = len(old.blocks)
    if known is None:
        known = {"name": _free_name(bees, old), "length": 0}
        await bees.remember_import(
            old.key, known
        )  # before there is a bee, so that a crash leaves no second one
    held = bees.own(known["name"])
    if held is None:
        note = {"importedFrom": old.key.hex(), "format": "hypercore 9"}
        held = await bees.create(known["name"], user_data=json.dumps(note).encode())
    about = {"name": held.name, "url": held.url, "length": length, "missing": old.missing}
    if known["length"] >= length:
        return {**about, "result": "nothing new", "sentence": "Imported before; nothing was added since."}
    now = await _state(bee)
    before = await _state(bee.checkout(known["length"])) if known["length"] else {}
    counts = await _apply(held.bee, before, now)
    await bees.remember_import(old.key, {**known, "length": length})
    sentence = f"{counted(counts.put, 'entry')} put, {counts.deleted:,} deleted."
    if counts.kept:
        sentence += f" {counts.kept:,} changed here since, left as they are."
    if old.missing:
        sentence += (
            f" {old.missing:,} of {counted(length, 'block')} missing, or not what their owner signed: entries that "
            "only they had are not here, and some that they deleted may be."
        )
    return {**about, "result": "imported", "put": counts.put, "deleted": counts.deleted, "sentence": sentence}


async def _state(bee: Hyperbee) -> State:
    """Every entry, by the tree; where that leads to missing blocks, by the operations that are left of the log."""
    try:
        return {entry.key: entry.value async for entry in bee.range()}
    except DecodingError:
        pass
    state: State = {}
    for seq in range(1, bee.version):
        try:
            entry = await bee.get_by_seq(seq)
        except DecodingError:
            continue
        if entry.value is None:
            state.pop(entry.key, None)
        else:
            state[entry.key] = entry.value
    return state


async def _apply(bee: Hyperbee, before: State, now: State) -> _Counts:
    """Bring what changed from `before` to `now` into `bee`, in one append, except where it changed there as well."""
    counts = _Counts()
    missing = object()
    async with bee.batch(key_encoding="binary", value_encoding="binary") as batch:
        for key in sorted(before.keys() | now.keys()):
            then, wanted = before.get(key, missing), now.get(key, missing)
            if then == wanted:
                continue
            entry = await batch.get(key)
            here = missing if entry is None else entry.value
            if here == wanted:
                continue
            if here != then:
                counts.kept += 1
            elif wanted is missing:
                await batch.delete(key)
                counts.deleted += 1
            else:
                await batch.put(key, now[key])
                counts.put += 1
    return counts


def _free_name(bees: Bees, old: OldLog) -> str:
    """The name of then, if a bee may be called so and none is; else one made of the old key."""
    try:
        if old.name is not None and bees.own(check_name(old.name.lower())) is None:
            return old.name.lower()
    except BadName:
        pass
    return f"old-{old.key.hex()[:12]}"
