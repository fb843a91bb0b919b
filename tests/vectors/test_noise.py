"""Noise against the transcripts of noise-handshake 4.2.0 and noise-curve-ed 2.1.0, state by state."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.keys import KeyPair
from core.crypto.noise import NoiseHandshake, diffie_hellman, hkdf
from core.secret_stream.handshake import NS_INITIATOR, NS_RESPONDER, NS_SEND, stream_id
from tests.support.vectors import load_vectors

PRIMITIVES = load_vectors("network/00-primitives")
NOISE = load_vectors("network/01-noise")
TRANSCRIPTS = [name for name, value in NOISE.items() if isinstance(value, dict) and "protocolName" in value]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def keys(name: str) -> KeyPair:
    pair = NOISE["keys"][name]
    return KeyPair(unhex(pair["publicKey"]), unhex(pair["secretKey"]))


def sides(transcript: dict[str, Any]) -> tuple[NoiseHandshake, NoiseHandshake]:
    pattern = transcript["protocolName"].split("_")[1]
    prologue = unhex(transcript["prologue"])
    remote = keys("responderStatic").public_key if pattern == "IK" else None
    initiator = NoiseHandshake(
        pattern,
        True,
        keys("initiatorStatic"),
        prologue=prologue,
        remote_static=remote,
        ephemeral=keys("initiatorEphemeral"),
    )
    responder = NoiseHandshake(
        pattern, False, keys("responderStatic"), prologue=prologue, ephemeral=keys("responderEphemeral")
    )
    return initiator, responder


def test_diffie_hellman() -> None:
    vector = PRIMITIVES["ed25519dh"]
    a, b = vector["A"], vector["B"]
    shared = unhex(vector["dh(A.sk,B.pk)"])
    assert diffie_hellman(unhex(a["secretKey"]), unhex(b["publicKey"])) == shared
    assert diffie_hellman(unhex(b["secretKey"]), unhex(a["publicKey"])) == shared


def test_hkdf() -> None:
    salt, material = b"\x01" * 64, b"\x02" * 32
    vector = PRIMITIVES["hkdf"]
    assert [key.hex() for key in hkdf(salt, material, 2)] == vector["salt=01*64 ikm=02*32 2 outputs"]
    assert [key.hex() for key in hkdf(salt, material, 3)] == vector["salt=01*64 ikm=02*32 3 outputs"]
    assert [key.hex() for key in hkdf(salt, b"", 2)] == vector["salt=01*64 ikm=empty 2 outputs (split)"]


def test_namespaces() -> None:
    vector = PRIMITIVES["namespaces"]["hyperswarm/secret-stream"]
    assert NS_INITIATOR.hex() == vector["INITIATOR_0"]
    assert NS_RESPONDER.hex() == vector["RESPONDER_1"]
    assert NS_SEND.hex() == vector["SEND_2"]


def test_there_are_transcripts_of_both_patterns() -> None:
    assert {NOISE[name]["protocolName"].split("_")[1] for name in TRANSCRIPTS} == {"XX", "IK"}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name: str) -> None:
    transcript = NOISE[name]
    initiator, responder = sides(transcript)
    assert_state(initiator, transcript["afterInitialise"])
    assert_state(responder, transcript["afterInitialise"])
    for message in transcript["messages"]:
        writer, reader = (initiator, responder) if message["from"] == "initiator" else (responder, initiator)
        wire = writer.write(unhex(message["payload"]))
        assert wire.hex() == message["wire"]
        assert reader.read(wire) == unhex(message["payload"])
        if message["afterSend"] is not None:
            assert_state(writer, message["afterSend"])
            assert_state(reader, message["afterSend"])
    for side, role in ((initiator, "initiator"), (responder, "responder")):
        assert side.complete
        assert side.handshake_hash.hex() == transcript["handshakeHash"]
        assert side.tx.hex() == transcript[role]["tx"]
        assert side.rx.hex() == transcript[role]["rx"]
        assert side.remote_static is not None
        assert side.remote_static.hex() == transcript[role]["remoteStatic"]
        if "streamIds" in transcript:
            assert stream_id(side.handshake_hash, role == "initiator").hex() == transcript["streamIds"][role]


def assert_state(side: NoiseHandshake, expected: dict[str, Any]) -> None:
    state = side._state
    assert state.hash.hex() == expected["digest"]
    assert state.chaining_key.hex() == expected["chainingKey"]
    assert (state.key.hex() if state.key is not None else None) == expected["key"]
    assert state.nonce == expected["nonce"]
