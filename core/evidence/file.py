"""A proof file as bytes and back. What it claims is judged in `check.py`.

    8 bytes "meadowpf", uint version (1), uint kind, 32 bytes key of the log, buffer subject (a key of the bee),
    uint count, then so many buffers, each a `data` message of hypercore 11.37.1 (`lib/messages.js`) with request id 0

in compact-encoding 3.5.2, integers in their shortest form, and nothing after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import BadArgument, DecodingError
from ..hypercore.proof_types import Proof
from ..limits import MAX_EVIDENCE_BYTES, MAX_EVIDENCE_MESSAGES
from ..replication.messages import decode_data, encode_data

MAGIC: Final = b"meadowpf"
VERSION: Final = 1
_KEY_BYTES: Final = 32


class Kind(IntEnum):
    """What a file claims about `subject`, a key of the bee."""

    RECORD = 1  # this block of the log is an operation on it
    LOOKUP = 2  # this is what it maps to in the version of the signed length, or that it maps to nothing
    HISTORY = 3  # these blocks are operations on it, newest first
    CONFLICT = 4  # the log's key signed two trees of one length and fork; there is no subject


@dataclass(frozen=True, slots=True)
class ProofFile:
    """`key`: of the log, 32 bytes. `subject`: as it stands in the log. `messages`: each builds on those before."""

    kind: Kind
    key: bytes
    subject: bytes
    messages: tuple[Proof, ...]


def encode_file(file: ProofFile) -> bytes:
    """The bytes of a file. Raises `BadArgument` when it would be larger than anybody reads."""
    messages = [encode_buffer(encode_data(0, message)) for message in file.messages]
    head = MAGIC + encode_uint(VERSION) + encode_uint(file.kind) + file.key + encode_buffer(file.subject)
    data = head + encode_uint(len(messages)) + b"".join(messages)
    if len(data) > MAX_EVIDENCE_BYTES or len(messages) > MAX_EVIDENCE_MESSAGES:
        raise BadArgument(
            f"the proof would be larger than a proof file may be ({MAX_EVIDENCE_BYTES:,} bytes)"
        )
    return data


def decode_file(data: bytes) -> ProofFile:
    """The file in these bytes. Raises `DecodingError` with a sentence for everything that is not exactly one."""
    if len(data) > MAX_EVIDENCE_BYTES:
        raise DecodingError(f"a proof file has at most {MAX_EVIDENCE_BYTES:,} bytes")
    if data[: len(MAGIC)] != MAGIC:
        raise DecodingError("this is not a proof file: it does not begin with the word meadowpf")
    version, position = decode_uint(data, len(MAGIC))
    if version != VERSION:
        raise DecodingError(f"the file is of version {version}, and this program reads version {VERSION}")
    number, position = decode_uint(data, position)
    try:
        kind = Kind(number)
    except ValueError:
        raise DecodingError(f"there is no kind of proof with the number {number}") from None
    key, position = decode_fixed(data, position, _KEY_BYTES)
    subject, position = decode_buffer(data, position)
    count, position = decode_uint(data, position)
    if count > MAX_EVIDENCE_MESSAGES:
        raise DecodingError(f"a proof file has at most {MAX_EVIDENCE_MESSAGES} messages")
    messages = []
    for _ in range(count):
        message, position = decode_buffer(data, position)
        messages.append(_decode_message(message))
    file = ProofFile(kind, key, subject, tuple(messages))
    if position != len(data) or encode_file(file) != data:
        raise DecodingError(
            "the file holds bytes that belong to nothing in it, or is not in its shortest form"
        )
    return file


def _decode_message(message: bytes) -> Proof:
    _, proof = decode_data(message, 0)
    return proof
