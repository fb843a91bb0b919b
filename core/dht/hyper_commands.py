"""Numbers of hyperdht 6.34.0 `lib/constants.js`: user commands, firewalls, errors; and its namespaces."""

from __future__ import annotations

from typing import Final

from ..crypto.hashing import namespaces

PEER_HANDSHAKE: Final = 0
PEER_HOLEPUNCH: Final = 1
FIND_PEER: Final = 2
LOOKUP: Final = 3
ANNOUNCE: Final = 4
UNANNOUNCE: Final = 5
MUTABLE_PUT: Final = 6
MUTABLE_GET: Final = 7
IMMUTABLE_PUT: Final = 8
IMMUTABLE_GET: Final = 9
PLUGIN: Final = 10

# How a peer's network treats packets nobody asked for. UNKNOWN: not yet measured.
UNKNOWN: Final = 0
OPEN: Final = 1
CONSISTENT: Final = 2
RANDOM: Final = 3

# Errors inside payloads of a handshake or a hole punch ...
NONE: Final = 0
ABORTED: Final = 1
VERSION_MISMATCH: Final = 2
TRY_LATER: Final = 3
# ... and in answers to MUTABLE_PUT.
SEQ_REUSED: Final = 16
SEQ_TOO_LOW: Final = 17

# The namespaces are numbered like the commands they belong to.
_NAMESPACES: Final = namespaces("hyperswarm/dht", 7)
NS_PEER_HANDSHAKE: Final = _NAMESPACES[PEER_HANDSHAKE]
NS_PEER_HOLEPUNCH: Final = _NAMESPACES[PEER_HOLEPUNCH]
NS_ANNOUNCE: Final = _NAMESPACES[ANNOUNCE]
NS_UNANNOUNCE: Final = _NAMESPACES[UNANNOUNCE]
NS_MUTABLE_PUT: Final = _NAMESPACES[MUTABLE_PUT]

PUBLIC_BOOTSTRAP: Final = (
    "88.99.3.86@node1.hyperdht.org:49737",
    "142.93.90.113@node2.hyperdht.org:49737",
    "138.68.147.8@node3.hyperdht.org:49737",
)
DEFAULT_PORT: Final = 49_737
