"""HyperDHT's bodies, signatures and seals against the bytes of hyperdht 6.34.0."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.hashing import hash32
from core.crypto.keys import KeyPair
from core.dht import hyper_commands as numbers
from core.dht.handshake import PeerHandshake, holepunch_secret
from core.dht.handshake_messages import (
    HandshakeBody,
    HolepunchInfo,
    NoisePayload,
    RelayInfo,
    RelayThrough,
    UdxInfo,
    decode_handshake,
    decode_payload,
    encode_handshake,
    encode_payload,
)
from core.dht.holepunch_messages import (
    HolepunchBody,
    HolepunchPayload,
    PayloadBox,
    decode_holepunch,
    decode_holepunch_payload,
    encode_holepunch,
    encode_holepunch_payload,
)
from core.dht.records import (
    Announcement,
    MutableValue,
    PeerRecord,
    decode_announcement,
    decode_lookup_reply,
    decode_mutable_put,
    decode_mutable_value,
    decode_peer,
    encode_announcement,
    encode_lookup_reply,
    encode_mutable_put,
    encode_mutable_value,
    encode_peer,
)
from core.dht.signatures import (
    announce_signable,
    mutable_signable,
    sign_announcement,
    sign_mutable,
    sign_unannouncement,
    verify_announcement,
    verify_mutable,
    verify_unannouncement,
)
from core.secret_stream.handshake import stream_id
from tests.support.vectors import load_vectors

VECTORS = load_vectors("network/05-hyperdht")
NOISE = load_vectors("network/01-noise")


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def address(value: Any) -> tuple[str, int] | None:
    return None if value is None else (value["host"], value["port"])


def addresses(values: Any) -> tuple[tuple[str, int], ...]:
    return tuple((value["host"], value["port"]) for value in values)


KEYS = KeyPair(unhex(VECTORS["keyPair"]["publicKey"]), unhex(VECTORS["keyPair"]["secretKey"]))


def test_numbers() -> None:
    for name, number in VECTORS["constants"]["COMMANDS"].items():
        if name != "PLUGIN":
            assert getattr(numbers, name) == number
    for group in ("FIREWALL", "ERROR"):
        for name, number in VECTORS["constants"][group].items():
            assert getattr(numbers, name) == number
    assert list(numbers.PUBLIC_BOOTSTRAP) == VECTORS["constants"]["BOOTSTRAP_NODES"]


@pytest.mark.parametrize("name", VECTORS["peerHandshake"])
def test_handshake_body(name: str) -> None:
    vector = VECTORS["peerHandshake"][name]
    fields = vector["fields"]
    body = HandshakeBody(
        fields["mode"],
        unhex(fields["noise"]),
        address(fields.get("peerAddress")),
        address(fields.get("relayAddress")),
    )
    assert encode_handshake(body).hex() == vector["hex"]
    assert decode_handshake(unhex(vector["hex"])) == body


@pytest.mark.parametrize("name", VECTORS["noisePayload"])
def test_noise_payload(name: str) -> None:
    vector = VECTORS["noisePayload"][name]
    fields = vector["fields"]
    punch, udx, relay = fields.get("holepunch"), fields.get("udx"), fields.get("relayThrough")
    payload = NoisePayload(
        fields["error"],
        fields["firewall"],
        punch
        and HolepunchInfo(
            punch["id"],
            tuple(
                RelayInfo(*addresses([entry["relayAddress"], entry["peerAddress"]]))
                for entry in punch["relays"]
            ),
        ),
        addresses(fields.get("addresses4") or ()),
        tuple(_ipv6(value) for value in fields.get("addresses6") or ()),
        udx and UdxInfo(udx["id"], udx["seq"], udx["reusableSocket"]),
        fields.get("secretStream") is not None,
        relay and RelayThrough(unhex(relay["publicKey"]), unhex(relay["token"])),
        None if fields.get("relayAddresses") is None else addresses(fields["relayAddresses"]),
    )
    assert encode_payload(payload).hex() == vector["hex"]
    assert decode_payload(unhex(vector["hex"])) == payload


def _ipv6(value: Any) -> bytes:
    import ipaddress

    return ipaddress.IPv6Address(value["host"]).packed + value["port"].to_bytes(2, "little")


def test_payload_of_another_version_is_not_read() -> None:
    assert decode_payload(b"\x02\xff\xff") == NoisePayload(version=2)


@pytest.mark.parametrize("name", VECTORS["peerHolepunch"])
def test_holepunch_body(name: str) -> None:
    vector = VECTORS["peerHolepunch"][name]
    fields = vector["fields"]
    body = HolepunchBody(
        fields["mode"], fields["id"], unhex(fields["payload"]), address(fields["peerAddress"])
    )
    assert encode_holepunch(body).hex() == vector["hex"]
    assert decode_holepunch(unhex(vector["hex"])) == body


@pytest.mark.parametrize("name", ["full", "minimal", "connectedFlagOnly"])
def test_holepunch_payload(name: str) -> None:
    vector = VECTORS["holepunchPayload"][name]
    payload = _punch_payload(vector["fields"])
    assert encode_holepunch_payload(payload).hex() == vector["hex"]
    assert decode_holepunch_payload(unhex(vector["hex"])) == payload


def _punch_payload(fields: Any) -> HolepunchPayload:
    return HolepunchPayload(
        fields["error"],
        fields["firewall"],
        fields["round"],
        fields["connected"],
        fields["punching"],
        None if fields["addresses"] is None else addresses(fields["addresses"]),
        address(fields["remoteAddress"]),
        fields["token"] and unhex(fields["token"]),
        fields["remoteToken"] and unhex(fields["remoteToken"]),
    )


@pytest.mark.parametrize(("sealed", "name"), [("sealedFull", "full"), ("sealedMinimal", "minimal")])
def test_sealed_payload(sealed: str, name: str) -> None:
    vector = VECTORS["holepunchPayload"]
    box = PayloadBox(unhex(vector["box"]["key"]))
    data = unhex(vector["box"][sealed])
    payload = _punch_payload(vector[name]["fields"])
    assert box.open(data) == payload
    assert box.seal(payload, data[:24]) == data


def test_holepunch_token() -> None:
    vector = VECTORS["holepunchPayload"]["token"]
    assert PayloadBox(bytes(32), unhex(vector["localSecret"])).token(vector["host"]).hex() == vector["token"]


@pytest.mark.parametrize("name", ["noRelays", "threeRelays"])
def test_peer_record(name: str) -> None:
    vector = VECTORS["peerRecord"][name]
    peer = PeerRecord(unhex(vector["fields"]["publicKey"]), addresses(vector["fields"]["relayAddresses"]))
    assert encode_peer(peer).hex() == vector["hex"]
    assert decode_peer(unhex(vector["hex"]))[0] == peer


def test_lookup_reply() -> None:
    two = unhex(VECTORS["lookupReply"]["twoPeersNoBump"]["hex"])
    peers, bump = decode_lookup_reply(two)
    assert (len(peers), bump) == (2, 0)
    assert encode_lookup_reply([encode_peer(peer) for peer in peers]) == two
    assert decode_lookup_reply(two[:-1]) == (peers, 0), "older nodes leave the bump out"
    one = VECTORS["lookupReply"]["onePeerWithBump"]
    assert decode_lookup_reply(unhex(one["hex"]))[1] == one["bump"]


def test_announce() -> None:
    vector = VECTORS["announce"]
    target, token, node_id = (unhex(vector["inputs"][name]) for name in ("target", "token", "nodeId"))
    message = decode_announcement(unhex(vector["message"]["hex"]))
    assert message.peer is not None
    assert (
        announce_signable(numbers.NS_ANNOUNCE, target, node_id, token, message.peer).hex()
        == vector["signable"]
    )
    ours = sign_announcement(KEYS, target, node_id, token, message.peer.relay_addresses)
    assert encode_announcement(ours).hex() == vector["message"]["hex"]
    assert verify_announcement(message, target, node_id, token)
    assert not verify_announcement(message, target, node_id, bytes(32))
    assert not verify_unannouncement(message, target, node_id, token)
    bumped = sign_announcement(
        KEYS, target, node_id, token, message.peer.relay_addresses, bump=vector["withBump"]["bump"]
    )
    assert encode_announcement(bumped).hex() == vector["withBump"]["hex"]
    with_refresh = vector["withRefresh"]
    renewable = Announcement(message.peer, unhex(with_refresh["refresh"]), unhex(with_refresh["signature"]))
    assert verify_announcement(renewable, target, node_id, token)
    renewal = decode_announcement(unhex(vector["refreshOnly"]["hex"]))
    assert (renewal.peer, renewal.signature) == (None, None)
    assert encode_announcement(renewal).hex() == vector["refreshOnly"]["hex"]


def test_unannounce() -> None:
    target, token, node_id = (
        unhex(VECTORS["announce"]["inputs"][name]) for name in ("target", "token", "nodeId")
    )
    ours = sign_unannouncement(KEYS, target, node_id, token)
    assert encode_announcement(ours).hex() == VECTORS["unannounce"]["message"]["hex"]
    assert verify_unannouncement(ours, target, node_id, token)


def test_mutable() -> None:
    vector = VECTORS["mutable"]
    assert hash32(KEYS.public_key).hex() == vector["target"]
    assert mutable_signable(vector["seq"], unhex(vector["value"]))[32:].hex() == vector["signableHash"]
    signed = sign_mutable(KEYS, vector["seq"], unhex(vector["value"]))
    assert encode_mutable_put(KEYS.public_key, signed).hex() == vector["putRequest"]["hex"]
    assert decode_mutable_put(unhex(vector["putRequest"]["hex"])) == (KEYS.public_key, signed)
    assert encode_mutable_value(signed).hex() == vector["getResponse"]["hex"]
    assert decode_mutable_value(unhex(vector["getResponse"]["hex"])) == signed
    assert verify_mutable(signed, KEYS.public_key)
    assert not verify_mutable(MutableValue(signed.seq + 1, signed.value, signed.signature), KEYS.public_key)


def test_noise_handshake() -> None:
    vector = NOISE["IK_hyperdht"]

    def pair(name: str) -> KeyPair:
        keys = NOISE["keys"][name]
        return KeyPair(unhex(keys["publicKey"]), unhex(keys["secretKey"]))

    client = PeerHandshake(
        pair("initiatorStatic"), pair("responderStatic").public_key, ephemeral=pair("initiatorEphemeral")
    )
    server = PeerHandshake(pair("responderStatic"), ephemeral=pair("responderEphemeral"))
    for sender, reader, message in ((client, server, 0), (server, client, 1)):
        expected = vector["messages"][message]
        wire = sender.write(decode_payload(unhex(expected["payload"])))
        assert wire.hex() == expected["wire"]
        assert encode_payload(reader.read(wire)).hex() == expected["payload"]
    for side, name in ((client, "initiator"), (server, "responder")):
        result = side.result()
        assert result.handshake_hash.hex() == vector["handshakeHash"]
        assert (result.tx.hex(), result.rx.hex()) == (vector[name]["tx"], vector[name]["rx"])
        assert result.remote_public_key.hex() == vector[name]["remoteStatic"]
        assert stream_id(result.handshake_hash, side is client).hex() == vector["streamIds"][name]
        assert holepunch_secret(result.handshake_hash).hex() == vector["holepunchSecret"]["value"]
