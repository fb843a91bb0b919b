"""The words by which two machines find each other, and the key made of them.

Whoever watches the DHT sees a public key and may try words until one fits, so each try is made slow: Argon2id, three
passes over 128 MiB, about a third of a second. Four words of the list are 44 bits: half of all tries are some 90,000
years of one core. Three are 33 bits, some 45 years of one core: enough for a minute's errand, not against a data
centre.
"""

from __future__ import annotations

import secrets
from typing import Final

import nacl.pwhash
from mnemonic import Mnemonic

from userpeer.errors import UserError

FEWEST_WORDS: Final = 3
USUAL_WORDS: Final = 4
BITS_OF_A_WORD: Final = 11

_PASSES: Final = 3
_MEMORY_BYTES: Final = 128 * 1024 * 1024
_SALT: Final = b"meadow/beam/v1.."
"""The same for everybody: the two sides have nothing but the words in common."""


def new_phrase(words: int = USUAL_WORDS) -> str:
    """Words drawn from the 2048 of BIP 39."""
    listed = Mnemonic("english").wordlist
    return " ".join(secrets.choice(listed) for _ in range(words))


def checked_phrase(text: str) -> str:
    """The phrase as both sides must write it: lower case, one space between words. Raises `UserError`."""
    words = text.lower().split()
    if len(words) < FEWEST_WORDS:
        raise UserError(
            f"A phrase has at least {FEWEST_WORDS} words: fewer could be guessed. `hyp beam` without one makes up "
            f"{USUAL_WORDS} good ones."
        )
    return " ".join(words)


def seed_of(phrase: str) -> bytes:
    """32 bytes from a checked phrase. Takes a moment, on purpose."""
    return bytes(nacl.pwhash.argon2id.kdf(32, phrase.encode(), _SALT, _PASSES, _MEMORY_BYTES))
