"""Where a walk begins when the routing table is too small: names and addresses given by a person.

An entry is `host:port`, `ip@hostname:port` or a pair. Of the second form (dht-rpc 6.27.0 `_resolveBootstrapNodes`)
the address is used as it is, and the name is only looked up once that address has failed to answer. Looking up
names is I/O: `resolve` is given by whoever has a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import BadArgument
from .address import Address, is_ipv4

Resolver = Callable[[str, Callable[[str | None], None]], None]
"""`resolve(name, done)`: calls `done` with a dotted host or None, now or later."""


@dataclass(slots=True)
class _Entry:
    port: int
    host: str | None
    name: str | None
    resolving: bool = False


class Bootstrap:
    """The list, and what became of its names."""

    __slots__ = ("_entries", "resolve")

    def __init__(self, entries: Sequence[str | Address] = (), resolve: Resolver | None = None) -> None:
        self._entries = [_parse(entry) for entry in entries]
        self.resolve = resolve

    def __len__(self) -> int:
        return len(self._entries)

    def addresses(self) -> list[Address]:
        return [(entry.host, entry.port) for entry in self._entries if entry.host is not None]

    def prepare(self, done: Callable[[], None]) -> None:
        """Look up what has no address yet. `done` runs as soon as a walk has somewhere to begin, or will never have."""
        waiting = [entry for entry in self._entries if entry.host is None]
        missing = len(waiting)
        begun = False

        def begin() -> None:
            nonlocal begun
            if not begun:
                begun = True
                done()

        def looked_up() -> None:
            nonlocal missing
            missing -= 1
            if missing == 0 or self.addresses():
                begin()

        if not waiting or self.addresses():
            begin()
        for entry in waiting:
            self._look_up(entry, looked_up)

    def retry(self) -> None:
        """Look up again what could not be found before (no network yet, perhaps)."""
        self.prepare(_nothing)

    def failed(self, address: Address) -> None:
        """That address did not answer: look its name up again, for the next walk."""
        for entry in self._entries:
            if (entry.host, entry.port) == address and entry.name is not None:
                self._look_up(entry, _nothing)

    def _look_up(self, entry: _Entry, done: Callable[[], None]) -> None:
        if self.resolve is None or entry.name is None or entry.resolving:
            done()
            return
        entry.resolving = True

        def found(host: str | None) -> None:
            entry.resolving = False
            if host is not None and is_ipv4(host):
                entry.host = host
            done()

        self.resolve(entry.name, found)


def _parse(entry: str | Address) -> _Entry:
    if not isinstance(entry, str):
        return _parse(f"{entry[0]}:{entry[1]}")
    host, separator, port = entry.rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise BadArgument(f"a bootstrap node is host:port or ip@hostname:port, not {entry!r}")
    ip, at, name = host.partition("@")
    if at:
        if not is_ipv4(ip) or not name:
            raise BadArgument(f"a bootstrap node is host:port or ip@hostname:port, not {entry!r}")
        return _Entry(int(port), ip, _name(name, entry))
    return _Entry(int(port), host, None) if is_ipv4(host) else _Entry(int(port), None, _name(host, entry))


def _name(name: str, entry: str) -> str:
    """`name`, if it could be one: without an empty label or one that is too long."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise BadArgument(f"a bootstrap node is host:port or ip@hostname:port, not {entry!r}") from None
    return name


def _nothing() -> None:
    pass
