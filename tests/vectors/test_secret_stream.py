"""Frames that @hyperswarm/secret-stream 6.9.2 sent, read by either role."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.sealing import Pull
from core.secret_stream import HandshakeResult, SecretStream
from tests.support.vectors import load_vectors

VECTORS = load_vectors("network/02-secret-stream")
NOISE = load_vectors("network/01-noise")


def reader_of(frames: list[dict[str, Any]], sender: str, result: HandshakeResult) -> list[bytes]:
    """What the other side of `sender` ("a" initiates) receives, fed all frames at once."""
    stream = SecretStream(sender == "b", handshake=result)
    return stream.receive(
        b"".join(bytes.fromhex(f["frame"]) for f in frames if f["from"] == sender and "frame" in f)
    )


def result_of(keys: dict[str, str], handshake_hash: str, *, of_initiator: bool) -> HandshakeResult:
    tx, rx = bytes.fromhex(keys["tx"]), bytes.fromhex(keys["rx"])
    if not of_initiator:
        tx, rx = rx, tx
    return HandshakeResult(tx, rx, bytes.fromhex(handshake_hash), bytes(32))


@pytest.mark.parametrize("sender", ["a", "b"])
def test_a_complete_session(sender: str) -> None:
    vector = VECTORS["fullXX"]
    keys = vector["initiatorKeys"]
    # The ephemeral keys of this capture are gone with its process: start behind the three Noise messages.
    received = reader_of(
        vector["frames"][3:], sender, result_of(keys, keys["handshakeHash"], of_initiator=sender == "b")
    )
    role = "Responder" if sender == "a" else "Initiator"
    expected = [bytes.fromhex(text) for text in vector[f"plaintextsReceivedBy{role}"]]
    assert received == [message for message in expected if message]  # keep-alives are not handed on


@pytest.mark.parametrize("sender", ["a", "b"])
def test_a_session_after_another_handshake(sender: str) -> None:
    noise = NOISE["IK_hyperdht"]
    result = result_of(noise["initiator"], noise["handshakeHash"], of_initiator=sender == "b")
    received = reader_of(VECTORS["preHandshaked"]["frames"], sender, result)
    assert [len(message) for message in received] == ([2, 2] if sender == "a" else [2])


def test_our_header_carries_the_stream_id_of_our_role() -> None:
    noise = NOISE["IK_hyperdht"]
    for role in ("initiator", "responder"):
        result = result_of(noise["initiator"], noise["handshakeHash"], of_initiator=role == "initiator")
        stream = SecretStream(role == "initiator", handshake=result)
        sent = stream.data_to_send()
        assert sent[:3].hex() == "380000"
        assert sent[3:35].hex() == noise["streamIds"][role]
        assert len(sent) == 59


def test_the_primitive() -> None:
    vector = VECTORS["secretstreamPrimitive"]
    pull = Pull(bytes.fromhex(vector["key"]), bytes.fromhex(vector["header"]))
    for message in vector["messages"]:
        assert pull.open(bytes.fromhex(message["ciphertext"])).hex() == message["plaintext"]
