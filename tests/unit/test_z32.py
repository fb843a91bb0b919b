"""Keys as people hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.encoding.z32 import id_to_key, key_to_id, parse_key
from core.errors import BadArgument

KEY = bytes(range(32))
ID = key_to_id(KEY)
keys = st.binary(min_size=32, max_size=32)


@given(keys)
def test_every_form_of_a_key_is_the_same_key(key: bytes) -> None:
    text = key_to_id(key)
    assert len(text) == 52
    assert id_to_key(text) == key
    for form in (key, bytearray(key), memoryview(key), text, key.hex(), key.hex().upper(), f"pear://{text}"):
        assert parse_key(form) == key


@given(keys, keys)
def test_two_keys_have_two_ids(first: bytes, second: bytes) -> None:
    assert (key_to_id(first) == key_to_id(second)) == (first == second)


@pytest.mark.parametrize("text", [f"pear://{ID}/a/path", f"pear://{KEY.hex()}/", f" {ID}\n"])
def test_what_surrounds_a_key_is_ignored(text: str) -> None:
    assert parse_key(text) == KEY


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "52 z-base-32 letters or 64 hexadecimal digits, not 0"),
        (ID[:-1], "not 51 characters"),
        ("http://" + ID, "not 59 characters"),
        ("0" + ID[1:], "letter 1 of the id, '0'"),
        (ID[:10] + "l" + ID[11:], "letter 11 of the id, 'l'"),
        (ID.upper(), "is not a z-base-32 letter"),
        (ID[:-1] + "é", "letter 52 of the id, 'é'"),
        ("g" + KEY.hex()[1:], "hexadecimal digits only"),
        (" ".join(KEY.hex()[:32]) + " ", "not 63 characters"),
    ],
)
def test_a_sentence_says_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        parse_key(text)


def test_a_mistyped_last_letter_is_noticed() -> None:
    """52 letters have room for 260 bits; the reference would ignore four of them."""
    assert id_to_key("y" * 52) == bytes(32)
    with pytest.raises(BadArgument, match="no id ends in the letter 'b'"):
        id_to_key("y" * 51 + "b")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_bytes_of_another_length(size: int) -> None:
    with pytest.raises(BadArgument, match=f"32 bytes, not {size}"):
        parse_key(bytes(size))
    with pytest.raises(BadArgument, match=f"32 bytes, not {size}"):
        key_to_id(bytes(size))
