"""Every error that `core` raises, in one tree.

Two of them decide who is to blame, and therefore what happens next:

* `LocalProtocolError`: *we* called something in a way its rules forbid. A bug here; nothing was sent.
* `RemoteProtocolError`: *they* sent bytes the protocol forbids. Their connection is closed with the
  error's sentence as the reason; nothing of theirs was stored, and nobody else notices.

Codes (`IntegrityError.code` and friends) are the words the reference implementation uses, so that a
person can look them up on either side of a connection.
"""

from __future__ import annotations


class MeadowError(Exception):
    """The root. `str(error)` is a sentence a person can act on."""


class LocalProtocolError(MeadowError):
    """We used a protocol object against its rules (a bug on this side; nothing was sent)."""


class BadArgument(MeadowError, ValueError):
    """A value given by a caller is not of the documented shape."""


# --- what a stranger can do wrong -------------------------------------------------------------


class RemoteProtocolError(MeadowError):
    """The other side broke the protocol; its connection is closed, nothing else happens."""


class DecodingError(RemoteProtocolError, ValueError):
    """Bytes that are not a valid encoding of what they claim to be."""


class HandshakeError(RemoteProtocolError):
    """The Noise or secret-stream handshake failed."""


class IntegrityError(RemoteProtocolError):
    """A proof did not hold. `code` is the reference's word for the reason."""

    code = "INVALID_PROOF"


class InvalidProof(IntegrityError):
    """The proof contradicts the manifest's prologue or itself."""

    code = "INVALID_PROOF"


class InvalidOperation(IntegrityError):
    """The proof or the request does not fit the tree it is about (nodes missing, out of range)."""

    code = "INVALID_OPERATION"


class InvalidChecksum(IntegrityError):
    """A hash differs from the one this log already trusts."""

    code = "INVALID_CHECKSUM"


class InvalidSignature(IntegrityError):
    """The signatures do not satisfy the manifest."""

    code = "INVALID_SIGNATURE"


class InvalidCapability(IntegrityError):
    """The remote opened a log's channel without proving that it knows the log's key."""

    code = "INVALID_CAPABILITY"


# --- what is not here -------------------------------------------------------------------------


class BlockNotAvailable(MeadowError):
    """The block is not stored here and the caller asked not to wait (or nobody can have it)."""

    code = "BLOCK_NOT_AVAILABLE"


class SnapshotNotAvailable(MeadowError):
    """The log was truncated below this snapshot and the block is gone."""

    code = "SNAPSHOT_NOT_AVAILABLE"


class RequestTimeout(MeadowError, TimeoutError):
    """Nobody answered within the caller's timeout."""

    code = "REQUEST_TIMEOUT"


class RequestCancelled(MeadowError):
    """The session that asked was closed before the answer came."""

    code = "REQUEST_CANCELLED"


class TooFewNodes(MeadowError):
    """A write found no node of the DHT that would take it."""


class PeerUnreachable(MeadowError, ConnectionError):
    """Dialling failed; the sentence says which address and why."""


class NotPunched(PeerUnreachable):
    """No hole came about through the NATs in between; at a relay the two could meet."""

    code = "HOLEPUNCH_ABORTED"


class ConnectionDropped(MeadowError, ConnectionError):
    """We ended the connection; the sentence says why."""


class StreamReset(MeadowError, ConnectionResetError):
    """The other side destroyed its end of a UDX stream."""

    code = "ECONNRESET"


class StreamTimedOut(MeadowError, TimeoutError):
    """What was sent on a UDX stream was not acked for so long that the path counts as dead."""

    code = "ETIMEDOUT"


# --- what is not allowed ----------------------------------------------------------------------


class SessionClosed(MeadowError):
    """The session was closed by its owner."""

    code = "SESSION_CLOSED"


class SessionNotWritable(MeadowError):
    """This store does not hold the key pair that signs the log."""

    code = "SESSION_NOT_WRITABLE"


class LogConflict(MeadowError):
    """The log's key signed two different trees of one length; the log is frozen here."""

    code = "CONFLICT"


# --- the disk ---------------------------------------------------------------------------------


class StorageError(MeadowError):
    """The store could not read or write; nothing acknowledged was lost."""


class StorageFull(StorageError):
    """The disk (or its quota) is full; the write was not acknowledged and left no trace."""


class StorageLocked(StorageError):
    """Another process holds this store; the sentence names it."""


class StorageVersion(StorageError):
    """The store was written by another version of this format; it was left untouched."""


class StoreSealed(StorageError):
    """The store's keys are sealed, and no passphrase was given."""


class WrongPassphrase(StorageError):
    """The passphrase does not open the store's keys."""


class StorageCorrupt(StorageError):
    """The store's own records contradict each other."""
