"""What a walk writes at its end: announcements and values, signed for each storing node.

Each function makes a `Commit` for `DhtNode.query`. Source: hyperdht 6.34.0 `index.js` (`announce`, `mutablePut`,
`immutablePut`, `lookupAndUnannounce`).
"""

from __future__ import annotations

from ..crypto.keys import KeyPair
from ..errors import DecodingError, PeerUnreachable, RemoteProtocolError
from .address import Address
from .hyper_commands import ANNOUNCE, UNANNOUNCE
from .node import DhtNode
from .outgoing import Reply
from .query import Commit, Settle
from .records import decode_lookup_reply, encode_announcement
from .signatures import sign_announcement, sign_unannouncement
from .storing import LOOKUP_RECORDS


def announce_commit(
    node: DhtNode, key_pair: KeyPair, target: bytes, relay_addresses: tuple[Address, ...], bump: int = 0
) -> Commit:
    """Announce `key_pair` under `target`, reachable through `relay_addresses` (three of them are kept)."""

    def commit(reply: Reply, settle: Settle) -> None:
        if reply.token is None or reply.id is None:
            settle(PeerUnreachable("the node gave no token, so it takes no announcements"))
            return
        signed = sign_announcement(key_pair, target, reply.id, reply.token, relay_addresses, bump=bump)
        _write(node, reply, ANNOUNCE, target, encode_announcement(signed), settle)

    return commit


def value_commit(node: DhtNode, command: int, target: bytes, value: bytes) -> Commit:
    """Write the same bytes everywhere."""

    def commit(reply: Reply, settle: Settle) -> None:
        if reply.token is None:
            settle(PeerUnreachable("the node gave no token, so it takes no values"))
            return
        _write(node, reply, command, target, value, settle)

    return commit


def unannounce_at(node: DhtNode, reply: Reply, key_pair: KeyPair, target: bytes, settle: Settle) -> None:
    """Take back, at the node that answered a LOOKUP or FIND_PEER, what `key_pair` announced there.

    `settle` gets None also when there is nothing to take back.
    """
    if reply.token is None or reply.id is None:
        settle(None)
        return
    signed = sign_unannouncement(key_pair, target, reply.id, reply.token)
    _write(node, reply, UNANNOUNCE, target, encode_announcement(signed), settle)


def may_hold(reply: Reply, public_key: bytes) -> bool:
    """Whether the node that answered a LOOKUP keeps `public_key`, as far as its (perhaps cut) answer tells."""
    if reply.value is None:
        return False
    try:
        peers, _ = decode_lookup_reply(reply.value)
    except DecodingError:
        return False
    return len(peers) >= LOOKUP_RECORDS or any(peer.public_key == public_key for peer in peers)


def _write(node: DhtNode, reply: Reply, command: int, target: bytes, value: bytes, settle: Settle) -> None:
    def answered(answer: Reply) -> None:
        refusal = f"a node refused the write with error {answer.error}"
        settle(RemoteProtocolError(refusal) if answer.error else None)

    node.request(
        reply.address,
        command,
        target=target,
        value=value,
        token=reply.token,
        on_reply=answered,
        on_error=settle,
    )
