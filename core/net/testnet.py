"""A whole DHT on this machine: the first node is where the others join, and nothing leaves the loopback interface.

    async with await Testnet.open(8) as net:
        node = await net.add()                  # one more, ephemeral, joined through `net.bootstrap`

Unlike in hyperdht 6.34.0's `testnet.js` the first node knows its own address from the start, so it is persistent
like the others and a network of one already stores what is announced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

from ..dht.address import Address
from .dht_node import ANY_PORT
from .hyperdht import HyperDht


class Member(Protocol):
    """What a node must offer to be part of it: `HyperDht` does, and so does the `UdpDhtNode` below it."""

    @property
    def server_address(self) -> Address: ...

    async def bootstrapped(self) -> None: ...

    async def close(self) -> None: ...


Open = Callable[..., Awaitable[Member]]
"""Opens one node; called with `host`, `ports`, `any_port`, `bootstrap`, `ephemeral`, `firewalled`, `known_host`."""


class Testnet:
    """`nodes` are the members in order of birth; `bootstrap` is what a stranger needs to join."""

    __test__ = False  # the name says "test", but no test runner should collect it

    def __init__(self, host: str, open_node: Open) -> None:
        self.nodes: list[Any] = []
        self.bootstrap: list[str] = []
        self._host = host
        self._open = open_node

    @classmethod
    async def open(
        cls,
        size: int = 8,
        *,
        host: str = "127.0.0.1",
        ports: Iterable[int] = ANY_PORT,
        open_node: Open = HyperDht.open,
    ) -> Testnet:
        """`size` persistent nodes that know each other. The first tries `ports`; raises `OSError` if it gets none."""
        net = cls(host, open_node)
        try:
            for number in range(size):
                first = number == 0
                await net.add(
                    ephemeral=False,
                    firewalled=False,
                    ports=tuple(ports) if first else ANY_PORT,
                    any_port=False,
                    known_host=host if first else None,
                )
        except BaseException:
            await net.close()
            raise
        return net

    async def add(self, **options: Any) -> Any:
        """One more node, bootstrapped; ephemeral unless `options` say otherwise."""
        node = await self._open(
            **{
                "host": self._host,
                "ports": ANY_PORT,
                "bootstrap": tuple(self.bootstrap),
                "ephemeral": True,
                **options,
            }
        )
        self.nodes.append(node)
        await node.bootstrapped()
        if not self.bootstrap:
            self.bootstrap.append(f"{self._host}:{node.server_address[1]}")
        return node

    async def close(self) -> None:
        """Close every node, the first one last."""
        while self.nodes:
            await self.nodes.pop().close()

    async def __aenter__(self) -> Testnet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
