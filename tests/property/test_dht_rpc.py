"""What holds for every datagram a stranger may send to a DHT node."""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dht.address import Address, decode_address, decode_addresses, encode_address, encode_addresses
from core.dht.commands import CLIENT, DELAYED_PING, DOWN_HINT, FIND_NODE, PING, PING_NAT, SERVER
from core.dht.messages import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from core.dht.node import DhtNode
from core.dht.peer_id import distance, peer_id
from core.dht.sampler import NatSampler
from core.dht.table import K, RoutingTable, TableNode
from core.errors import DecodingError

hosts = st.tuples(*[st.integers(0, 255)] * 4).map(lambda parts: ".".join(map(str, parts)))
addresses = st.tuples(hosts, st.integers(0, 65535))
ids = st.binary(min_size=32, max_size=32)
optional_ids = st.none() | ids
uints = st.integers(0, 2**53 - 1)
values = st.none() | st.binary(max_size=200)

request_fields = st.fixed_dictionaries(
    {
        "tid": st.integers(0, 65535),
        "to": addresses,
        "command": st.integers(0, 12) | uints,
        "internal": st.booleans(),
        "id": optional_ids,
        "token": optional_ids,
        "target": optional_ids,
        "value": values,
    }
)
response_fields = st.fixed_dictionaries(
    {
        "tid": st.integers(0, 65535),
        "to": addresses,
        "id": optional_ids,
        "token": optional_ids,
        "closer_nodes": st.lists(addresses, max_size=30),
        "error": st.integers(0, 20) | uints,
        "value": values,
    }
)


def lay_out_response(fields: dict[str, Any]) -> bytes:
    closer = [encode_address(address) for address in fields["closer_nodes"]]
    return encode_response(**{**fields, "closer_nodes": closer})


datagrams = (
    st.binary(max_size=120)
    | st.binary(max_size=120).map(lambda data: b"\x03" + data)
    | st.binary(max_size=120).map(lambda data: b"\x13" + data)
    | request_fields.map(lambda fields: encode_request(**fields))
    | response_fields.map(lay_out_response)
)


@given(request_fields)
def test_requests_are_read_as_they_were_written(fields: dict[str, Any]) -> None:
    message = decode_request(encode_request(**fields))
    assert {name: getattr(message, name) for name in fields} == fields


@given(response_fields)
def test_responses_are_read_as_they_were_written(fields: dict[str, Any]) -> None:
    message = decode_response(lay_out_response(fields))
    assert {name: getattr(message, name) for name in fields} == fields


@given(st.lists(addresses, max_size=50), st.binary(max_size=9))
def test_address_arrays(array: list[Address], rest: bytes) -> None:
    data = encode_addresses(array)
    assert decode_addresses(data + rest, 0) == (array, len(data))
    for address in array:
        assert decode_address(encode_address(address), 0) == (address, 6)


@given(st.binary(max_size=80))
def test_garbage_parses_or_raises_one_error(data: bytes) -> None:
    for decode in (decode_request, decode_response):
        try:
            decode(data)
        except DecodingError:
            pass


def busy_node(now: float = 0.0) -> DhtNode:
    """A persistent node in the middle of things: it knows others, waits for answers and looks for somebody."""
    node = DhtNode(
        bootstrap=["10.0.0.1:1"],
        ephemeral=False,
        firewalled=False,
        server_port=49737,
        known_address=("10.9.9.9", 49737),
        random=random.Random(1).randbytes,
        nodes=[(f"10.0.{i % 8}.{i}", 1000 + i) for i in range(60)],
    )
    node.start(now)
    node.on_command(3, lambda request: request.reply(b"value"))
    node.on_command(4, lambda request: request.error(17))
    node.on_command(5, lambda request: False)
    node.find_node(bytes(32))
    node.datagrams_to_send(now)
    return node


@settings(deadline=None)
@given(st.lists(st.tuples(datagrams, addresses, st.sampled_from([SERVER, CLIENT, "punch"])), max_size=20))
def test_no_datagram_raises_and_no_reply_is_larger_than_it_may_be(
    arriving: list[tuple[bytes, Address, str]],
) -> None:
    """Ours never answers with more than the reference would: what a reply may hold follows from the request alone."""
    node = busy_node()
    now = 0.0
    for data, address, socket in arriving:
        now += 0.01
        before = len(node.requests)
        node.receive(data, address, socket, now)
        replies = [out for out in node.datagrams_to_send(now) if out.data[0] == 0x13]
        # A datagram of another node may move a walk of ours on, but is answered at most once.
        assert len(replies) <= 1
        for reply in replies:
            assert data[0] == 0x03
            assert reply.address[0] == address[0]
            assert reply.socket == socket
            assert len(reply.data) <= largest_reply(data, b"value")
        assert len(node.requests) <= before + 12
    node.on_timer(now + 1)
    node.on_timer(now + 100)
    node.close()


