"""What is signed before a stranger's node will store it, and how it is checked.

    announce   = NS_ANNOUNCE    || H32(target || id of the storing node || its token || peer || refresh)
    unannounce = NS_UNANNOUNCE  || the same
    mutable    = NS_MUTABLE_PUT || H32(seq uint || value buffer)

An announcement is thereby good at one node only, and only as long as that node's token: it cannot be copied
elsewhere or kept for later. Source: hyperdht 6.34.0 `lib/persistent.js` (`annSignable`, `signMutable`).
"""

from __future__ import annotations

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair, sign, verify
from ..encoding.compact import encode_buffer, encode_uint
from .hyper_commands import NS_ANNOUNCE, NS_MUTABLE_PUT, NS_UNANNOUNCE
from .records import Announcement, MutableValue, PeerRecord, encode_peer


def announce_signable(
    namespace: bytes,
    target: bytes,
    node_id: bytes,
    token: bytes,
    peer: PeerRecord,
    refresh: bytes | None = None,
) -> bytes:
    """64 bytes; `namespace` says whether it announces or takes back."""
    return namespace + hash32(target + node_id + token + encode_peer(peer) + (refresh or b""))


def mutable_signable(seq: int, value: bytes) -> bytes:
    return NS_MUTABLE_PUT + hash32(encode_uint(seq) + encode_buffer(value))


def sign_announcement(
    key_pair: KeyPair,
    target: bytes,
    node_id: bytes,
    token: bytes,
    relay_addresses: tuple[tuple[str, int], ...] = (),
    *,
    bump: int = 0,
) -> Announcement:
    """What the node `node_id`, which gave `token`, will accept as our announcement under `target`."""
    peer = PeerRecord(key_pair.public_key, relay_addresses)
    signable = announce_signable(NS_ANNOUNCE, target, node_id, token, peer)
    return Announcement(peer, None, sign(signable, key_pair.secret_key), bump)


def sign_unannouncement(key_pair: KeyPair, target: bytes, node_id: bytes, token: bytes) -> Announcement:
    peer = PeerRecord(key_pair.public_key)
    signable = announce_signable(NS_UNANNOUNCE, target, node_id, token, peer)
    return Announcement(peer, None, sign(signable, key_pair.secret_key))


def verify_announcement(announcement: Announcement, target: bytes, node_id: bytes, token: bytes) -> bool:
    return _verify(NS_ANNOUNCE, announcement, target, node_id, token)


def verify_unannouncement(announcement: Announcement, target: bytes, node_id: bytes, token: bytes) -> bool:
    return _verify(NS_UNANNOUNCE, announcement, target, node_id, token)


def _verify(
    namespace: bytes, announcement: Announcement, target: bytes, node_id: bytes, token: bytes
) -> bool:
    peer, signature = announcement.peer, announcement.signature
    if peer is None or signature is None:
        return False
    signable = announce_signable(namespace, target, node_id, token, peer, announcement.refresh)
    return verify(signable, signature, peer.public_key)


def sign_mutable(key_pair: KeyPair, seq: int, value: bytes) -> MutableValue:
    return MutableValue(seq, value, sign(mutable_signable(seq, value), key_pair.secret_key))


def verify_mutable(value: MutableValue, public_key: bytes) -> bool:
    return verify(mutable_signable(value.seq, value.value), value.signature, public_key)
