"""The bees of this machine for any Python program, through the peer that runs: no second store, no second network.

    from userpeer.hyp.client import Hyp

    async with Hyp() as hyp:                             # the directory of `hyp` and `userpeer`; or Hyp(Path(...))
        movies = await hyp.create("movies")
        seq = await movies.put("1979/stalker", {"title": "Stalker"})
        async for entry in movies.range(gte="1979/", lt="1980/"):
            print(entry.key, entry.value)
        theirs = hyp.bee("hyper://<64 hex>")              # read-only, fetched as it is read
        async for change in theirs.watch():
            print(change.type, change.key, change.value)

Calls may run side by side; each takes a connection of its own from a small pool. When the peer is restarted, what is
asked meanwhile waits for it up to `patience` seconds, and a watch goes on where it was. A write that was under way in
that moment is repeated if that changes nothing (see `Bee.put`); otherwise `RemoteError` with the code `interrupted`
says that nobody knows. Errors are `RemoteError`: `code` for programs, `str(error)` for people.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from userpeer.client import Line, RemoteError
from userpeer.errors import NotRunning
from userpeer.settings import Settings, default_directory

__all__ = ["Bee", "Change", "Difference", "Entry", "Hyp", "NotRunning", "RemoteError"]

_log = logging.getLogger(__name__)

IDLE_LINES = 8
"""Connections kept open for the next calls."""

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5


class Entry(NamedTuple):
    """`seq` is the block that wrote it: what `if_seq` compares. A value that is no JSON is its bytes."""

    key: str
    value: Any
    seq: int


class Change(NamedTuple):
    """One operation of the log; `type` is put or del, `value` is None for a del."""

    type: str
    key: str
    value: Any
    seq: int


class Difference(NamedTuple):
    """What differs between two versions under one key; None where it is not there."""

    key: str
    new: Entry | None
    old: Entry | None


class Hyp:
    """The peer of `directory` (None: HYP_DIR, USERPEER_DIR or the usual one). `on_remark` gets sentences for people."""

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        patience: float = 10.0,
        on_remark: Callable[[str], None] | None = None,
    ) -> None:
        if directory is None:
            directory = os.environ.get("HYP_DIR") or os.environ.get("USERPEER_DIR") or default_directory()
        self._path = Settings(Path(directory)).control_socket
        self._patience = patience
        self._on_remark = on_remark or _log.info
        self._idle: list[Line] = []
        self._closed = False

    async def __aenter__(self) -> Hyp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. What runs goes on to its end."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    # --- bees -----------------------------------------------------------------------------------

    def bee(self, name: str) -> Bee:
        """The bee of this name, key or URL; nothing is asked yet."""
        return Bee(self, name)

    async def create(self, name: str | None = None) -> Bee:
        """A new bee of one's own, usable and shared at once."""
        made = await self.one("hyp.create", name=name)
        return Bee(self, made["url"])

    async def ls(self) -> list[dict[str, Any]]:
        """One's own bees and those that are seeded: name, key, url, own, seeding, length."""
        return [item async for item in self.call("hyp.list")]

    async def seed(self, bee: str) -> None:
        """Share a bee from here and keep all of it, also after a restart."""
        await self.one("hyp.seed", bee=bee)

    async def unseed(self, bee: str, *, clear: bool = False) -> None:
        """The opposite; `clear` forgets what is here of somebody else's."""
        await self.one("hyp.unseed", bee=bee, clear=clear)

    async def status(self) -> dict[str, Any]:
        """Version, process, addresses and network of the peer."""
        return await self.one("daemon.status")

    # --- any command ----------------------------------------------------------------------------

    async def one(self, command: str, *, repeat: bool = True, **arguments: Any) -> dict[str, Any]:
        """The one item of a command's answer."""
        items = [item async for item in self.call(command, repeat=repeat, **arguments)]
        if len(items) != 1:
            raise RemoteError("unexpected", f"{command} answered with {len(items)} items instead of one.")
        item: dict[str, Any] = items[0]
        return item

    async def call(
        self, command: str, *, repeat: bool = True, **arguments: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The items of a command as they come. `repeat`: ask again if the peer went away before the first of them.

        Raises `NotRunning` when there is no peer for `patience` seconds, and `RemoteError`.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            line = await self._line(deadline)
            answered = False
            try:
                async for item in line.call(command, given):
                    if "remark" in item:
                        self._on_remark(item["remark"])
                        continue
                    answered = True
                    yield item
                return
            except RemoteError as error:
                if error.code != "interrupted" or answered or not repeat:
                    raise
            finally:
                self._put_back(line)

    async def _line(self, deadline: float) -> Line:
        while self._idle:
            line = self._idle.pop()
            if line.is_open:
                return line
            line.close()
        wait = _FIRST_WAIT
        while True:
            try:
                return await Line.open(self._path)
            except NotRunning:
                if asyncio.get_running_loop().time() + wait > deadline:
                    raise
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _put_back(self, line: Line) -> None:
        if line.reusable and line.is_open and not self._closed and len(self._idle) < IDLE_LINES:
            self._idle.append(line)
        else:
            line.close()


@dataclass(frozen=True)
class Bee:
    """One bee, or a sub-database or an old version of it. `timeout`: seconds to wait for peers and blocks."""

    hyp: Hyp
    name: str
    names: tuple[str, ...] = ()
    version: int | None = None
    values: str | None = None
    timeout: float | None = None

    def sub(self, name: str) -> Bee:
        """The sub-database of this name."""
        return replace(self, names=(*self.names, name))

    def checkout(self, version: int) -> Bee:
        """This bee as it was when its log had `version` blocks; read-only."""
        return replace(self, version=version)

    def with_timeout(self, seconds: float) -> Bee:
        return replace(self, timeout=seconds)

    # --- reading --------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        """The entry of a key, or None."""
        try:
            return _entry(await self.hyp.one("hyp.get", key=key, **self._reading()))
        except RemoteError as error:
            if error.code == "no-entry":
                return None
            raise

    def range(
        self,
        *,
        gt: str | None = None,
        gte: str | None = None,
        lt: str | None = None,
        lte: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[Entry]:
        """Entries in the order of their keys, of one version."""
        return self._each(
            _entry, "hyp.ls", gt=gt, gte=gte, lt=lt, lte=lte, prefix=prefix, reverse=reverse, limit=limit
        )

    def history(
        self,
        *,
        gt: int | None = None,
        gte: int | None = None,
        lt: int | None = None,
        lte: int | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[Change]:
        """Everything that was put and deleted, in the order of the log; bounds are block numbers."""
        return self._each(
            _change, "hyp.history", gt=gt, gte=gte, lt=lt, lte=lte, reverse=reverse, limit=limit
        )

    def diff(
        self, version: int, *, prefix: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Difference]:
        """What is different from how it was at `version`."""
        return self._each(_difference, "hyp.diff", prefix=prefix, limit=limit, **{"from": version})

    async def watch(
        self, *, prefix: str | None = None, since: int | None = None
    ) -> AsyncGenerator[Change, None]:
        """What is put and deleted from now on (or from the version `since` on), without an end and without a gap."""
        while True:
            try:
                arguments = {**self._reading(), "prefix": prefix, "since": since}
                async for item in self.hyp.call("hyp.watch", **arguments):
                    if "watching" in item:
                        since = item["watching"] if since is None else since
                    else:
                        since = item["seq"] + 1
                        yield _change(item)
            except RemoteError as error:
                if error.code != "interrupted":
                    raise

    async def info(self) -> dict[str, Any]:
        """Length, blocks held, percent, rates, peers, who took how much. Never waits for the network."""
        return await self.hyp.one("hyp.info", bees=[self.name])

    # --- writing --------------------------------------------------------------------------------

    async def put(self, key: str, value: Any, *, if_seq: int | None = None) -> int:
        """Set a key; returns the block once it is on the disk.

        `if_seq`: only if the entry is still that of this block (0: if there is none), else `RemoteError` cas-failed.
        Without it a put that a restart interrupted is repeated: it may then stand in the log twice.
        """
        item = await self.hyp.one(
            "hyp.put", repeat=if_seq is None, key=key, value=value, ifSeq=if_seq, **self._writing()
        )
        seq: int = item["seq"]
        return seq

    async def add(self, value: Any, prefix: str = "") -> Entry:
        """Put a value under a new key: `prefix` and 16 hex digits of the time, after all that were made so before.

        Not repeated when a restart interrupts it: then `RemoteError` interrupted.
        """
        item = await self.hyp.one("hyp.add", repeat=False, prefix=prefix, value=value, **self._writing())
        return Entry(item["key"], value, item["seq"])

    async def cas(self, key: str, value: Any, expected: Entry | None) -> int:
        """Put only if the entry is still `expected` (None: if there is none)."""
        return await self.put(key, value, if_seq=0 if expected is None else expected.seq)

    async def delete(self, key: str, *, if_seq: int | None = None) -> None:
        """Remove a key. Raises `RemoteError` not-found or cas-failed."""
        await self.hyp.one("hyp.del", repeat=False, key=key, ifSeq=if_seq, **self._writing())

    async def batch(self, operations: list[dict[str, Any]]) -> int:
        """All or nothing: `{"key", "value"}` or `{"type": "del", "key"}`, each with `ifSeq` if wanted.

        Returns the version after it.
        """
        safe = all(each.get("type", "put") == "put" and each.get("ifSeq") is None for each in operations)
        item = await self.hyp.one("hyp.batch", repeat=safe, operations=operations, **self._writing())
        version: int = item["version"]
        return version

    # --- inside ---------------------------------------------------------------------------------

    async def _each(
        self, make: Callable[[dict[str, Any]], Any], command: str, **arguments: Any
    ) -> AsyncIterator[Any]:
        items = self.hyp.call(command, **arguments, **self._reading())
        try:
            async for item in items:
                yield make(item)
        finally:
            await items.aclose()

    def _writing(self) -> dict[str, Any]:
        if self.version is not None:
            raise RemoteError("read-only", "An old version of a bee cannot be written.")
        return {"bee": self.name, "sub": list(self.names) or None, "values": self.values}

    def _reading(self) -> dict[str, Any]:
        return {
            "bee": self.name,
            "sub": list(self.names) or None,
            "at": self.version,
            "values": self.values,
            "timeout": self.timeout,
        }


def _value(item: dict[str, Any]) -> Any:
    return base64.b64decode(item["bytes"]) if "bytes" in item else item["value"]


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(item["key"], _value(item), item["seq"])


def _change(item: dict[str, Any]) -> Change:
    return Change(item["type"], item["key"], _value(item), item["seq"])


def _difference(item: dict[str, Any]) -> Difference:
    key, new, old = item["key"], item["new"], item["old"]
    return Difference(
        key,
        None if new is None else Entry(key, _value(new), new["seq"]),
        None if old is None else Entry(key, _value(old), old["seq"]),
    )
