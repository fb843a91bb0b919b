"""What the vectors cannot show: refusing what is wrong."""

from __future__ import annotations

import pytest

from core.crypto.keys import key_pair
from core.crypto.noise import NoiseHandshake, diffie_hellman
from core.errors import BadArgument, HandshakeError, LocalProtocolError


def both(pattern: str = "XX") -> tuple[NoiseHandshake, NoiseHandshake]:
    initiator, responder = key_pair(), key_pair()
    remote = responder.public_key if pattern == "IK" else None
    return (
        NoiseHandshake(pattern, True, initiator, remote_static=remote),  # type: ignore[arg-type]
        NoiseHandshake(pattern, False, responder),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("pattern", ["XX", "IK"])
def test_both_ends_agree_with_random_keys(pattern: str) -> None:
    initiator, responder = both(pattern)
    payloads = []
    writer, reader = initiator, responder
    while not initiator.complete or not responder.complete:
        payloads.append(reader.read(writer.write(b"to " + writer.static.public_key)))
        assert payloads[-1] == b"to " + writer.static.public_key
        writer, reader = reader, writer
    assert initiator.handshake_hash == responder.handshake_hash
    assert (initiator.tx, initiator.rx) == (responder.rx, responder.tx)
    assert initiator.remote_static == responder.static.public_key
    assert responder.remote_static == initiator.static.public_key


@pytest.mark.parametrize(
    "bad", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32], ids=["zero", "identity", "no-point"]
)
def test_a_key_that_is_no_point_of_the_group(bad: bytes) -> None:
    with pytest.raises(HandshakeError):
        diffie_hellman(key_pair().secret_key, bad)


def test_a_point_of_small_order_as_ephemeral_key_ends_the_handshake() -> None:
    _, responder = both()
    responder.read(b"\x01" + bytes(31))
    with pytest.raises(HandshakeError):
        responder.write()


@pytest.mark.parametrize("position", [0, 31, 32, 79, 80, 95])
def test_a_flipped_bit_anywhere_in_message_two(position: int) -> None:
    initiator, responder = both()
    responder.read(initiator.write())
    message = bytearray(responder.write())
    message[position] ^= 1
    with pytest.raises(HandshakeError):
        initiator.read(bytes(message))
    with pytest.raises(LocalProtocolError):
        initiator.write()


@pytest.mark.parametrize("size", [0, 31, 32, 33, 79, 95])
def test_a_message_that_is_cut_off(size: int) -> None:
    initiator, responder = both()
    responder.read(initiator.write())
    message = responder.write()
    with pytest.raises(HandshakeError):
        initiator.read(message[:size])


def test_ik_to_another_key_than_the_responders() -> None:
    stranger = NoiseHandshake("IK", True, key_pair(), remote_static=key_pair().public_key)
    _, responder = both("IK")
    with pytest.raises(HandshakeError):
        responder.read(stranger.write())


def test_different_prologues() -> None:
    static = key_pair()
    initiator = NoiseHandshake("IK", True, key_pair(), prologue=b"one", remote_static=static.public_key)
    with pytest.raises(HandshakeError):
        NoiseHandshake("IK", False, static, prologue=b"two").read(initiator.write())


def test_out_of_turn() -> None:
    initiator, responder = both()
    with pytest.raises(LocalProtocolError):
        responder.write()
    with pytest.raises(LocalProtocolError):
        initiator.read(bytes(96))
    initiator.write()
    with pytest.raises(LocalProtocolError):
        initiator.write()


def test_who_must_know_the_remote_key() -> None:
    with pytest.raises(BadArgument):
        NoiseHandshake("IK", True, key_pair())
    with pytest.raises(BadArgument):
        NoiseHandshake("XX", True, key_pair(), remote_static=bytes(32))


def test_a_payload_that_is_too_long() -> None:
    initiator, responder = both()
    responder.read(initiator.write())
    with pytest.raises(BadArgument):
        responder.write(bytes(65_520))
