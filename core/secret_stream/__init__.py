"""Encrypted, framed messages from a proven key, over any ordered byte stream. No I/O."""

from .handshake import HandshakeResult
from .stream import SecretStream

__all__ = ["HandshakeResult", "SecretStream"]
