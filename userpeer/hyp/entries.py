"""The entries of any bee, as commands: get, put, add, del, batch, ls, history, diff, watch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from core.hyperbee import Batch, Hyperbee
from core.records import KeyClock, is_t16
from userpeer.errors import NotFound, UserError
from userpeer.publishing import now_ms

from .arguments import (
    Arguments,
    after_prefix,
    in_bounds,
    key_bounds,
    limit,
    need,
    seconds,
    seq_bounds,
    take,
)
from .bees import Held
from .values import checked_value, codec, value_item

if TYPE_CHECKING:
    from userpeer.service import PeerService

Items = AsyncIterator[dict[str, Any]]

MAX_KEY_BYTES = 64 * 1024
_SEPARATOR = "\0"
"""What Hyperbee puts between the name of a sub-database and its keys."""


class NotABee(UserError):
    """The log is there, but it holds something else."""

    code = "not-a-bee"


class CasFailed(UserError):
    """The entry is not the one that the writer believed it to be."""

    code = "cas-failed"
    status = 409


class NoEntry(NotFound):
    """The bee is there, and has nothing under this key."""

    code = "no-entry"


class NotYours(UserError):
    """Only the owner writes to a bee."""

    code = "not-yours"
    status = 403


# --- reading --------------------------------------------------------------------------------------


@asynccontextmanager
async def _view(service: PeerService, arguments: Arguments) -> AsyncIterator[tuple[Hyperbee, str | None]]:
    """The bee, sub-database or old version that is meant, open for the time of one command, and a remark or None."""
    timeout = seconds(arguments)
    async with service.bees.using(need(arguments, "bee", str), timeout) as (held, remark):
        bee = await _checked(held, timeout)
        version = take(arguments, "at", int)
        if version is None:
            yield _sub(bee, arguments), remark
            return
        if not 1 <= version <= bee.version:
            raise UserError(
                f"There is no version {version:,} of this bee; it has the versions 1 to {bee.version:,}."
            )
        async with bee.checkout(version) as old:
            yield _sub(old, arguments), remark


async def _checked(held: Held, timeout: float) -> Hyperbee:
    """The bee, if its header says that it is one. An empty log may still become one."""
    bee = held.bee
    if bee.core.length and not held.is_bee:
        if not await Hyperbee.is_hyperbee(bee.core, timeout=timeout):
            raise NotABee(f"{held.url} is a log, but not a bee: its first block is no Hyperbee header.")
        held.is_bee = True
    return bee


def _sub(bee: Hyperbee, arguments: Arguments) -> Hyperbee:
    for name in _sub_names(arguments):
        bee = bee.sub(name)
    return bee


def _sub_names(arguments: Arguments) -> list[str]:
    names: list[str] = take(arguments, "sub", list, [])
    if not all(isinstance(name, str) and name for name in names):
        raise UserError("The argument sub must be a list of names.")
    return names


async def _get(service: PeerService, arguments: Arguments) -> Items:
    key = need(arguments, "key", str)
    async with _view(service, arguments) as (bee, remark):
        entry = await bee.get(key, timeout=seconds(arguments), value_encoding=codec(arguments))
        if remark:
            yield {"remark": remark}
        if entry is None:
            raise NoEntry(f"There is nothing under the key {key!r}.")
        yield {"key": entry.key, **value_item(entry.value), "seq": entry.seq}


async def _ls(service: PeerService, arguments: Arguments) -> Items:
    bounds, timeout, values = key_bounds(arguments), seconds(arguments), codec(arguments)
    reverse, most = take(arguments, "reverse", bool, False), limit(arguments)
    async with _view(service, arguments) as (bee, remark):
        if remark:
            yield {"remark": remark}
        options: dict[str, Any] = {"reverse": reverse, "timeout": timeout, "value_encoding": values}
        if take(arguments, "shallow", bool, False):
            async for item in _shallow(bee, bounds, take(arguments, "prefix", str, ""), most, options):
                yield item
            return
        async for entry in bee.range(**bounds, **options, limit=most):
            yield {"key": entry.key, **value_item(entry.value), "seq": entry.seq}


async def _shallow(
    bee: Hyperbee, bounds: dict[str, Any], prefix: str, most: int, options: dict[str, Any]
) -> Items:
    """One level of keys: what goes on behind the next slash is one item, and is stepped over, not read."""
    version = bee if bee.version <= 1 else bee.snapshot()
    try:
        while most:
            entry = await version.peek(**bounds, **options)
            if entry is None:
                return
            name, slash, _ = entry.key[len(prefix) :].partition("/")
            tree = prefix + name + slash
            if slash:
                yield {"tree": tree}
            else:
                yield {"key": entry.key, **value_item(entry.value), "seq": entry.seq}
            sides = ("lt", "lte") if options["reverse"] else ("gt", "gte")
            bounds = {side: bound for side, bound in bounds.items() if side not in sides}
            if options["reverse"]:
                bounds["lt"] = tree if slash else entry.key
            elif not slash:
                bounds["gt"] = entry.key
            elif (end := after_prefix(tree)) is not None:
                bounds["gte"] = end
            most -= 1
    finally:
        if version is not bee:
            await version.close()


async def _history(service: PeerService, arguments: Arguments) -> Items:
    bounds, timeout, values = seq_bounds(arguments), seconds(arguments), codec(arguments)
    reverse, most = take(arguments, "reverse", bool, False), limit(arguments)
    prefix = _sub_prefix(arguments)
    async with _view(service, {**arguments, "sub": None}) as (bee, remark):
        if remark:
            yield {"remark": remark}
        # Without a sub the walk itself knows how much is wanted, and fetches no block more.
        ahead = -1 if prefix else most
        walk = bee.history(**bounds, reverse=reverse, limit=ahead, timeout=timeout, value_encoding=values)
        async for entry in walk:
            if not most:
                return
            if entry.key.startswith(prefix):
                most -= 1
                yield _operation(entry, prefix)


async def _diff(service: PeerService, arguments: Arguments) -> Items:
    other, bounds = need(arguments, "from", int), key_bounds(arguments)
    async with _view(service, arguments) as (bee, remark):
        if remark:
            yield {"remark": remark}
        if not 1 <= other <= bee.version:
            raise UserError(f"There is no version {other:,} to compare with; there are 1 to {bee.version:,}.")
        walk = bee.diff(
            other,
            **bounds,
            limit=limit(arguments),
            timeout=seconds(arguments),
            value_encoding=codec(arguments),
        )
        async for difference in walk:
            new, old = difference.left, difference.right
            entry = new or old
            assert entry is not None
            yield {
                "key": entry.key,
                "new": None if new is None else {**value_item(new.value), "seq": new.seq},
                "old": None if old is None else {**value_item(old.value), "seq": old.seq},
            }


async def _watch(service: PeerService, arguments: Arguments) -> Items:
    """What is put and deleted from now on, or from the version `since` on. Never ends."""
    bounds, prefix = key_bounds(arguments), _sub_prefix(arguments)
    async with _view(service, {**arguments, "sub": None, "at": None}) as (bee, remark):
        if remark:
            yield {"remark": remark}
        since = take(arguments, "since", int, bee.version)
        if not 0 <= since <= bee.version:
            raise UserError(
                f"There is no version {since:,} of this bee; it has the versions 1 to {bee.version:,}."
            )
        yield {"watching": bee.version}
        async for entry in bee.history(gte=max(1, since), live=True, value_encoding=codec(arguments)):
            if entry.key.startswith(prefix) and in_bounds(entry.key[len(prefix) :], bounds):
                yield _operation(entry, prefix)


def _sub_prefix(arguments: Arguments) -> str:
    return "".join(name + _SEPARATOR for name in _sub_names(arguments))


def _operation(entry: Any, prefix: str) -> dict[str, Any]:
    return {"type": entry.type, "seq": entry.seq, "key": entry.key[len(prefix) :], **value_item(entry.value)}


# --- writing --------------------------------------------------------------------------------------


async def _put(service: PeerService, arguments: Arguments) -> Items:
    key, value = need(arguments, "key", str), arguments.get("value")
    expected = take(arguments, "ifSeq", int)
    held = _to_write(service, arguments)
    if held is service.bees.main and expected is None and not _sub_names(arguments):
        written = await service.publisher.put(key, checked_value(value))
        yield {"key": written.key, "seq": written.seq}
        return
    async with _sub(held.bee, arguments).batch(value_encoding=codec(arguments)) as batch:
        seq = await _put_one(batch, key, value, expected)
    yield {"key": key, "seq": seq}


async def _add(service: PeerService, arguments: Arguments) -> Items:
    """Put a value under `prefix` and 16 hex digits of the time: a key that nothing has, after all that were made so."""
    prefix, value = take(arguments, "prefix", str, ""), checked_value(arguments.get("value"))
    held = _to_write(service, arguments)
    if held is service.bees.main and not _sub_names(arguments):
        written = await service.publisher.add(prefix, value)
        yield {"key": written.key, "seq": written.seq}
        return
    clock, bee = KeyClock(), _sub(held.bee, arguments)
    async for entry in bee.range(gte=prefix, lt=f"{prefix}g", reverse=True, value_encoding="binary"):
        if is_t16(last := entry.key[len(prefix) :]):
            clock.observe(last)
            break
    async with bee.batch(value_encoding=codec(arguments)) as batch:
        while True:  # another program may have taken the key a moment ago
            key = _checked_key(prefix + clock.next(now_ms()))
            try:
                seq = await _put_one(batch, key, value, 0)
                break
            except CasFailed:
                continue
    yield {"key": key, "seq": seq}


async def _del(service: PeerService, arguments: Arguments) -> Items:
    key, expected = need(arguments, "key", str), take(arguments, "ifSeq", int)
    held = _to_write(service, arguments)
    async with _sub(held.bee, arguments).batch(value_encoding=codec(arguments)) as batch:
        await _delete_one(batch, key, expected)
    yield {"key": key, "deleted": True}


async def _batch(service: PeerService, arguments: Arguments) -> Items:
    operations = need(arguments, "operations", list)
    held = _to_write(service, arguments)
    async with _sub(held.bee, arguments).batch(value_encoding=codec(arguments)) as batch:
        for number, operation in enumerate(operations, 1):
            if not isinstance(operation, dict):
                raise UserError(f"Operation {number} is not an object.")
            if operation.get("type", "put") == "put" and "value" not in operation:
                raise UserError(f"Operation {number} puts nothing: it has no value.")
            key, expected = need(operation, "key", str), take(operation, "ifSeq", int)
            match operation.get("type", "put"):
                case "put" if expected is None:
                    await batch.put(_checked_key(key), checked_value(operation.get("value")))
                case "put":
                    await _put_one(batch, key, operation.get("value"), expected)
                case "del":
                    await _delete_one(batch, key, expected)
                case other:
                    raise UserError(f"Operation {number} is {other!r}; there are put and del.")
    yield {"operations": len(operations), "version": held.bee.version}


def _to_write(service: PeerService, arguments: Arguments) -> Held:
    held = service.bees.look(need(arguments, "bee", str))
    if not held.bee.writable:
        raise NotYours(
            f"{held.url} is not yours: only its owner can write to it. `hyp create bee NAME` makes one of your own."
        )
    if held is service.bees.main:
        service.publisher.may_write()
    return held


async def _put_one(batch: Batch, key: str, value: Any, expected: int | None) -> int:
    """Put; with `expected` only if the entry is the one of that block, 0 being no entry. Returns the new block."""
    there: list[int] = []

    def judge(previous: Any, following: Any) -> bool:
        there.append(previous.seq)
        return expected is None or previous.seq == expected

    await batch.put(_checked_key(key), checked_value(value), cas=judge)
    if expected is not None and (there[0] if there else 0) != expected:
        raise _cas_failed(key, there, expected)
    entry = await batch.get(key)
    assert entry is not None
    return entry.seq


async def _delete_one(batch: Batch, key: str, expected: int | None) -> None:
    there: list[int] = []

    def judge(previous: Any, following: Any) -> bool:
        there.append(previous.seq)
        return expected is None or previous.seq == expected

    if not await batch.delete(key, cas=judge):
        if there and expected is not None:
            raise _cas_failed(key, there, expected)
        raise NoEntry(f"There is nothing under the key {key!r}, so nothing was deleted.")


def _cas_failed(key: str, there: list[int], expected: int) -> CasFailed:
    found = f"is the one of block {there[0]:,}" if there else "is not there"
    wanted = f"that of block {expected:,}" if expected else "none"
    return CasFailed(f"Nothing was written: the entry {key!r} {found}, expected was {wanted}. Read it again.")


def _checked_key(key: str) -> str:
    if not 1 <= len(key.encode("utf-8", "surrogatepass")) <= MAX_KEY_BYTES:
        raise UserError(f"A key has 1 to {MAX_KEY_BYTES:,} bytes.")
    return key


ENTRY_COMMANDS: dict[str, Callable[[Any, Arguments], Items]] = {
    "hyp.get": _get,
    "hyp.ls": _ls,
    "hyp.history": _history,
    "hyp.diff": _diff,
    "hyp.watch": _watch,
    "hyp.put": _put,
    "hyp.add": _add,
    "hyp.del": _del,
    "hyp.batch": _batch,
}

LIVE_ENTRY_COMMANDS = frozenset({"hyp.watch"})