def largest_reply(request: bytes, value: bytes) -> int:
    """Bytes of the reference's answer (`lib/io.js` `_sendReply`) at most: id, token, 20 closer nodes, error, value."""
    message = decode_request(request)
    head, id, token, error = 10, 32, 32, 1
    closer = 1 + 6 * K if message.target is not None else 0
    if message.token is not None:  # ours was not in it: an invalid token is refused
        return head + id + token + closer + error
    if message.internal:
        return (
            head
            + id
            + {PING: 0, PING_NAT: 0, DOWN_HINT: 0, DELAYED_PING: 0}.get(message.command, closer + error)
        )
    return head + id + token + closer + max(error, 1 + len(value))


@given(ids, st.lists(addresses, max_size=120, unique=True), ids)
def test_the_closest_are_the_closest_of_what_the_rows_kept(
    own: bytes, known: list[Address], target: bytes
) -> None:
    table = RoutingTable(own)
    kept = [address for address in known if table.add(TableNode.at(address))]
    assert len(table) == len(kept)
    nearest = sorted(kept, key=lambda address: distance(peer_id(address), target))
    assert [node.address for node in table.closest(target)] == nearest[:K]
    for address in kept[::2]:
        assert table.remove(peer_id(address))
    left = [address for address in nearest if address not in kept[::2]]
    assert [node.address for node in table.closest(target, 200)] == left


@given(st.lists(st.tuples(st.sampled_from(["1.1.1.1", "2.2.2.2"]), st.integers(1, 3)), max_size=60))
def test_the_sampler_says_only_what_most_recent_samples_say(samples: list[Address]) -> None:
    sampler = NatSampler()
    for count, (host, port) in enumerate(samples, 1):
        sampler.add(host, port)
        assert sampler.size == min(count, 16)
        ring = samples[max(0, count - 16) : count]
        if sampler.host is not None:
            agreeing = [sample for sample in ring if sample[0] == sampler.host]
            assert len(agreeing) >= len(ring) - 3
        if sampler.port:
            assert ring.count((sampler.host or "", sampler.port)) >= len(ring) - 3
        if len(set(ring)) == 1:
            assert (sampler.host, sampler.port) == ring[0]


def test_a_flood_of_requests_takes_no_memory_and_keeps_nobody_out() -> None:
    """100,000 requests of every kind from 100,000 addresses, each with a valid id: tables and queues stay bounded."""
    draw = random.Random(2)
    node = busy_node()
    node.bootstrapped = True
    target = draw.randbytes(32)
    friend = ("10.77.0.1", 7)

    def flood(requests: int, now: float) -> float:
        for number in range(requests):
            address = (
                f"{draw.randrange(1, 200)}.{draw.randrange(256)}.{draw.randrange(256)}.1",
                1 + number % 60000,
            )
            command, value = FLOOD[number % len(FLOOD)]
            data = encode_request(
                number & 0xFFFF,
                ("10.9.9.9", 49737),
                command,
                internal=number % 7 != 0,
                id=peer_id(address),
                target=draw.randbytes(32) if command == FIND_NODE else None,
                value=value,
            )
            node.receive(data, address, SERVER, now)
            if number % 64 == 63:  # the driver's turn of the loop
                now += 0.001
                node.datagrams_to_send(now)
                due = node.deadline()
                if due is not None and due <= now:
                    node.on_timer(now)
        return now

    now = flood(20_000, 0.0)  # everything that fills up once is full
    gc.collect()
    before = sys.getallocatedblocks()
    now = flood(80_000, now)
    gc.collect()
    assert sys.getallocatedblocks() - before < 8_000  # a tenth of an object for each request
    assert len(node.table) <= 20 * 20  # rows that random ids reach
    assert len(node.requests) < 200
    node.datagrams_to_send(now)
    node.receive(encode_request(9, ("10.9.9.9", 49737), 3, target=target), friend, SERVER, now)
    answers = [out for out in node.datagrams_to_send(now) if out.address == friend]
    assert [decode_response(out.data).value for out in answers] == [b"value"]


FLOOD = [
    (PING, None),
    (FIND_NODE, None),
    (PING_NAT, b"\x01\x02"),
    (DOWN_HINT, b"\x0a\x00\x01\x01\xe9\x03"),
    (DELAYED_PING, b"\x10\x27\x00\x00"),
    (3, b"x" * 400),
    (99, None),
]
