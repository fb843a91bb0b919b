"""A receipt read and compared: forged, foreign, malformed ones are refused, and each difference has its sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.peer import Peer
from userpeer.coverage import BadReceipt, OwnLog, Receipt, findings, read_receipt
from userpeer.coverage.beside import Hidden

ME = "ab" * 32
SAID: dict[str, Any] = {
    "kind": "meadow-receipt", "at": 1_700_000_000_000, "bee": ME, "state": "following", "reason": None, "fork": 0,
    "length": 10, "stored": 10, "tree": "10", "indexedFrom": 1, "indexedTo": 10, "listed": {"post": 7, "movie": 2},
    "kept": {}, "skipped": {}, "hidden": 0, "lastContact": 1_700_000_000_000, "nextTry": 0, "error": None,
}  # fmt: skip
OWN = OwnLog(10, 0, str, {"post": 7, "movie": 2})


@pytest.fixture
async def peer(anyio_backend: str) -> Any:
    opened = await Peer.open(None)
    yield opened
    await opened.close()


def signed(peer: Peer, said: Any) -> dict[str, str]:
    text = said if isinstance(said, str) else json.dumps(said)
    return {"statement": text, "key": peer.public_key.hex(), "signature": peer.sign(text.encode()).hex()}


@pytest.mark.anyio
async def test_only_what_is_signed_and_about_us_is_believed(peer: Peer) -> None:
    good = signed(peer, SAID)
    receipt = read_receipt(json.dumps(good), ME)
    assert (receipt.by, receipt.listed, receipt.next_try) == (
        peer.public_key.hex(),
        {"post": 7, "movie": 2},
        None,
    )
    for changed, sentence in (
        ({**good, "statement": good["statement"].replace('"post": 7', '"post": 8')}, "not valid"),
        ({**good, "key": ME}, "not valid"),
        ({**good, "signature": "00" * 64}, "not valid"),
        ({**good, "signature": "zz"}, "not a receipt"),
        (signed(peer, {**SAID, "bee": "cd" * 32}), "somebody else"),
        (signed(peer, {**SAID, "kind": "other"}), "not a receipt"),
        (signed(peer, {**SAID, "length": -1}), "cannot read"),
        (signed(peer, {**SAID, "length": True}), "cannot read"),
        (signed(peer, {**SAID, "listed": {"post": "seven"}}), "cannot read"),
        (signed(peer, {**SAID, "skipped": {str(n): 1 for n in range(65)}}), "cannot read"),
        (signed(peer, {**SAID, "error": ["x"]}), "cannot read"),
        (signed(peer, "[" * 100_000), "not a receipt"),
        (signed(peer, "null"), "not a receipt"),
        ([], "not a receipt"),
    ):
        with pytest.raises(BadReceipt, match=sentence):
            read_receipt(json.dumps(changed), ME)


@pytest.mark.anyio
async def test_a_text_is_bounded_and_a_date_is_one(peer: Peer) -> None:
    said = {**SAID, "reason": "a\n\x00b" * 1000, "lastContact": 2**52, "at": 2**52}
    receipt = read_receipt(json.dumps(signed(peer, said)), ME)
    assert len(receipt.reason or "") <= 500
    assert "\n" not in (receipt.reason or "")
    assert max(receipt.at, receipt.last_contact or 0) < 253_402_300_800_000  # a page can show it


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_garbage_is_refused_with_a_sentence(data: bytes | str) -> None:
    with pytest.raises(BadReceipt):
        read_receipt(data, ME)


RECEIPT = Receipt(
    "cd" * 32, 1, "following", None, 0, 10, 10, "10", 1, 10, {"post": 7, "movie": 2}, {}, {}, 0, 5, None, None
)  # fmt: skip


@pytest.mark.parametrize(
    ("receipt", "own", "mark", "part"),
    [
        (RECEIPT, OWN, "ok", "It shows all your posts and films."),
        (RECEIPT, OWN, "ok", "the hash over 10 blocks is the same there and here"),
        (replace(RECEIPT, indexed_to=8), OWN, "warn", "2 blocks behind"),
        (replace(RECEIPT, indexed_to=9), OWN, "warn", "1 block behind"),
        (replace(RECEIPT, indexed_from=4), OWN, "info", "3 blocks of older history still to be read"),
        (replace(RECEIPT, indexed_to=0), OWN, "info", "It has read nothing of your bee yet."),
        (replace(RECEIPT, tree="other"), OWN, "bad", "another history under your key"),
        (replace(RECEIPT, stored=11), OWN, "bad", "older copy of your peer"),
        (RECEIPT, replace(OWN, length=0, is_restored=False), "info", "may be found there"),
        (RECEIPT, replace(OWN, fork=1), "info", "still holds fork 0 of your log; yours is at fork 1"),
        (replace(RECEIPT, fork=1), OWN, "bad", "older copy of your peer"),
        (replace(RECEIPT, state="refused", reason="Spam."), OWN, "bad", "nothing of it. The reason it gives: Spam."),
        (replace(RECEIPT, state="paused"), OWN, "warn", "stopped reading your bee; what it read stays."),
        (replace(RECEIPT, state="pending"), OWN, "info", "its operator has not decided yet"),
        (replace(RECEIPT, state="unreachable", error="No route."), OWN, "warn", "It cannot reach you (No route.)."),
        (replace(RECEIPT, state="waiting"), OWN, "info", "has not reached you yet"),
        (replace(RECEIPT, state="odd"), OWN, "info", "“odd”"),
        (replace(RECEIPT, listed={"post": 5, "movie": 2}), OWN, "bad", "2 posts fewer than you have, without saying"),
        (replace(RECEIPT, listed={"post": 6, "movie": 2}, hidden=1), OWN, "warn", "It hides 1 record of yours."),
        (replace(RECEIPT, skipped={"too-large": 2}), OWN, "warn", "It skipped 2 records: The value is larger than"),
        (replace(RECEIPT, skipped={"because": 1}), OWN, "warn", "the reason it gives is “because”"),
        (replace(RECEIPT, kept={"profile": 1}), OWN, "info", "It keeps 1 record that a feed does not list"),
    ],
)  # fmt: skip
def test_each_difference_has_its_sentence(receipt: Receipt, own: OwnLog, mark: str, part: str) -> None:
    found = findings(receipt, own)
    assert [one.mark for one in found if part in one.sentence] == [mark], found


def test_what_is_explained_is_no_complaint() -> None:
    receipt = replace(RECEIPT, listed={"post": 6, "movie": 2}, hidden=1)
    found = findings(receipt, OWN, [Hidden("post/1", "Off topic.")])
    assert "Hidden, as it says in public: post/1. The reason it gives: Off topic." in [
        one.sentence for one in found
    ]
    assert not [one for one in found if one.mark == "bad" or "shows all" in one.sentence]
