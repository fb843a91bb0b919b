"""dht-rpc against datagrams of dht-rpc 6.27.0: each kind alone, and walks as they were captured on a testnet."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from core.dht.address import Address, decode_address, encode_address, parse_address
from core.dht.commands import CLIENT, FIND_NODE, PING_NAT, SERVER
from core.dht.events import Event
from core.dht.incoming import IncomingRequest
from core.dht.messages import (
    REQUEST,
    RequestMessage,
    ResponseMessage,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from core.dht.node import DhtNode
from core.dht.peer_id import peer_id
from core.dht.reachability import Reachability
from core.dht.table import RoutingTable, TableNode
from core.dht.tokens import Tokens
from tests.support.vectors import load_vectors

RPC = load_vectors("network/04-dht-rpc")
FLOWS = load_vectors("network/07-flows")["flows"]
PRIMITIVES = load_vectors("network/00-primitives")
REQUESTS = [message for message in RPC["messages"] if "command" in message]
ANSWERS = [message for message in RPC["messages"] if "inReplyTo" in message]
(RELAYED,) = [message for message in RPC["messages"] if "original" in message]

SELF = (RPC["self"]["host"], RPC["self"]["port"])
YOU = (RPC["you"]["host"], RPC["you"]["port"])


def optional(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def encoded_again(data: bytes) -> bytes:
    if data[0] == REQUEST:
        request = asdict(decode_request(data))
        return encode_request(request.pop("tid"), request.pop("to"), request.pop("command"), **request)
    response = asdict(decode_response(data))
    del response["compact_closer_nodes"]
    response["closer_nodes"] = [encode_address(node) for node in decode_response(data).closer_nodes]
    return encode_response(response.pop("tid"), response.pop("to"), **response)


@pytest.mark.parametrize("vector", PRIMITIVES["nodeIds"], ids=lambda vector: vector["addr"])
def test_addresses_and_ids(vector: dict[str, str]) -> None:
    address = parse_address(vector["addr"])
    assert encode_address(address).hex() == vector["compact"]
    assert decode_address(bytes.fromhex(vector["compact"]), 0) == (address, 6)
    assert peer_id(address).hex() == vector["id"]


@pytest.mark.parametrize("vector", REQUESTS, ids=lambda vector: vector["name"])
def test_each_request(vector: dict[str, Any]) -> None:
    wire = bytes.fromhex(vector["wire"])
    message = decode_request(wire)
    assert message == RequestMessage(
        tid=vector["tid"],
        to=YOU,
        id=None if vector["ephemeral"] else bytes.fromhex(RPC["selfId"]),
        token=optional(vector["token"]),
        internal=vector["internal"],
        command=vector["command"],
        target=optional(vector["target"]),
        value=optional(vector["value"]),
    )
    assert encoded_again(wire) == wire


def answering_node(ephemeral: bool, closer: list[Address]) -> DhtNode:
    """The node that made the vectors: its id, its secrets, and the nodes it knew."""
    node = DhtNode(firewalled=False, ephemeral=ephemeral, server_port=SELF[1])
    node.ephemeral = ephemeral
    node.table = RoutingTable(peer_id(SELF))
    node.tokens = Tokens(node.random, tuple(bytes.fromhex(text) for text in RPC["tokens"]["secrets"]))
    for address in closer:
        assert node.table.add(TableNode.at(address))
    return node


HANDLERS = {
    "user reply with token + closer nodes + value (req.reply default)": lambda request: request.reply(
        b"result"
    ),
    "user reply null value (token + closer nodes)": lambda request: request.reply(),
    "user reply without token and closer nodes": lambda request: request.reply(
        token=False, closer_nodes=False
    ),
}


@pytest.mark.parametrize("vector", ANSWERS, ids=lambda vector: vector["name"])
def test_each_answer(vector: dict[str, Any]) -> None:
    """The node gives the captured answer to the captured request; only the order of closer nodes may differ."""
    wire = bytes.fromhex(vector["wire"])
    expected = decode_response(wire)
    assert encoded_again(wire) == wire
    node = answering_node(vector.get("ephemeral", False), expected.closer_nodes)
    asked = bytes.fromhex(vector["inReplyTo"])
    if vector["name"] in HANDLERS:
        node.on_command(decode_request(asked).command, HANDLERS[vector["name"]])

    node.receive(asked, YOU, SERVER, 1.0)
    ((data, address, socket, _),) = node.datagrams_to_send(1.0)
    assert (address, socket, len(data)) == (YOU, SERVER, len(wire))
    answer = decode_response(data)
    assert sorted(answer.closer_nodes) == sorted(expected.closer_nodes)
    answer.compact_closer_nodes = expected.compact_closer_nodes
    assert answer == expected


def test_a_relayed_request_keeps_its_transaction_id() -> None:
    node = answering_node(True, [])
    node.on_command(0, lambda request: request.relay(b"rewritten", ("127.0.0.1", 50009)))
    node.receive(bytes.fromhex(RELAYED["original"]), YOU, SERVER, 1.0)
    ((data, address, _, _),) = node.datagrams_to_send(1.0)
    assert data.hex() == RELAYED["wire"]
    assert address == ("127.0.0.1", 50009)


def test_tokens() -> None:
    vector = RPC["tokens"]
    tokens = Tokens(lambda count: bytes(count), tuple(bytes.fromhex(text) for text in vector["secrets"]))
    assert tokens.issue(vector["host"], 0.0).hex() == vector["token1"]
    assert tokens.accepts(bytes.fromhex(vector["token0"]), vector["host"], 0.0)
    assert tokens.accepts(bytes.fromhex(vector["token1"]), vector["host"], 7.4)
    assert not tokens.accepts(bytes.fromhex(vector["token0"]), vector["host"], 7.6)
    assert tokens.accepts(bytes.fromhex(vector["token1"]), vector["host"], 14.9)
    assert not tokens.accepts(bytes.fromhex(vector["token1"]), vector["host"], 15.1)
    assert not tokens.accepts(tokens.issue("127.0.0.2", 16.0), vector["host"], 16.0)


# --- whole walks ------------------------------------------------------------------------------


def dht_packets(flow: dict[str, Any]) -> list[dict[str, Any]]:
    return [packet for packet in flow["packets"] if packet["proto"] == "dht"]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow["title"])
def test_every_captured_datagram(flow: dict[str, Any]) -> None:
    packets = dht_packets(flow)
    assert len(packets) >= 12
    for packet in packets:
        wire = bytes.fromhex(packet["hex"])
        assert encoded_again(wire) == wire


class Capture:
    """Answers what a walking machine asks with what the real nodes answered in one capture."""

    def __init__(self, flow: dict[str, Any], sender: str, command: str) -> None:
        self.ports = flow["ports"]
        packets = dht_packets(flow)
        self.asked = [p for p in packets if p["from"].startswith(sender) and p.get("command") == command]
        tids = {packet["tid"] for packet in self.asked}
        self.answers: dict[Address, ResponseMessage] = {}
        for packet in packets:
            if packet["kind"] == "response" and packet["tid"] in tids and packet["re"] == command:
                message = decode_response(bytes.fromhex(packet["hex"]))
                self.answers.setdefault(("127.0.0.1", self.ports[packet["from"]]), message)

    def visited(self) -> list[Address]:
        return [decode_request(bytes.fromhex(packet["hex"])).to for packet in self.asked]

    def answer(self, request: RequestMessage) -> bytes:
        message = self.answers[request.to]
        return encode_response(
            request.tid,
            message.to,
            id=message.id,
            token=message.token,
            closer_nodes=[encode_address(node) for node in message.closer_nodes],
            error=message.error,
            value=message.value,
        )


def without_tid(data: bytes) -> bytes:
    return data[:2] + data[4:]


def test_the_captured_bootstrap() -> None:
    """A fresh node sends the captured requests, byte for byte, and ends in the captured state."""
    (flow,) = [flow for flow in FLOWS if flow["title"] == "bootstrap of a fresh node"]
    capture = Capture(flow, "N.", "FIND_NODE")
    ports = flow["ports"]
    node = DhtNode(
        bootstrap=[("127.0.0.1", ports["node0.server"])], ephemeral=True, server_port=ports["N.server"]
    )
    target = decode_request(bytes.fromhex(capture.asked[0]["hex"])).target
    assert target is not None
    node.table = RoutingTable(target)
    events: list[Event] = []
    node.observers.append(events.append)
    node.start(0.0)
    sent: list[bytes] = []
    to_server: list[bytes] = []
    while out := node.datagrams_to_send(0.001):
        for data, address, socket, _ in out:
            assert socket == CLIENT
            sent.append(without_tid(data))
            request = decode_request(data)
            if request.command == PING_NAT:
                assert request.value is not None
                port = int.from_bytes(request.value, "little")
                to_server.append(encode_response(request.tid, ("127.0.0.1", port)))
            else:
                node.receive(capture.answer(request), address, CLIENT, 0.002)
    node.on_timer(
        0.3
    )  # ours would have waited a little for what lay in the other socket's buffer until the walk was over
    for data in to_server:
        node.receive(data, ("127.0.0.1", ports["node0.server"]), SERVER, 0.003)

    requests = [packet for packet in dht_packets(flow) if packet["kind"] == "request"]
    assert sorted(sent) == sorted(without_tid(bytes.fromhex(packet["hex"])) for packet in requests)
    assert sent[0] == without_tid(bytes.fromhex(requests[0]["hex"]))
    state = flow["state"]
    assert (node.firewalled, node.ephemeral) == (state["firewalled"], state["ephemeral"])
    assert node.public_address == (state["host"], state["port"])
    assert len(node.table) == state["nodes"]
    assert Event.BOOTSTRAPPED in events


COMMITTED = [
    ("announce / lookup / unannounce of a topic", "A.", "LOOKUP", "ANNOUNCE"),
    ("immutable and mutable records", "A.", "IMMUTABLE_GET", "IMMUTABLE_PUT"),
    ("immutable and mutable records", "A.", "MUTABLE_GET", "MUTABLE_PUT"),
]
NUMBERS = {"FIND_PEER": 2, "LOOKUP": 3, "ANNOUNCE": 4, "MUTABLE_PUT": 6, "MUTABLE_GET": 7}
NUMBERS |= {"IMMUTABLE_PUT": 8, "IMMUTABLE_GET": 9, "FIND_NODE": FIND_NODE}
WALKS = [
    *COMMITTED,
    ("connect to a key which nobody announces", "C.", "FIND_PEER", None),
    ("connect by holepunching", "C.", "FIND_PEER", None),
]


@pytest.mark.parametrize(("title", "sender", "command", "write"), WALKS)
def test_a_captured_walk(title: str, sender: str, command: str, write: str | None) -> None:
    """Given the captured answers, our walk asks the captured nodes, and writes where and with what was written."""
    (flow,) = [flow for flow in FLOWS if flow["title"] == title]
    capture = Capture(flow, sender, command)
    first = decode_request(bytes.fromhex(capture.asked[0]["hex"]))
    assert first.target is not None
    # A node that looks for several things in one capture, or again: only its first walk is compared.
    walk = {decode_request(bytes.fromhex(packet["hex"])).to for packet in capture.asked}
    with_id = {address for address, message in capture.answers.items() if message.id is not None}
    node = DhtNode(bootstrap=sorted(walk - with_id), ephemeral=True)
    for address in sorted(with_id)[::2]:  # half of them are known, the others must be found
        node.upkeep.add_known(address)

    written: list[tuple[Address, bytes | None]] = []

    def commit(reply: Any, settle: Any) -> None:
        written.append((reply.address, reply.token))
        settle(None)

    done: list[Any] = []
    query = node.query(
        first.target, NUMBERS[command], first.value, commit=commit if write else None, on_done=done.append
    )
    visited: list[Address] = []
    while out := node.datagrams_to_send(0.0):
        for data, address, socket, _ in out:
            visited.append(address)
            assert without_tid(data)[:1] == b"\x03"
            assert socket == CLIENT
            request = decode_request(data)
            assert (request.command, request.target) == (first.command, first.target)
            assert request.value == first.value
            node.receive(capture.answer(request), address, CLIENT, 0.0)
    assert done == [None]
    assert sorted(visited) == sorted(walk)
    # Repliers with an error (the bootstrap node stores nothing) count as failures and take no writes.
    assert {reply.address for reply in query.closest_replies} == with_id
    assert query.errors == sum(message.error != 0 for message in capture.answers.values())
    if write is not None:
        writes = Capture(flow, sender, write).asked
        messages = [decode_request(bytes.fromhex(packet["hex"])) for packet in writes]
        assert {(message.to, message.token) for message in messages if message.target == first.target} <= set(
            written
        )
        assert {address for address, _ in written} == with_id


def test_the_server_port_is_asked_for_as_captured() -> None:
    (flow,) = [flow for flow in FLOWS if flow["title"] == "bootstrap of a fresh node"]
    (packet,) = [packet for packet in dht_packets(flow) if packet.get("command") == "PING_NAT"]
    node = DhtNode(server_port=packet["value"]["port"])
    assert isinstance(node.reachability, Reachability)
    node.request(("127.0.0.1", 1), PING_NAT, internal=True, value=node.server_port.to_bytes(2, "little"))
    ((data, _, _, _),) = node.datagrams_to_send(0.0)
    assert data.endswith(bytes.fromhex(packet["hex"])[-4:])


def test_an_unhandled_command_is_refused_but_routed() -> None:
    node = answering_node(False, [("127.0.0.9", 1000)])
    seen: list[IncomingRequest] = []

    def refuse(request: IncomingRequest) -> bool:
        seen.append(request)
        return False

    node.on_command(7, refuse)
    for command in (7, 8):
        node.receive(encode_request(1, SELF, command, target=bytes(32)), YOU, SERVER, 0.0)
    answers = [decode_response(data) for data, *_ in node.datagrams_to_send(0.0)]
    assert [(answer.error, answer.closer_nodes) for answer in answers] == [(1, [("127.0.0.9", 1000)])] * 2
    assert len(seen) == 1
