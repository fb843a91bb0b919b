"""The secret of a peer, taken along: a file sealed by a passphrase, or 24 words to write down.

Both hold the store's primary key, from which every key of the peer follows. The file also says how long the logs
were, so that a restored peer knows what it has to find before it may write (`restoring.py`), and to whom the bee was
submitted.

The file is JSON: how the passphrase was made into a key (Argon2id, with its costs and salt), and the sealed part
(XSalsa20-Poly1305, the nonce first), which is JSON again.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import nacl.exceptions
import nacl.pwhash
import nacl.secret
import nacl.utils
from mnemonic import Mnemonic

from core.peer import spellings

from .errors import InvalidField, UserError

VERSION: Final = 1
MIN_PASSPHRASE: Final = 8
MAX_PASSPHRASE: Final = 1000
MAX_FILE_BYTES: Final = 1024 * 1024
WORDS: Final = 24
_KDF: Final = "argon2id"
_MAX_OPERATIONS: Final = 20
_MAX_MEMORY: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds. `length` and `tree_hash`: of the bee when it was made (0: unknown, as from words)."""

    primary_key: bytes
    bee: str
    length: int = 0
    fork: int = 0
    tree_hash: str = ""
    media_length: int = 0
    aggregators: tuple[str, ...] = ()
    at: float = 0.0


def seal(backup: Backup, passphrase: str) -> bytes:
    """The file. Takes about a second and 256 MB: so does every guess. Raises `InvalidField` ("passphrase")."""
    check_passphrase(passphrase)
    operations, memory = nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE
    salt = nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES)
    inside = {**asdict(backup), "primary_key": backup.primary_key.hex(), "at": backup.at or time.time()}
    box = nacl.secret.SecretBox(_key(spellings(passphrase)[0], salt, operations, memory))
    outside = {
        "what": "A backup of a Meadow peer. Whoever opens it can write to the bee: keep it like a key.",
        "meadow": "backup",
        "v": VERSION,
        "bee": backup.bee,
        "kdf": {"name": _KDF, "operations": operations, "memory": memory, "salt": salt.hex()},
        "sealed": base64.b64encode(box.encrypt(json.dumps(inside).encode())).decode(),
    }
    return json.dumps(outside, indent=1).encode() + b"\n"


def unseal(data: bytes, passphrase: str) -> Backup:
    """The other way. Raises `UserError` with a sentence: no backup, another version, or not the passphrase."""
    try:
        outside = json.loads(data)
        if outside["meadow"] != "backup":
            raise ValueError
        version, kdf = outside["v"], outside["kdf"]
        operations, memory = int(kdf["operations"]), int(kdf["memory"])
        salt, sealed = bytes.fromhex(kdf["salt"]), base64.b64decode(outside["sealed"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise UserError("This is not a backup of a Meadow peer, or it was damaged.") from None
    if version != VERSION or kdf.get("name") != _KDF:
        raise UserError(f"This backup has version {version!r}; this program reads version {VERSION}.")
    if not (0 < operations <= _MAX_OPERATIONS and 8192 <= memory <= _MAX_MEMORY and len(salt) == 16):
        raise UserError("This backup asks for a way to make keys that this program refuses.")
    for spelling in spellings(passphrase):
        try:
            box = nacl.secret.SecretBox(_key(spelling, salt, operations, memory))
            return _backup(json.loads(box.decrypt(sealed)))
        except (nacl.exceptions.CryptoError, ValueError):
            continue
    raise UserError("That is not the passphrase of this backup, or the file was changed.")


def words_of(primary_key: bytes) -> str:
    """24 words (BIP-39, English) that are the primary key."""
    return str(Mnemonic("english").to_mnemonic(primary_key))


def key_from_words(text: str) -> bytes:
    """The primary key. Raises `UserError` that says which word, or that they do not belong together."""
    words = text.lower().split()
    language = Mnemonic("english")
    if len(words) != WORDS:
        raise UserError(f"There must be {WORDS} words; these are {len(words)}.")
    known = set(language.wordlist)
    for number, word in enumerate(words, 1):
        if word not in known:
            raise UserError(f"Word {number}, {word[:30]!r}, is not one of the list. Check its spelling.")
    if not language.check(" ".join(words)):
        raise UserError("These words do not belong together: one is wrong, or two changed places.")
    return bytes(language.to_entropy(words))


def check_passphrase(passphrase: str, field: str = "passphrase") -> None:
    """Raises `InvalidField` (`field`)."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise InvalidField(
            field, f"A passphrase has at least {MIN_PASSPHRASE} characters; several words are best."
        )
    if len(passphrase) > MAX_PASSPHRASE or not passphrase.isprintable():
        # It must be one line of a file, too.
        raise InvalidField(
            field, f"A passphrase is one line of at most {MAX_PASSPHRASE:,} characters that can be seen."
        )


def _key(passphrase: str, salt: bytes, operations: int, memory: int) -> bytes:
    size = nacl.secret.SecretBox.KEY_SIZE
    return bytes(nacl.pwhash.argon2id.kdf(size, passphrase.encode(), salt, operations, memory))


def _backup(inside: dict[str, Any]) -> Backup:
    return Backup(
        bytes.fromhex(inside["primary_key"]),
        inside["bee"],
        int(inside["length"]),
        int(inside["fork"]),
        inside["tree_hash"],
        int(inside["media_length"]),
        tuple(inside["aggregators"]),
        float(inside["at"]),
    )
