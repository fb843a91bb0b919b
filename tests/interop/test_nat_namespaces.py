"""Two peers behind two real NATs: network namespaces with veth and nftables masquerading, made by the test itself.

What each router really does with ports is looked at first. Then peers punch through, data flows, and what we
say about how it came about is compared with what it must be.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.dht.world import RANDOM_PUNCH_SECONDS
from tests.conftest import skip_or_fail
from tests.support.internet import (
    MIDDLE_HOSTS,
    Internet,
    Nat,
    inside,
    why_there_are_no_namespaces,
    why_tools_are_missing,
)
from tests.support.node import NodeError, NodePeer, why_node_is_missing

pytestmark = [pytest.mark.anyio, pytest.mark.interop]

ROOT = Path(__file__).resolve().parents[2]
SEED = bytes(range(32))
KEY = key_pair(SEED).public_key
RELAY_SEED = bytes(reversed(range(32)))
PAIRS = [[f"post/{number:03}", {"text": "through two walls " * 20}] for number in range(200)]

Start = Callable[[str], Awaitable[NodePeer]]


@pytest.fixture
def internet() -> Iterator[Internet]:
    skip_or_fail(why_tools_are_missing())
    reason = why_there_are_no_namespaces()
    if reason is not None:
        pytest.skip(reason)  # in CI too: a machine that cannot is no fault of ours
    with Internet() as internet:
        yield internet


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def ours(internet: Internet, stack: AsyncExitStack) -> Start:
    """Starts a process of ours in a namespace."""

    async def start(namespace: str) -> NodePeer:
        command = [*inside(namespace), sys.executable, "-m", "tests.support.nat_peer"]
        return await stack.enter_async_context(await NodePeer.run_program(command, ROOT))

    return start


@pytest.fixture
def theirs(internet: Internet, stack: AsyncExitStack) -> Start:
    """Starts a Node process in a namespace."""
    skip_or_fail(why_node_is_missing())

    async def start(namespace: str) -> NodePeer:
        node = await NodePeer.start("hyperdht.js", before=inside(namespace))
        return await stack.enter_async_context(node)

    return start


async def our_testnet(internet: Internet, ours: Start) -> list[str]:
    answer = await (await ours(internet.middle))("testnet", hosts=MIDDLE_HOSTS)
    return list(answer["bootstrap"])


async def test_the_routers_are_what_they_are_called(internet: Internet, ours: Start) -> None:
    """One outside port for all destinations, or another one for each."""
    port = await (await ours(internet.middle))("echo", hosts=MIDDLE_HOSTS)
    for nat, ports in ((Nat.CONSISTENT, 1), (Nat.RANDOM, len(MIDDLE_HOSTS))):
        seen = await (await ours(internet.house(nat)))("mapping", hosts=MIDDLE_HOSTS, port=port)
        assert len({host for host, _ in seen}) == 1
        assert len({port for _, port in seen}) == ports


async def test_a_stranger_does_not_get_in(internet: Internet, ours: Start) -> None:
    """The NATs really close: through a port that is open for one, nobody else comes in."""
    middle = await ours(internet.middle)
    host = await ours(internet.house(Nat.CONSISTENT))
    stranger = await ours(internet.house(Nat.CONSISTENT))
    friend = await middle("echo", hosts=MIDDLE_HOSTS[:1])
    port = await host("echo", hosts=["0.0.0.0"])
    assert await host("poke", host=MIDDLE_HOSTS[0], port=friend) == ["100.64.1.1", port]
    with pytest.raises(NodeError, match="TimeoutError"):
        await stranger("mapping", hosts=["100.64.1.1"], port=port, seconds=1.0)


@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_a_bee_is_read_through_two_nats_by_its_key_alone(
    internet: Internet, ours: Start, whose: str, request: pytest.FixtureRequest
) -> None:
    """The author, the reader and nobody in between but strangers: a DHT of ours, and one of official nodes."""
    if whose == "ours":
        bootstrap = await our_testnet(internet, ours)
    else:
        start: Start = request.getfixturevalue("theirs")
        bootstrap = (await (await start(internet.middle))("nodes", hosts=MIDDLE_HOSTS))["bootstrap"]
    author = await ours(internet.house(Nat.CONSISTENT))
    reader = await ours(internet.house(Nat.CONSISTENT))
    key = (await author("author", bootstrap=bootstrap, pairs=PAIRS))["key"]
    answer = await reader("read", bootstrap=bootstrap, key=key)
    assert answer["pairs"] == PAIRS
    assert answer["hows"] == ["punched"]
    assert await author("hows") == ["punched"]
    assert answer["nat"] == "consistent"
    assert "Behind a NAT or firewall; others see 100.64.2.1:" in answer["sentence"]


@pytest.mark.parametrize(
    ("client", "server"),
    [(Nat.CONSISTENT, Nat.RANDOM), (Nat.RANDOM, Nat.CONSISTENT)],
    ids=["server", "client"],
)
async def test_one_of_the_nats_takes_random_ports(
    internet: Internet, ours: Start, client: Nat, server: Nat
) -> None:
    """A few hundred sockets on the one side, a few hundred guesses on the other."""
    bootstrap = await our_testnet(internet, ours)
    serving, dialing = await ours(internet.house(server)), await ours(internet.house(client))
    for peer, nat in ((serving, server), (dialing, client)):
        opened = await peer("open", name="node", bootstrap=bootstrap)
        assert opened["nat"] == ("consistent" if nat is Nat.CONSISTENT else "random")
    await serving("listen", name="node", seed=SEED.hex())
    data = secrets.token_bytes(100_000).hex()
    answer = await connect_patiently(dialing, key=KEY.hex(), data=data)
    assert (answer["data"], answer["how"]) == (data, "punched")
    assert answer["remote"].startswith("100.64.1.1:")
    assert (await serving("served", name="node"))[-1] == "punched"


async def connect_patiently(peer: NodePeer, **arguments: Any) -> Any:
    """Guessing has bad luck once in a thousand times."""
    try:
        return await peer("connect", name="node", **arguments)
    except NodeError:
        await asyncio.sleep(RANDOM_PUNCH_SECONDS + 1)  # nobody guesses again sooner
        return await peer("connect", name="node", **arguments)


async def test_two_nats_with_random_ports_are_met_at_a_relay_or_not_at_all(
    internet: Internet, ours: Start, theirs: Start
) -> None:
    """As with the official package: without a relay the dial fails, with the reason."""
    middle = await theirs(internet.middle)
    bootstrap = (await middle("nodes", hosts=MIDDLE_HOSTS))["bootstrap"]
    await middle(
        "open", name="relay", options=node_options(bootstrap, host=MIDDLE_HOSTS[0], firewalled=False)
    )
    relay = (await middle("relay", name="relay", seed=RELAY_SEED.hex()))["key"]
    serving, dialing = await ours(internet.house(Nat.RANDOM)), await ours(internet.house(Nat.RANDOM))
    for peer in (serving, dialing):
        assert (await peer("open", name="node", bootstrap=bootstrap))["nat"] == "random"
    await serving("listen", name="node", seed=SEED.hex())
    with pytest.raises(NodeError, match="both peers are behind NATs that change ports: only a relay"):
        await dialing("connect", name="node", key=KEY.hex(), data="00")
    data = secrets.token_bytes(50_000).hex()
    answer = await dialing("connect", name="node", key=KEY.hex(), data=data, relay=relay)
    assert (answer["data"], answer["how"]) == (data, "relayed")
    assert (await serving("served", name="node"))[-1] == "relayed"
    node = await theirs(internet.house(Nat.RANDOM))
    await node("open", name="node", options=node_options(bootstrap))
    with pytest.raises(NodeError, match="HOLEPUNCH_ABORTED"):
        await node("connect", name="node", key=KEY.hex(), data="00")


async def test_a_bee_behind_two_random_nats_is_read_through_the_relay_that_its_peers_name(
    internet: Internet, ours: Start, theirs: Start
) -> None:
    """Whoever finds its own NAT random offers the relay, or goes there, without trying in vain first."""
    middle = await theirs(internet.middle)
    bootstrap = (await middle("nodes", hosts=MIDDLE_HOSTS))["bootstrap"]
    await middle(
        "open", name="relay", options=node_options(bootstrap, host=MIDDLE_HOSTS[0], firewalled=False)
    )
    relay = (await middle("relay", name="relay", seed=RELAY_SEED.hex()))["key"]
    author, reader = await ours(internet.house(Nat.RANDOM)), await ours(internet.house(Nat.RANDOM))
    key = (await author("author", bootstrap=bootstrap, pairs=PAIRS, relay=relay))["key"]
    answer = await reader("read", bootstrap=bootstrap, key=key, relay=relay)
    assert answer["pairs"] == PAIRS
    assert answer["hows"] == await author("hows") == ["relayed"]
    assert answer["nat"] == "random"
    assert answer["sentence"].startswith("Behind a NAT that takes another port for each peer")


@pytest.mark.parametrize(
    ("dialer", "our_nat", "their_nat"),
    [
        ("ours", Nat.CONSISTENT, Nat.CONSISTENT),
        ("theirs", Nat.CONSISTENT, Nat.CONSISTENT),
        ("ours", Nat.CONSISTENT, Nat.RANDOM),
        ("theirs", Nat.RANDOM, Nat.CONSISTENT),
    ],
    ids=["we dial", "they dial", "we dial a random one", "they dial our random one"],
)
async def test_ours_and_theirs_punch_through(
    internet: Internet, ours: Start, theirs: Start, dialer: str, our_nat: Nat, their_nat: Nat
) -> None:
    bootstrap = await our_testnet(internet, ours)
    python, node = await ours(internet.house(our_nat)), await theirs(internet.house(their_nat))
    opened = await python("open", name="node", bootstrap=bootstrap)
    assert opened["nat"] == ("consistent" if our_nat is Nat.CONSISTENT else "random")
    opened = await node("open", name="node", options=node_options(bootstrap))
    assert opened["firewalled"] is True
    data = secrets.token_bytes(200_000).hex()
    if dialer == "ours":
        await node("listen", name="node", seed=SEED.hex())
        answer = await connect_patiently(python, key=KEY.hex(), data=data)
        assert answer["how"] == "punched"
        assert answer["remote"].startswith("100.64.2.1:")
    else:
        await python("listen", name="node", seed=SEED.hex())
        answer = await connect_patiently(node, key=KEY.hex(), data=data)
        assert [host for host, _ in answer["remotes"]] == ["100.64.1.1"]
        assert (await python("served", name="node"))[-1] == "punched"
    assert answer["data"] == data


def node_options(bootstrap: list[str], host: str = "0.0.0.0", **options: Any) -> dict[str, Any]:
    return {"bootstrap": bootstrap, "host": host, "port": 0, **options}
